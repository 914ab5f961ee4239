"""A clip, frame by frame: a video, an image or a folder of frames, in memory that does not grow with its length.

The ending decides: image endings go through Pillow (``images.py``), a folder is read image by image, and anything else
is opened as a video (``videos.py``). ``read_signal`` collects the frames of a :class:`ClipReader`; there is no second
way to read.
"""

import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video.clip import ClipReader, TimedFrame
from vov_lightning.video.folders import in_order, what_is_odd
from vov_lightning.video.images import IMAGE_ENDINGS, read_image
from vov_lightning.video.videos import VideoReader

FOLDER_FPS = Fraction(25)


class ImageReader(ClipReader):
    """Image files as frames: one image, or those of a folder."""

    def __init__(self, path: Path, name: str, files: list[Path], fps: Fraction) -> None:
        self.path, self.name, self.fps = path, name, fps
        self._files = files

    @cached_property
    def size(self) -> tuple[int, int]:
        height, width = read_image(self._files[0]).shape[1:]
        return height, width

    @property
    def num_frames(self) -> int:
        return len(self._files)

    def _frames(self, start: int, count: int | None) -> Iterator[TimedFrame]:
        wanted = self._files[start:] if count is None else self._files[start : start + count]
        size: tuple[int, ...] | None = None
        for index, file in enumerate(wanted, start):
            pixels = read_image(file)
            size = size or pixels.shape
            if pixels.shape != size:
                raise SignalError(
                    f"{file} is {pixels.shape[1]}x{pixels.shape[2]} and {wanted[0].name} is {size[1]}x{size[2]} "
                    "(height x width); bring all frames to one size"
                )
            yield TimedFrame(pixels, index / self.fps)


def open_clip(path: str | os.PathLike[str], fps: Fraction | float | str | None = None) -> ClipReader:
    """Reader of the clip at ``path``.

    Args:
        path: A video that FFmpeg reads (``.mp4``, ``.mov``, ``.mkv``, ``.webm``, ``.y4m``, ...), an image (``.png``,
            ``.jpg``, ``.webp``, ``.bmp``, ``.tiff``), or a folder of equally large images, taken in the order of the
            numbers in their names (``frame2`` before ``frame10``); other and hidden files in it are left alone.
        fps: Constant frame rate that replaces the file's times, such as ``25`` or ``"30000/1001"``. Without it a
            video has its own times, a folder 25 frames a second and an image 1.

    Raises:
        SignalError: If nothing readable is there. The message says what to do.

    Warns:
        SignalWarning: If numbers are missing or occur twice in a folder, or a video is interlaced or holds several.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (48, 32), 128).save(path)
        >>> with open_clip(path) as clip:
        ...     clip.height, clip.width, clip.num_frames, [frame.pixels.shape for frame in clip.frames()]
        (32, 48, 1, [torch.Size([3, 32, 48])])
    """
    rate = None if fps is None else _parse_fps(fps)
    path = Path(path)
    try:
        if path.is_dir():
            return ImageReader(path, Path(os.path.abspath(path)).name, _files_of(path), rate or FOLDER_FPS)
        if not path.exists():
            raise SignalError(f"{path} does not exist; wanted a video, an image or a folder of frames")
        if not path.is_file():
            raise SignalError(f"{path} is neither a file nor a folder; save the video to a file first")
        if path.stat().st_size == 0:
            raise SignalError(f"{path} is empty (0 bytes); wanted a video or an image, so fetch or export it again")
        if path.suffix.lower() in IMAGE_ENDINGS:
            return ImageReader(path, path.stem, [path], rate or Fraction(1))
        return VideoReader(path, rate)
    except OSError as cause:
        raise SignalError(f"{path} cannot be read ({cause.strerror}); check its name and permissions") from cause


def _files_of(folder: Path) -> list[Path]:
    """Frames of a folder in order; warns of missing and repeated numbers."""
    files = in_order(
        [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_ENDINGS and file.name[0] != "."]
    )
    if not files:
        raise SignalError(f"{folder} holds no images; wanted frames ending in {', '.join(IMAGE_ENDINGS)}")
    odd = what_is_odd(files)
    if odd is not None:
        warnings.warn(f"{folder} {odd}", SignalWarning, stacklevel=3)
    return files


def _parse_fps(fps: Fraction | float | str) -> Fraction:
    try:
        parsed = Fraction(str(fps))  # str: 29.97 means 2997/100, not the binary fraction next to it
    except (ValueError, ZeroDivisionError) as cause:
        raise SignalError(f"fps={fps!r} is no frame rate; wanted a number such as 25 or 30000/1001") from cause
    if parsed <= 0:
        raise SignalError(f"fps={fps} is not above 0; wanted a number such as 25 or 30000/1001")
    if max(parsed.numerator, parsed.denominator) >= 2**32:
        near = parsed.limit_denominator(1001)
        wanted = str(near) if 0 < near < 2**32 and near.numerator < 2**32 else "a number such as 25 or 30000/1001"
        raise SignalError(f"fps={fps} is no fraction of 32-bit numbers, as a file holds it; wanted {wanted}")
    return parsed
