"""Bring a signal to a size that a base model takes.

A base model takes heights and widths that are multiples of its stride, and ``1 + n * temporal_factor`` frames. How a
clip gets there is the user's choice, and a size that does not fit is an error that names the nearest ones that do:

- ``resize``: cut to the target's shape around the centre, then resample to it;
- ``crop``: cut around the centre, no resampling;
- ``pad``: keep every pixel and repeat the edges up to the next size that fits. The padding is returned, travels in the
  file, and the decoder cuts it off again.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional

from vov_lightning.errors import SignalError
from vov_lightning.video.signal import Signal

FitMode = Literal["resize", "crop", "pad"]


class Padding(NamedTuple):
    """How many frames, rows and columns were added at the end, at the bottom and at the right."""

    frames: int = 0
    height: int = 0
    width: int = 0


@dataclass(frozen=True, eq=False)
class Fitted:
    """A signal of a size that the base model takes, and what of it is padding."""

    signal: Signal
    padding: Padding


def fit_signal(
    signal: Signal,
    *,
    height: int | None = None,
    width: int | None = None,
    frames: int | None = None,
    mode: FitMode = "resize",
    multiple: tuple[int, int],
    temporal_factor: int | None,
) -> Fitted:
    """``signal`` at a size that the base model takes.

    Args:
        signal: Any signal.
        height: Target height in pixels. Without height and width, ``resize`` keeps the signal's size (which must fit)
            and ``crop`` takes the largest size that fits; ``pad`` takes neither.
        width: Target width in pixels; given with ``height`` or not at all.
        frames: How many frames to take, from the first; all if ``None``. In ``pad`` mode at most this many, any number.
        mode: ``resize``, ``crop`` or ``pad``.
        multiple: The base model's ``(height, width)`` multiples.
        temporal_factor: Valid frame counts are ``1 + n * temporal_factor``; ``None`` for a model that takes one frame.

    Returns:
        The fitted signal; its padding is zero unless ``mode`` is ``pad``.

    Raises:
        SignalError: If a size or frame count does not fit; the message names the nearest that do.

    Example:
        >>> from fractions import Fraction
        >>> clip = Signal(torch.zeros(7, 3, 30, 50, dtype=torch.uint8), Fraction(25), "black")
        >>> fit_signal(clip, height=16, width=32, frames=5, multiple=(16, 16), temporal_factor=4).signal
        Signal('black', 5 frames, 16x32, 25 fps)
        >>> fit_signal(clip, mode="pad", multiple=(16, 16), temporal_factor=4).padding
        Padding(frames=2, height=2, width=14)
    """
    if mode not in get_args(FitMode):
        raise SignalError(f"fit={mode!r} is unknown; use --data.fit {', '.join(get_args(FitMode))}")
    if frames is not None and frames < 1:
        raise SignalError(f"frames={frames}; wanted at least 1, or leave out --data.frames for all")
    if (height is None) != (width is None):
        raise SignalError(f"height={height} and width={width}; give both or neither")
    if mode == "pad":
        if height is not None:
            raise SignalError(f"height={height} and width={width} have no meaning with --data.fit pad; leave them out")
        return _pad(signal, frames, multiple, temporal_factor)

    num_frames = check_frame_count(signal.name, signal.num_frames, frames, temporal_factor)
    pixels = signal.frames[:num_frames]
    if mode == "crop":
        if height is None or width is None:
            height, width = (side - side % step for side, step in zip(pixels.shape[2:], multiple, strict=True))
            if height == 0 or width == 0:
                raise SignalError(
                    f"{signal.name} is {signal.height}x{signal.width}, below the smallest size that fits "
                    f"({multiple[0]}x{multiple[1]}); use --data.fit resize with a height and width, or --data.fit pad"
                )
        _check_multiples(height, width, multiple, hint="")
        pixels = _centre_crop(pixels, height, width, signal.name)
    else:
        hint = ", or --data.fit crop or pad without height and width"  # with them, crop would refuse as well
        if height is None or width is None:
            height, width, hint = signal.height, signal.width, ", or --data.fit crop or pad"
        _check_multiples(height, width, multiple, hint)
        pixels = _resize(pixels, height, width)
    return Fitted(Signal(pixels.contiguous(), signal.fps, signal.name), Padding())


def remove_padding(signal: Signal, padding: Padding | tuple[int, int, int]) -> Signal:
    """``signal`` without the frames, rows and columns that :func:`fit_signal` added.

    Raises:
        SignalError: If the padding is negative or would leave nothing.

    Example:
        >>> from fractions import Fraction
        >>> clip = Signal(torch.zeros(9, 3, 32, 64, dtype=torch.uint8), Fraction(25), "black")
        >>> remove_padding(clip, Padding(frames=2, height=2, width=14))
        Signal('black', 7 frames, 30x50, 25 fps)
    """
    padding = Padding(*padding)
    sides = (signal.num_frames, signal.height, signal.width)
    if any(not 0 <= added < side for added, side in zip(padding, sides, strict=True)):
        raise SignalError(f"{padding} does not fit {signal!r}; each must be at least 0 and below the signal's size")
    kept_frames, kept_height, kept_width = (side - added for side, added in zip(sides, padding, strict=True))
    pixels = signal.frames[:kept_frames, :, :kept_height, :kept_width].contiguous()
    return Signal(pixels, signal.fps, signal.name)


def add_padding(signal: Signal, padding: Padding) -> Signal:
    """``signal`` with its last frame, row and column repeated; the inverse of :func:`remove_padding`."""
    pixels = signal.frames
    # Indexing past the last frame, row and column with the last index repeats it.
    for dim, added in ((0, padding.frames), (2, padding.height), (3, padding.width)):
        if added:
            size = pixels.shape[dim]
            index = torch.arange(size + added, device=pixels.device).clamp(max=size - 1)
            pixels = pixels.index_select(dim, index)
    return Signal(pixels, signal.fps, signal.name)


def check_frame_count(name: str, available: int, frames: int | None, temporal_factor: int | None) -> int:
    """How many frames to take: ``frames``, or all that are ``available`` if None.

    Raises:
        SignalError: If there are not as many, or the model does not take so many; the message names the nearest counts.
    """
    wanted = available if frames is None else frames
    setting = f"frames={frames}" if frames is not None else f"{name} has {available} frames, which"
    if temporal_factor is None and wanted > 1:
        raise SignalError(f"{setting} is more than the one frame that the base model takes; use --data.frames 1")
    if wanted > available:
        below = _valid_counts_around(available, temporal_factor)[0]
        raise SignalError(
            f"frames={wanted} and {name} has only {available}; use --data.frames {below} or --data.fit pad"
        )
    nearest = _valid_counts_around(wanted, temporal_factor)
    if wanted not in nearest:
        at_hand = [count for count in nearest if count <= available]
        closest = min(abs(count - wanted) for count in at_hand)
        counts = " or ".join(str(count) for count in at_hand if abs(count - wanted) == closest)
        raise SignalError(
            f"{setting} is not 1 + a multiple of {temporal_factor}; use --data.frames {counts}, or --data.fit pad"
        )
    return wanted


def _valid_counts_around(frames: int, temporal_factor: int | None) -> tuple[int, ...]:
    """The valid count that ``frames`` is, or the nearest below and (where there is one) above."""
    if temporal_factor is None:
        return (1,)
    below = frames - (frames - 1) % temporal_factor
    return (below,) if below == frames else (below, below + temporal_factor)


def _check_multiples(height: int, width: int, multiple: tuple[int, int], hint: str) -> None:
    for name, side, step in (("height", height, multiple[0]), ("width", width, multiple[1])):
        if side < 1 or side % step:
            below = side - side % step
            nearest = f"{below} or {below + step}" if below > 0 else str(step)
            raise SignalError(f"{name}={side} is not a multiple of {step}; use {nearest}{hint}")


def _centre_crop(pixels: Tensor, height: int, width: int, name: str) -> Tensor:
    source_height, source_width = pixels.shape[2:]
    if height > source_height or width > source_width:
        raise SignalError(
            f"height={height} and width={width} cannot be cut out of {name}, which is {source_height}x{source_width}; "
            "use a smaller size, or --data.fit resize"
        )
    top, left = (source_height - height) // 2, (source_width - width) // 2
    return pixels[:, :, top : top + height, left : left + width]


def _resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """``pixels`` cut to the aspect ratio around the centre and resampled to ``[T, 3, height, width]``."""
    source_height, source_width = pixels.shape[2:]
    if source_width * height > source_height * width:
        cut_height, cut_width = source_height, max(1, round(source_height * width / height))
    else:
        cut_height, cut_width = max(1, round(source_width * height / width)), source_width
    pixels = _centre_crop(pixels, cut_height, cut_width, "the signal")
    return resample(pixels, height, width)


def resample(pixels: Tensor, height: int, width: int) -> Tensor:
    """Frames ``[T, 3, H, W]`` uint8 resampled to ``[T, 3, height, width]``, every pixel of the source counted.

    Means over areas where that shrinks both sides, antialiased bicubic where it enlarges one; computed in float64 and
    rounded half to even, so that one machine's order of summation and another's give the same bytes.
    """
    source_height, source_width = pixels.shape[2:]
    if (source_height, source_width) == (height, width):
        return pixels
    resized = torch.empty(pixels.shape[0], 3, height, width, dtype=torch.uint8, device=pixels.device)
    for target, frame in zip(resized, pixels, strict=True):  # one by one: float64 takes eight times the memory
        if height <= source_height and width <= source_width:
            values = functional.interpolate(frame[None].double(), (height, width), mode="area")
        else:
            values = functional.interpolate(frame[None].double(), (height, width), mode="bicubic", antialias=True)
        target.copy_(values[0].round().clamp(0, 255))
    return resized


def _pad(signal: Signal, frames: int | None, multiple: tuple[int, int], temporal_factor: int | None) -> Fitted:
    pixels = signal.frames if frames is None else signal.frames[:frames]
    num_frames, _, height, width = pixels.shape
    if temporal_factor is None and num_frames > 1:
        raise SignalError(f"{signal.name} has {num_frames} frames and the base model takes one; use --data.frames 1")
    padding = Padding(
        _valid_counts_around(num_frames, temporal_factor)[-1] - num_frames, -height % multiple[0], -width % multiple[1]
    )
    return Fitted(add_padding(Signal(pixels, signal.fps, signal.name), padding), padding)
