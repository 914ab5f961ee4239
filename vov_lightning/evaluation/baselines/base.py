"""The interface of all baselines: each codes a clip in as many bytes as a ``.vov`` file takes.

**What is counted.** The bytes that a decoder needs besides the codec itself, without a container: what leaves the
encoder as an elementary stream, its parameter sets included, as a ``.vov`` file counts its header. A baseline's
docstring says where it counts less than that.

**What matches.** A codec has only so many settings. Of the streams that it makes, the one nearest to the target counts
if it is within 5 %. If none is, the smallest one above counts: too many bytes favour the baseline. A codec whose every
stream is more than 5 % above the target does not reach it, and says so instead of giving a figure
(`UnreachableError`); one whose every stream is below gives its best. The bytes that were spent are always reported.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import VovError
from vov_lightning.video import Signal


class BaselineError(VovError, RuntimeError):
    """A baseline cannot run here, or its output does not match the clip."""


class UnreachableError(BaselineError):
    """A baseline cannot code the clip in as few bytes as wanted, or not at all; a result, not a fault."""


@dataclass(frozen=True, eq=False)
class Task:
    """A clip, and what it costs as a ``.vov`` file."""

    source: Signal
    """What was compressed, at the size that the file decodes to (without padding)."""
    num_bytes: int
    """Size of the file: the target."""
    file: VovFile
    """The file itself, for baselines that share its base model and sampler."""
    base: BaseModel
    """The model that it was fitted on."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A clip as a baseline coded it."""

    frames: Tensor
    """``[T, 3, H, W]`` uint8 on the CPU, decoded from what was counted."""
    num_bytes: int
    """Bytes that were spent."""
    settings: str
    """The whole command, or every setting in words."""
    encode_s: float | None
    """Seconds of the final encoding. Trial encodings do not count, unless the baseline says so. ``None`` if unknown."""
    decode_s: float | None
    """Seconds of decoding, with the start of its process if it has one; ``None`` if ``encode_s`` includes them."""
    seed: int | None = None
    """Seed of its random numbers; ``None`` if it draws none."""


class Baseline(ABC):
    """Another codec that spends the same number of bytes."""

    key: ClassVar[str]
    """Name in results and on the command line."""
    label: ClassVar[str]
    """Name in the report."""
    description: ClassVar[str]
    """A sentence or two: what it is, in which configuration, and what is counted."""

    @property
    def about(self) -> str:
        """`description`, with what was set where it was made."""
        return self.description

    @abstractmethod
    def code(self, task: Task) -> Coded:
        """``task.source`` in about ``task.num_bytes`` bytes, by the rule above.

        Raises:
            UnreachableError: If it cannot be coded in as few; the message says what the fewest are.
            BaselineError: If the baseline cannot run here, or decodes to something else than the source's frames.
        """
