"""Read a video, an image or a folder of frames as a :class:`~vov_lightning.video.signal.Signal`, all in memory."""

import os
from fractions import Fraction

import torch

from vov_lightning.video.clip import check_part
from vov_lightning.video.signal import Signal
from vov_lightning.video.stream import open_clip


def read_signal(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    max_frames: int | None = None,
    fps: Fraction | float | str | None = None,
) -> Signal:
    """The signal stored at ``path``, named after its file or folder.

    Args:
        path: A video, an image or a folder of frames, as :func:`~vov_lightning.video.stream.open_clip` takes them.
        start: First frame to read, from 0.
        max_frames: How many frames to read at most; ``None`` reads to the end.
        fps: Frame rate to state instead of the file's own, such as ``25`` or ``"30000/1001"``. Without it a video has
            the average rate of its timestamps, a folder 25 and an image 1.

    Raises:
        SignalError: If nothing readable is there, it ends before ``start``, it is cut short of ``max_frames``, frames
            differ in size, or pixels are transparent (opaque alpha is dropped). The message says what to do.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (48, 32), 128).save(path)
        >>> read_signal(path)
        Signal('grey', 1 frame, 32x48, 1 fps)
    """
    check_part(start, max_frames)
    with open_clip(path, fps) as clip:
        frames = torch.stack([frame.pixels for frame in clip.frames(start, max_frames)])
        return Signal(frames, clip.fps, clip.name)
