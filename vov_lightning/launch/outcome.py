"""What came of one clip of a set."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """What a worker reports of one clip."""

    state: Literal["done", "stopped", "failed", "elsewhere"]
    """``stopped`` by a limit of the trainer; ``elsewhere``: another command works on it, or has just failed with it."""
    text: str = ""
    """Error, limit or owner."""
    seconds: float = 0.0
    """From the clip's beginning in this worker to its end."""
    disk_bytes: int = 0
    """Of a dry run: what the fit may write."""
