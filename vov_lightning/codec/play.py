"""The frames of a file in order, one segment at a time: all of them, or those between two times."""

import math
from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import decode_segment
from vov_lightning.errors import SettingError
from vov_lightning.progress import ClipBar

GREY = 128
"""Shown for a damaged segment that no picture precedes."""


def frame_times(file: VovFile) -> list[Fraction]:
    """When each frame of ``file`` is shown, in seconds since the first."""
    if file.times is None:
        return [number / file.header.fps for number in range(file.header.frames)]
    return [int(tick) * file.times.time_base for tick in file.times.ticks]


def frames_between(file: VovFile, start_s: float | None, stop_s: float | None) -> range:
    """Numbers of the frames that are shown at some time in ``[start_s, stop_s)``.

    Args:
        file: What is to be decoded.
        start_s: Seconds since the first frame; None for the beginning.
        stop_s: Seconds; None for the end.

    Raises:
        SettingError: If there are none.
    """
    begin, end = _as_typed(start_s or 0), min(file.duration, _as_typed(math.inf if stop_s is None else stop_s))
    if not 0 <= begin < file.duration:
        raise SettingError(f"from={start_s} is not within the clip, which lasts {float(file.duration):.3f} s")
    if not end > begin:
        raise SettingError(f"to={stop_s} is not after from={start_s or 0:g}; give a later time, in seconds")
    times = frame_times(file)
    ends = [*times[1:], file.duration]
    shown = [number for number in range(len(times)) if ends[number] > begin and times[number] < end]
    return range(shown[0], shown[-1] + 1)


def _as_typed(seconds: float) -> Fraction | float:
    """``seconds`` exactly as they were typed: 0.3 as a float is below 3/10."""
    return Fraction(str(seconds)) if math.isfinite(seconds) else seconds


def play(
    file: VovFile, base: BaseModel, frames: range, *, stop_at: float = 0.0, shown: bool = False
) -> Iterator[Tensor]:
    """Decoded ``frames``, segment by segment: ``[n, 3, H, W]`` uint8.

    Segments without any of them are not decoded, and of the last one no block that they do not need.

    In place of a damaged segment the last picture before it stands still.

    Args:
        file: What is decoded; read with ``strict=False`` it may have damaged segments.
        base: The model that it was fitted on.
        frames: Numbers of frames that follow each other.
        stop_at: Time in [0, 1) at which sampling stops early.
        shown: Whether progress is shown.
    """
    header = file.header
    still = torch.full((1, 3, header.height, header.width), GREY, dtype=torch.uint8)
    first = 0
    wanted = []
    for number, segment in enumerate(file.segments):
        part = range(max(first, frames.start), min(first + segment.frames, frames.stop))
        if part:
            wanted.append((number, part.start - first, part.stop - first))
        first += segment.frames
    with ClipBar("decode", sum(stop for _, _, stop in wanted), shown) as bar:
        for number, start, stop in bar.over(wanted, lambda one: one[2]):
            if file.segments[number].damage:
                pictures = still.expand(stop, -1, -1, -1)
            else:
                pictures = decode_segment(file, base, number, frames=stop, stop_at=stop_at, progress=bar).frames
            still = pictures[-1:].clone()  # not the whole segment behind it
            yield pictures[start:]
            del pictures  # the next segment is decoded in their memory
