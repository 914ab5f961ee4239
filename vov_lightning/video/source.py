"""A clip as the codec takes it: segments at a size that the base model takes, read anew for every pass over it.

Nothing here holds more than a segment, so a clip may be longer than memory.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.files import sha256_of
from vov_lightning.video.geometry import (
    Fitted,
    Padding,
    add_padding,
    check_frame_count,
    fit_signal,
    remove_padding,
)
from vov_lightning.video.resize import new_sample_aspect_ratio, output_size, resize_frames
from vov_lightning.video.scenes import Segmenter
from vov_lightning.video.signal import Signal
from vov_lightning.video.stream import open_clip

Fit = Literal["resize", "crop", "pad", "scale"]
"""``scale``: the whole picture at a height, edges repeated up to the next size that fits; else as of `fit_signal`."""


@dataclass(frozen=True)
class Shape:
    """How a clip is brought to a base model's size and cut into segments."""

    fit: Fit
    height: int | Literal["source"] | None
    """Rows; of ``scale`` also ``source``, those of the source. None where ``fit`` wants none."""
    width: int | None
    """Columns; None where ``fit`` wants none, and for ``scale``, where they follow from the rows."""
    multiple: tuple[int, int]
    """What height and width must be multiples of."""
    temporal_factor: int | None
    """Frames of a segment are ``1 + n * temporal_factor``; None for a model of images."""
    longest: int
    """Frames of the longest segment."""
    block: int = 1
    """Segments that are cut for their length have a multiple of so many frames."""
    known: tuple[tuple[int, Padding], ...] = ()
    """Frames of each segment and its padding, where a file says them: nothing is found out then."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A part of a source, brought to a `Shape`. Made by `open_source` and `clip_of`."""

    name: str
    source_size: tuple[int, int]
    """Rows and columns of the source."""
    num_frames: int
    """Frames, without padding."""
    fps: Fraction
    """Frames a second, on average."""
    sample_aspect_ratio: Fraction
    """Width of a pixel over its height."""
    start_s: Fraction
    """When the first frame is shown in the source, in seconds since the source's own first."""
    times: list[Fraction] | None
    """When each frame is shown, in seconds since the first; None at a constant rate."""
    shape: Shape
    frames: Callable[[], Iterator[Tensor]]
    """Opens the source and yields its frames ``[3, H, W]`` uint8, from the first that belongs to the clip."""
    identity: bytes
    """Changes when the source does."""

    def segments(self) -> Iterator[Fitted]:
        """The segments, one after the other; their padding is cut off again by the decoder.

        Raises:
            SignalError: If the source cannot be read to its end.
        """
        frames, shape = self.frames(), self.shape
        if shape.fit == "scale":  # before they are gathered: a segment of large frames would not fit into memory
            frames = (resize_frames(frame[None], *_sides(shape))[0] for frame in frames)
        for number, pictures in enumerate(_cut(frames, shape)):
            yield _fitted(Signal(_stacked(pictures), self.fps, self.name), number, shape)

    @cached_property
    def first(self) -> Fitted:
        """The first segment."""
        return next(self.segments())

    @property
    def is_one_segment(self) -> bool:
        """Whether the first segment is the whole clip."""
        return self.first.num_frames == self.num_frames

    @property
    def height(self) -> int:
        """Rows, without padding."""
        return self.first.signal.height - self.first.padding.height

    @property
    def width(self) -> int:
        """Columns, without padding."""
        return self.first.signal.width - self.first.padding.width

    @property
    def num_pixels(self) -> int:
        """The number that bits per pixel divide by."""
        return self.num_frames * self.height * self.width

    @property
    def duration_s(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return (self.times[-1] if self.times else (self.num_frames - 1) / self.fps) + 1 / self.fps

    def whole(self) -> Fitted:
        """All of the clip in memory, as one segment."""
        parts = list(self.segments())
        if not parts[1:]:
            return parts[0]
        padding = parts[0].padding._replace(frames=0)
        frames = [remove_padding(part.signal, (part.padding.frames, 0, 0)).frames for part in parts]
        return Fitted(Signal(torch.cat(frames), self.fps, self.name), padding)

    @property
    def target(self) -> Signal:
        """What the decoder should show, all in memory."""
        whole = self.whole()
        return remove_padding(whole.signal, whole.padding)

    @property
    def digest(self) -> bytes:
        """Sixteen bytes that change with the source and with how it is brought to size."""
        return hashlib.blake2b(self.identity + repr((self.num_frames, self.shape)).encode(), digest_size=16).digest()


def open_source(
    path: Path,
    shape: Shape,
    *,
    start: int = 0,
    frames: int | None = None,
    fps: Fraction | float | str | None = None,
) -> Clip:
    """The clip at ``path``: a video, an image or a folder of frames.

    Args:
        path: Of the source.
        shape: How it is brought to size.
        start: First frame.
        frames: How many frames: at most with ``fit`` scale and pad, exactly otherwise; all that follow if None.
        fps: Constant frame rate in place of the source's own times.

    Raises:
        SignalError: If the source cannot be read, is too short, or does not fit the model.
    """
    with open_clip(path, fps) as reader:
        if not 0 <= start < reader.num_frames:
            next(reader.frames(start))  # raises what is wrong
        count = _checked_count(reader.name, reader.num_frames - start, frames, shape)
        times, rate = None, reader.fps
        if not reader.is_constant_rate:
            shown = reader.times[start : start + count]
            times = [time - shown[0] for time in shown]
            _check_rising(reader.name, times, start)
            rate = (count - 1) / times[-1] if count > 1 else rate
        size = reader.height, reader.width
        resolved = _resolved(shape, *size, reader.sample_aspect_ratio)
        aspect = reader.sample_aspect_ratio
        if shape.fit == "scale":
            aspect = new_sample_aspect_ratio(*size, aspect, *_sides(resolved))
        return Clip(
            reader.name,
            size,
            count,
            rate,
            aspect,
            reader.times[start],
            times,
            resolved,
            lambda: (frame.pixels for frame in reader.frames(start, count)),
            f"{sha256_of(path)} {start} {rate}".encode(),
        )


def _check_rising(name: str, times: list[Fraction], start: int) -> None:
    """Refuse ``times`` of the frames from ``start`` on, in seconds, if two frames share one."""
    for number, (before, after) in enumerate(pairwise(times), start=start):
        if after <= before:
            raise SignalError(
                f"{name} shows frames {number} and {number + 1} at the same time, {float(before):g} s after frame "
                f"{start}; give --data.fps, e.g. 25, in place of its own times"
            )


def clip_of(signal: Signal, shape: Shape, frames: int | None = None) -> Clip:
    """The clip of a signal in memory; arguments and errors as of `open_source`."""
    count = _checked_count(signal.name, signal.num_frames, frames, shape)
    pictures, size = signal.frames[:count], (signal.height, signal.width)
    identity = hashlib.blake2b(pictures.contiguous().numpy().tobytes(), digest_size=16).digest()
    resolved = _resolved(shape, *size, Fraction(1))
    return Clip(
        signal.name, size, count, signal.fps, Fraction(1), Fraction(0), None, resolved, pictures.__iter__, identity
    )


def _checked_count(name: str, available: int, frames: int | None, shape: Shape) -> int:
    if frames is not None and frames < 1:
        raise SignalError(f"frames={frames}; wanted at least 1, or leave out --data.frames for all")
    count = available if frames is None else frames
    if shape.temporal_factor is None and count > 1:
        raise SignalError(f"{name} has {available} frames and the base model takes one, an image; use --data.frames 1")
    if frames is None or shape.fit in ("scale", "pad"):
        return min(count, available)
    return check_frame_count(name, available, frames, shape.temporal_factor)


def _resolved(shape: Shape, height: int, width: int, sample_aspect_ratio: Fraction) -> Shape:
    """``shape`` with the rows and columns of a source of ``height`` rows and ``width`` columns."""
    if shape.fit != "scale":
        return shape
    rows, columns = output_size(height, width, sample_aspect_ratio, "source" if shape.height is None else shape.height)
    return replace(shape, height=rows, width=columns)


def _sides(shape: Shape) -> tuple[int, int]:
    assert isinstance(shape.height, int)
    assert shape.width is not None
    return shape.height, shape.width


def _cut(frames: Iterator[Tensor], shape: Shape) -> Iterator[list[Tensor]]:
    """``frames`` in segments; no more than one, and what its end depends on, is in memory."""
    if not shape.known:
        yield from Segmenter(shape.longest, shape.block).segments(frames)
        return
    for length, _ in shape.known:
        if pictures := list(islice(frames, length)):
            yield pictures


def _stacked(pictures: list[Tensor]) -> Tensor:
    """``[n, 3, H, W]`` of ``pictures``, which is emptied: a segment's frames are in memory once."""
    frames = torch.stack(pictures)
    pictures.clear()
    return frames


def _fitted(segment: Signal, number: int, shape: Shape) -> Fitted:
    if shape.known and shape.fit in ("scale", "pad"):
        padding = shape.known[number][1]
        return Fitted(add_padding(segment, padding), padding)
    fit = partial(fit_signal, segment, multiple=shape.multiple, temporal_factor=1)
    if shape.fit == "scale":
        fitted = fit(mode="pad")
    else:
        assert shape.height != "source"
        fitted = fit(height=shape.height, width=shape.width, mode=shape.fit)
    filled = fit_signal(fitted.signal, mode="pad", multiple=(1, 1), temporal_factor=shape.temporal_factor)
    return Fitted(filled.signal, fitted.padding._replace(frames=filled.padding.frames))
