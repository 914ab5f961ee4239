"""Read a video, an image or a folder of frames as a :class:`~vov_lightning.video.signal.Signal`.

The ending decides: image endings go through Pillow (``images.py``), a folder is read frame by frame, and anything
else is opened as a video (``videos.py``, which states the colour matrix, bit depth and timing of what comes out).
"""

import os
import re
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.video.images import IMAGE_ENDINGS, read_image
from vov_lightning.video.signal import Signal
from vov_lightning.video.videos import ends_before, read_video

FOLDER_FPS = Fraction(25)


def read_signal(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    max_frames: int | None = None,
    fps: Fraction | float | str | None = None,
) -> Signal:
    """The signal stored at ``path``, named after its file or folder.

    Args:
        path: A video that FFmpeg reads (``.mp4``, ``.mov``, ``.mkv``, ``.webm``, ``.y4m``, ...), an image (``.png``,
            ``.jpg``, ``.webp``, ``.bmp``, ``.tiff``), or a folder of equally large images, taken in natural order of
            their names (``frame2`` before ``frame10``); other and hidden files in it are left alone.
        start: First frame to read, from 0.
        max_frames: How many frames to read at most; ``None`` reads to the end.
        fps: Frame rate to state instead of the file's own, such as ``25`` or ``"30000/1001"``. Without it a video has
            the average rate that its file states, a folder 25 and an image 1.

    Raises:
        SignalError: If nothing readable is there, it ends before ``start``, frames differ in size, or pixels are
            transparent (opaque alpha is dropped). The message says what to do.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (48, 32), 128).save(path)
        >>> read_signal(path)
        Signal('grey', 1 frame, 32x48, 1 fps)
    """
    if start < 0:
        raise SignalError(f"start={start} is negative; frames count from 0")
    if max_frames is not None and max_frames < 1:
        raise SignalError(f"max_frames={max_frames}; wanted at least 1, or None for all frames")
    stated_fps = None if fps is None else _parse_fps(fps)

    path = Path(path)
    try:
        frames, own_fps = _read(path, start, max_frames)
    except OSError as cause:
        raise SignalError(f"{path} cannot be read ({cause.strerror}); check its name and permissions") from cause
    rate = stated_fps or own_fps
    if rate is None:
        raise SignalError(f"{path} states no frame rate; give it as fps=25 or --data.fps 25")
    return Signal(frames, rate, path.resolve().name if path.is_dir() else path.stem)


def _read(path: Path, start: int, max_frames: int | None) -> tuple[Tensor, Fraction | None]:
    """Frames ``[T, 3, H, W]`` and the frame rate that belongs to them."""
    if path.is_dir():
        return _read_folder(path, start, max_frames), FOLDER_FPS
    if not path.exists():
        raise SignalError(f"{path} does not exist; wanted a video, an image or a folder of frames")
    if not path.is_file():
        raise SignalError(f"{path} is neither a file nor a folder; save the video to a file first")
    if path.stat().st_size == 0:
        raise SignalError(f"{path} is empty (0 bytes); wanted a video or an image, so fetch or export it again")
    if path.suffix.lower() in IMAGE_ENDINGS:
        if start > 0:
            raise ends_before(path, start, 1)
        return read_image(path)[None], Fraction(1)
    return read_video(path, start, max_frames)


def _read_folder(path: Path, start: int, max_frames: int | None) -> Tensor:
    files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_ENDINGS and file.name[0] != "."]
    files.sort(key=_natural_key)
    if not files:
        raise SignalError(f"{path} holds no images; wanted frames ending in {', '.join(IMAGE_ENDINGS)}")
    if start >= len(files):
        raise ends_before(path, start, len(files))
    wanted = files[start:] if max_frames is None else files[start : start + max_frames]
    pictures: list[Tensor] = []
    for file in wanted:
        picture = read_image(file)
        if pictures and picture.shape != pictures[0].shape:
            raise SignalError(
                f"{file} is {picture.shape[1]}x{picture.shape[2]} and {wanted[0].name} is "
                f"{pictures[0].shape[1]}x{pictures[0].shape[2]} (height x width); bring all frames to one size"
            )
        pictures.append(picture)
    return torch.stack(pictures)


def _natural_key(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts ``a2`` before ``a10``; the plain name breaks ties such as ``a2`` and ``a02``."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], file.name


def _parse_fps(fps: Fraction | float | str) -> Fraction:
    try:
        parsed = Fraction(str(fps))  # str: 29.97 means 2997/100, not the binary fraction next to it
    except (ValueError, ZeroDivisionError) as cause:
        raise SignalError(f"fps={fps!r} is no frame rate; wanted a number such as 25 or 30000/1001") from cause
    if parsed <= 0:
        raise SignalError(f"fps={fps} is not above 0; wanted a number such as 25 or 30000/1001")
    return parsed
