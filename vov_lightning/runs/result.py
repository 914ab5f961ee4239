"""The result of compressing a clip, in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vov_lightning.bitstream import VovFile
from vov_lightning.runs.figures import format_db
from vov_lightning.runs.history import FitHistory
from vov_lightning.video import Signal


@dataclass(frozen=True, eq=False, repr=False)
class FitResult:
    """The result of a fit; printed, it shows bytes, rate and PSNR."""

    file: VovFile
    """The compressed signal; of a joint fit, the first source's."""
    decoded: Signal | None
    """The decoder's frames, likewise; None for a clip of several segments, which are on the disk only."""
    metrics: dict[str, Any]
    """The content of ``metrics.json``."""
    path: Path
    """Where the file lies, in the folder with everything else."""
    history: FitHistory = field(default_factory=FitHistory)
    """The course of the fit; ``history.plot()`` draws it. Without rows where no vector was fitted."""
    parts: "tuple[FitResult, ...]" = ()
    """Of a joint fit, the result of each source."""

    def __repr__(self) -> str:
        if self.parts:
            return "\n".join(map(repr, self.parts))
        metrics = self.metrics
        figures = f"{metrics['bytes']} bytes, {metrics['bpp']:.4f} bpp, {format_db(metrics['psnr_db'])}"
        return f"FitResult({str(self.path)!r}, {figures})"
