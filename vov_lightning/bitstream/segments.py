"""Segments: a clip in parts, each with its own latents, noise and indices; header, caption and vector are shared."""

from dataclasses import dataclass, replace

import numpy as np

from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.indices import Indices, check_indices
from vov_lightning.bitstream.wire import Unsigned
from vov_lightning.errors import BitstreamError

_CHECKED = "_checked"


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment of a clip.

    ``frames`` are shown; ``pad_frames`` more are decoded behind them and cut off. ``indices`` are those of each step.
    ``damage`` says why the segment cannot be decoded; it is empty for all others.
    """

    frames: int
    pad_frames: int = 0
    indices: Indices = ()
    damage: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segment):
            return NotImplemented
        same_words = (self.frames, self.pad_frames, self.damage) == (other.frames, other.pad_frames, other.damage)
        same_steps = len(self.indices) == len(other.indices)
        return same_words and same_steps and all(map(np.array_equal, self.indices, other.indices))

    def __hash__(self) -> int:
        return hash((self.frames, self.pad_frames, self.damage, len(self.indices)))


def check_segments(segments: tuple[Segment, ...], header: Header) -> tuple[Segment, ...]:
    """``segments`` in canonical form; one without indices if there are none.

    Raises:
        BitstreamError: If they do not add up to the header's frames, or carry indices that it does not allow.
    """
    segments = tuple(segments) or (Segment(header.frames, header.pad_frames),)
    checked = tuple(_checked(segment, number, header) for number, segment in enumerate(segments))
    shown = sum(segment.frames for segment in checked)
    if shown != header.frames:
        raise BitstreamError(f"header says frames={header.frames}, but the segments have {shown}")
    wanted_pads = checked[0].pad_frames if len(checked) == 1 else 0
    if header.pad_frames != wanted_pads:
        raise BitstreamError(
            f"header says pad_frames={header.pad_frames}, wanted {wanted_pads}: that of the only segment, or 0 where "
            f"there are several ({len(checked)}), each with its own"
        )
    steered = any(segment.indices or segment.damage for segment in checked)
    if steered != (header.kernel != "ode"):
        raise BitstreamError(
            f"header says kernel={header.kernel}, but the segments have {'some' if steered else 'no'} indices; ode "
            "takes none, another kernel some"
        )
    return checked


def _checked(segment: Segment, number: int, header: Header) -> Segment:
    if vars(segment).get(_CHECKED) == _key(header):
        return segment
    try:
        frames = Unsigned(1, 2**32 - 1).check(segment.frames)
        pad_frames = Unsigned(0, 2**32 - 1).check(segment.pad_frames)
        indices = check_indices(segment.indices, header.index_bits)
    except BitstreamError as error:
        raise BitstreamError(f"segment {number}: {error}") from None
    blocks = frames + pad_frames if header.context else 1
    if len(indices) >= blocks * header.steps or any(map(len, indices[header.steps - 1 :: header.steps])):
        of_blocks = f" in each of {blocks} blocks" if header.context else ""
        raise BitstreamError(
            f"segment {number} has indices for {len(indices)} of {header.steps} steps{of_blocks}; the last step takes "
            "none"
        )
    if segment.damage and indices:
        raise BitstreamError(f"segment {number} is damaged ({segment.damage}), but has indices")
    return mark_checked(replace(segment, frames=frames, pad_frames=pad_frames, indices=indices), header)


def mark_checked(segment: Segment, header: Header) -> Segment:
    """``segment``, which remembers that it was found to fit ``header``: a file of many is taken apart and put together
    without looking at all indices again."""
    object.__setattr__(segment, _CHECKED, _key(header))
    return segment


def _key(header: Header) -> tuple[int, int, bool]:
    """What of ``header`` the indices of a segment must fit."""
    return header.index_bits, header.steps, header.context > 0


def first_steps(indices: Indices, number: int | None, header: Header) -> Indices:
    """``indices`` of the first ``number`` steps, of every block where there are blocks; all for None."""
    if number is None or not header.context:
        return indices[:number]
    nothing = np.zeros(0, np.int64)
    return tuple(step if place % header.steps < number else nothing for place, step in enumerate(indices))


def without_indices(header: Header) -> Header:
    """``header`` of a clip that no indices steer."""
    return replace(header, kernel="ode", eta=0.0, codebook="hadamard", index_bits=8)


def segment_seed(seed: int, number: int) -> int:
    """Seed of segment ``number`` (from 0) of a clip with ``seed``."""
    return (seed + number) % 2**64
