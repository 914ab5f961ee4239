"""A clip as the codec takes it: segments at a size that the base model takes, read anew for every pass over it.

Nothing here holds more than a segment, so a clip may be longer than memory.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.files import sha256_of
from vov_lightning.video.geometry import FitMode, Fitted, check_frame_count, fit_signal, remove_padding
from vov_lightning.video.resize import output_size
from vov_lightning.video.scenes import cut_into_segments
from vov_lightning.video.signal import Signal
from vov_lightning.video.stream import open_clip

Height = int | Literal["source"]
"""Rows to which a clip is brought; ``source``: its own."""


@dataclass(frozen=True)
class Shape:
    """How a clip is brought to a base model's size and cut into segments.

    Args:
        fit: How a frame gets to its size (`fit_signal`).
        height: Rows; None where ``fit`` wants none.
        width: Columns; None where ``fit`` wants none, or they follow from the rows.
        multiple: Height and width of a frame are multiples of these.
        temporal_factor: Frames of a segment are ``1 + n * temporal_factor``; None for a model of images.
        longest: Frames of the longest segment.
        block: Segments are cut at multiples of so many frames where nothing else cuts them.
        lengths: Frames of each segment in place of ``longest`` and of cuts at scene changes.
    """

    fit: FitMode = "scale"
    height: Height | None = None
    width: int | None = None
    multiple: tuple[int, int] = (1, 1)
    temporal_factor: int | None = 1
    longest: int = 2**31
    block: int = 1
    lengths: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """A part of a source, brought to ``shape``.

    Args:
        name: What it is called.
        num_frames: Frames, without padding.
        fps: Frames a second, on average.
        sample_aspect_ratio: Width of a pixel over its height.
        times: When each frame is shown, in seconds since the first; None at a constant rate.
        shape: How it is brought to size.
        frames: Opens the source and yields its frames ``[3, H, W]`` uint8, from the first that belongs to the clip.
        identity: Changes when the source does.
    """

    name: str
    num_frames: int
    fps: Fraction
    sample_aspect_ratio: Fraction
    times: list[Fraction] | None
    shape: Shape
    frames: Callable[[], Iterator[Tensor]]
    identity: bytes

    def segments(self) -> Iterator[Fitted]:
        """The segments, one after the other; their padding is cut off again by the decoder.

        Raises:
            SignalError: If the source cannot be read to its end.
        """
        shape = self.shape
        frames = self.frames()
        for pictures in cut_into_segments(frames, shape.longest, shape.block, shape.lengths):
            yield _fitted(Signal(pictures, self.fps, self.name), shape)

    @cached_property
    def first(self) -> Fitted:
        """The first segment."""
        return next(self.segments())

    @property
    def is_one_segment(self) -> bool:
        """Whether the first segment is the whole clip."""
        return _shown(self.first) == self.num_frames

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
        return self.num_frames / self.fps

    def whole(self) -> Fitted:
        """All of the clip in memory, as one segment."""
        parts = list(self.segments())
        if not parts[1:]:
            return parts[0]
        shown = [remove_padding(part.signal, part.padding._replace(height=0, width=0)).frames for part in parts]
        signal = Signal(torch.cat(shown), self.fps, self.name)
        return Fitted(signal, parts[0].padding._replace(frames=0))

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
        shape: How it is brought to size; the height of ``fit="scale"`` may be ``source``.
        start: First frame.
        frames: How many frames at most, and with ``fit`` resize and crop exactly; all that follow if None.
        fps: Constant frame rate in place of the source's own times.

    Raises:
        SignalError: If the source cannot be read, is too short, or does not fit the model.
    """
    with open_clip(path, fps) as reader:
        if start < 0 or start >= reader.num_frames:
            next(reader.frames(start))  # raises what is wrong
        count = _checked_count(reader.name, reader.num_frames - start, frames, shape)
        times = None
        if not reader.is_constant_rate:
            shown = reader.times[start : start + count]
            times = [time - shown[0] for time in shown]
        return Clip(
            reader.name,
            count,
            reader.fps if times is None else _average_rate(times, reader.fps),
            reader.sample_aspect_ratio,
            times,
            _resolved(shape, reader.height, reader.width, reader.sample_aspect_ratio),
            lambda: (frame.pixels for frame in reader.frames(start, count)),
            sha256_of(path).encode() + f"{start}".encode(),
        )


def clip_of(signal: Signal, shape: Shape, frames: int | None = None) -> Clip:
    """The clip of a signal in memory; arguments and errors as of `open_source`."""
    count = _checked_count(signal.name, signal.num_frames, frames, shape)
    identity = hashlib.blake2b(signal.frames[:count].contiguous().numpy().tobytes(), digest_size=16).digest()
    resolved = _resolved(shape, signal.height, signal.width, Fraction(1))
    opened = lambda: iter(signal.frames[:count])  # noqa: E731  # a method of a frozen dataclass would hold the same
    return Clip(signal.name, count, signal.fps, Fraction(1), None, resolved, opened, identity)


def _checked_count(name: str, available: int, frames: int | None, shape: Shape) -> int:
    if frames is not None and frames < 1:
        raise SignalError(f"frames={frames}; wanted at least 1, or leave out --data.frames for all")
    count = available if frames is None else frames
    if shape.temporal_factor is None and count > 1:
        raise SignalError(
            f"{name} has {available} frames and the base model takes one, an image; use --data.frames 1"
        )
    if frames is None or shape.fit in ("scale", "pad"):
        return min(count, available)
    return check_frame_count(name, available, frames, shape.temporal_factor)


def _resolved(shape: Shape, height: int, width: int, sample_aspect_ratio: Fraction) -> Shape:
    """``shape`` with the rows and columns of a source of ``height`` rows and ``width`` columns."""
    if shape.fit != "scale":
        return shape
    rows, columns = output_size(height, width, sample_aspect_ratio, shape.height or "source")
    return replace(shape, height=rows, width=columns)


def _average_rate(times: list[Fraction], fps: Fraction) -> Fraction:
    """Frames a second of frames shown at ``times``; ``fps`` where there is one."""
    return fps if len(times) < 2 else ((len(times) - 1) / times[-1]).limit_denominator(2**31 - 1)


def _fitted(segment: Signal, shape: Shape) -> Fitted:
    height = None if shape.height == "source" else shape.height
    spatial = fit_signal(
        segment, height=height, width=shape.width, mode=shape.fit, multiple=shape.multiple, temporal_factor=1
    )
    temporal = fit_signal(spatial.signal, mode="pad", multiple=(1, 1), temporal_factor=shape.temporal_factor)
    return Fitted(temporal.signal, spatial.padding._replace(frames=temporal.padding.frames))


def _shown(segment: Fitted) -> int:
    return segment.signal.num_frames - segment.padding.frames
