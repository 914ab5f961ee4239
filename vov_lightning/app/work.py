"""What the app does with clips and files, apart from any page: compress, open, edit, and pictures of it.

Everything goes into folders below one that the caller removes. A clip that is too long is cut. A file of another base
model is refused, so that nobody makes the app load one.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import vov_lightning as vov
from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.codec.writing import writer_of
from vov_lightning.errors import SettingError
from vov_lightning.evaluation.report.compare import build_comparison
from vov_lightning.runs.figures import finite, format_db
from vov_lightning.runs.source import source_of
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video import Signal, open_clip, viewing_ending

KEPT_S = 3600
"""Seconds after which a folder of work is removed."""


@dataclass(frozen=True)
class Work:
    """A file at hand, and what is shown of it."""

    path: Path
    """The ``.vov`` file."""
    file: VovFile
    decoded: Signal
    source: Signal | None
    """The clip at the file's size; None where only the file was opened."""
    said: str = ""
    """What was left out."""


class Workshop:
    """Makes and opens files in folders below ``folder``.

    Args:
        base: The base model, on the device that decodes.
        folder: Where everything goes.
        max_mb: Largest file that is opened, in megabytes.
        max_seconds: Longest part of a clip.
        max_rows: Most rows of a clip, and of a file that is opened.
    """

    def __init__(self, base: BaseModel, folder: Path, max_mb: int, max_seconds: float, max_rows: int) -> None:
        self.base, self.folder = base, folder
        self.max_mb, self.max_seconds, self.max_rows = max_mb, max_seconds, max_rows

    def compress(
        self, clip: str | Path, scaling: ScalingConfig, seconds: float, rows: int, caption: str | None = None
    ) -> Work:
        """The first ``seconds`` of ``clip`` at ``rows`` as a file without a fit, as ``scaling`` asks for.

        Raises:
            SignalError: If the clip cannot be read.
            SettingError: If rate or quality are out of reach.
        """
        with open_clip(clip) as picture:
            height, available, rate = picture.height, picture.num_frames, picture.fps
        frames = min(available, max(1, int(min(seconds, self.max_seconds) * rate)))
        said = f"the first {frames} of {available} frames" if frames < available else ""
        height = min(height, rows, self.max_rows)
        folder = self._new_folder()
        options: dict[str, Any] = {"height": height, "frames": frames, "caption": caption or None}
        result = vov.compress(clip, folder, base=self.base, scaling=scaling, **options)
        decoded = result.decoded or vov.decode(result.file, self.base)
        return Work(result.path, result.file, decoded, source_of(result.file, self.base, clip).target, said)

    def open(self, path: str | Path, clip: str | Path | None = None) -> Work:
        """The file at ``path``, decoded; beside ``clip`` if that is its source.

        Raises:
            BitstreamError, BaseModelMismatchError: If it is damaged, too large, or of another base model.
            SettingError: If it is longer or larger than the app takes, or ``clip`` is not its source.
        """
        file = VovFile.open(path, Limits(file_bytes=self.max_mb * 10**6))
        header = file.header
        if file.duration > self.max_seconds or header.height > self.max_rows or header.width > 4 * self.max_rows:
            shown = f"{float(file.duration):.1f} s of {header.width}x{header.height}"
            raise SettingError(
                f"{Path(path).name} shows {shown}; this app takes {self.max_seconds:g} s of {self.max_rows} rows; "
                "use vov-decode, or start the app with larger --max_seconds and --max_rows"
            )
        decoded = vov.decode(file, self.base)
        own = self._new_folder() / Path(path).name
        shutil.copy(path, own)
        return Work(own, file, decoded, None if clip is None else source_of(file, self.base, clip).target)

    def edit(self, work: Work, prompt: str, strength: float) -> Signal:
        """What the file of ``work`` shows under ``prompt``.

        Raises:
            BaseModelError: If the model cannot take the prompt.
        """
        config = vov.EditConfig(strength=strength if work.file.header.k else 1.0)
        return vov.edit(work.file, prompt, config, self.base)

    def movie(self, work: Work, shown: Signal) -> Path:
        """A movie of ``shown`` with the sound and times of the file of ``work``, or a picture of a single frame."""
        ending = viewing_ending(shown, work.file.sound) or ".mkv"
        path = Path(mkdtemp(dir=work.path.parent)) / f"{work.path.stem}{ending}"
        with writer_of(work.file, path, range(work.file.header.frames)) as writer:
            writer.write(shown.frames)
        return path

    def comparison(self, work: Work, edited: Signal | None = None) -> str:
        """A page with the report's player: the source (or what was decoded) beside all the others."""
        shown = {} if work.source is None else {"decoded": work.decoded.frames}
        if edited is not None:
            shown["edited"] = edited.frames
        source = work.decoded if work.source is None else work.source
        facts = {
            "name": work.path.stem,
            "bytes": work.path.stat().st_size,
            "bpp": work.file.bpp,
            "psnr_db": {} if work.source is None else {"decoded": psnr_db(work)},
        }
        return build_comparison(source.frames, shown or {"decoded": work.decoded.frames}, str(source.fps), facts)

    def sweep(self) -> None:
        """Remove folders that are older than an hour."""
        for folder in self.folder.glob("work-*"):
            if time.time() - folder.stat().st_mtime > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)

    def _new_folder(self) -> Path:
        self.sweep()
        return Path(mkdtemp(prefix="work-", dir=self.folder))


def psnr_db(work: Work) -> float | None:
    """PSNR of ``work`` against its source; None without loss."""
    assert work.source is not None
    return finite(vov.psnr_db(work.decoded, work.source))


def describe(work: Work) -> str:
    """One line on a file: size, rate, quality, and what was left out."""
    header, size = work.file.header, work.path.stat().st_size
    parts = [
        f"{header.frames} frames of {header.width}x{header.height}",
        f"{size} bytes",
        f"{work.file.bpp:.4f} bpp",
        *([] if work.source is None else [format_db(psnr_db(work))]),
        *([work.said] if work.said else []),
    ]
    return ", ".join(parts)
