"""A clip coded segment by segment: each is steered towards its source, and bits go where the model is wrong.

The encoder takes every step by the decoder's own code and shows what the decoder will show, so nothing is decoded a
second time. It holds one segment at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import floor
from typing import Protocol

import numpy as np
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.segments import segment_seed, without_indices
from vov_lightning.bitstream.wire import write_varint
from vov_lightning.codec.decode import checked_size, decode_latents, sample
from vov_lightning.codec.settings import sampler_of, steering_of, with_steering
from vov_lightning.codec.steer import MOST_BITS, scale_to_quality, steered, with_indices
from vov_lightning.errors import SettingError
from vov_lightning.progress import Progress
from vov_lightning.sampling.config import ScalingConfig, check_scaling, longest_index, most_bits
from vov_lightning.video import Fitted, Signal, remove_padding
from vov_lightning.video.compare import psnr_db


class SegmentStore(Protocol):
    """Where segments are kept that are done, so that an encoder that was stopped goes on behind them."""

    def get(self, number: int, template: VovFile) -> tuple[VovFile, Tensor] | None:
        """Segment ``number`` with its decoded latents, if it was made from ``template``."""

    def put(self, number: int, part: VovFile, latents: Tensor) -> None:
        """Keep segment ``number``."""


LEFT_OVER = 2.0
"""Bits that a segment may take, relative to an even share: others may leave theirs."""
MOST_BPP = 0.25
"""Bits per pixel for which a quality is searched, before indices are shorter."""
SEGMENT_BYTES = 9
"""What a segment costs besides its indices, at most in all but odd clips: its line in the table, and a checksum."""


@dataclass(frozen=True)
class Coded:
    """A segment that is done."""

    part: VovFile
    """The segment as a file of its own."""
    source: Fitted
    """What it was made from."""
    decoded: Signal
    """What the decoder shows of it, without padding."""


class Budget:
    """Bits for the indices of a clip: every frame gets as many; what a segment leaves goes to those that follow.

    Args:
        bits: All of them.
        num_frames: Frames of the clip.
    """

    def __init__(self, bits: float, num_frames: int) -> None:
        self.bits_left, self.frames_left = bits, num_frames

    def share(self, num_frames: int) -> int:
        """Bits for the next segment, of ``num_frames`` frames."""
        return max(0, int(self.bits_left * num_frames / self.frames_left))

    def spend(self, bits: float, num_frames: int) -> None:
        """Note what that segment took."""
        self.bits_left -= bits
        self.frames_left -= num_frames


def scale(
    file: VovFile,
    base: BaseModel,
    source: Fitted | Iterable[Fitted],
    config: ScalingConfig,
    *,
    longest: int | None = None,
    progress: Progress = iter,
) -> VovFile:
    """``file`` with indices that lead its decoder towards ``source``; vector, caption and sound stay as they are.

    Args:
        file: Any file; indices that it holds are replaced.
        base: The model that it was fitted on.
        source: The clip at the file's size, or its segments.
        config: How many index bits, or what is to be reached with them, and what they choose from.
        longest: Frames of the longest segment; all frames if left out.
        progress: Wraps the sampler's steps, e.g. in a progress bar; a search samples more than once.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        SettingError: If ``source`` is not of the file's size, no step can carry an index, or a target is out of reach.
    """
    segments = [source] if isinstance(source, Fitted) else source
    coded = code_clip(file, base, segments, config, longest=longest, progress=progress)
    return assemble(file, (one.part for one in coded))


def code_clip(
    file: VovFile,
    base: BaseModel,
    segments: Iterable[Fitted],
    config: ScalingConfig,
    *,
    longest: int | None = None,
    store: "SegmentStore | None" = None,
    progress: Progress = iter,
) -> Iterator[Coded]:
    """Every segment of a clip with its indices, in order, as soon as it is done.

    Args:
        file: What the segments share: header, caption, vector, sound, times. Its own indices are left out.
        base: The model that it was fitted on.
        segments: The clip, at the size of ``file``.
        config: How many index bits, or what is to be reached with them. ``bits`` and ``target_bpp`` are of the whole
            clip, and the sound does not count; ``target_psnr`` is reached by every segment.
        longest: Frames of the longest segment; all frames if left out.
        store: Keeps each segment as soon as it is done; what it holds already is not coded again.
        progress: Wraps the sampler's steps of each segment.

    Raises:
        SettingError: If a target is out of reach, or decoders do not take as many indices by default.
    """
    check_scaling(sampler_of(file.header), config)
    file = file.keep_steps(0)
    config = _with_fitting_indices(file, config, file.header.frames if longest is None else longest)
    budget = Budget(_index_bits(file, config), file.header.frames)
    parts: list[VovFile] = []
    for number, source in enumerate(segments):
        template = segment_file(file, number, source)
        size = checked_size(template.header, base)
        kept = None if store is None else store.get(number, template)
        if kept is None:
            bits = min(_bits_for(template, parts, file, config, budget), most_bits(config.index_bits))
            kept = _code(template, base, size, source, config, bits, progress)
            if store is not None:
                store.put(number, *kept)
        part, latents = kept
        parts.append(part)
        budget.spend(_bits_of(part, config), template.header.frames)
        shown = decode_latents(base, latents, size, part.header)
        yield Coded(part, source, remove_padding(shown, source.padding))
        del source, kept, latents, shown  # frames of two segments at once would be twice the memory


def _with_fitting_indices(file: VovFile, config: ScalingConfig, longest: int) -> ScalingConfig:
    """``config`` with indices so short that decoders take those of a segment of ``longest`` frames by default."""
    share = min(1.0, longest / file.header.frames)
    if config.target_psnr is not None:
        bits = min(MOST_BITS, MOST_BPP * share * file.header.num_pixels)
    else:
        whole = config.bits if config.target_bpp is None else config.target_bpp * file.header.num_pixels
        bits = min(1.0, LEFT_OVER * share) * whole
    return replace(config, index_bits=longest_index(config.index_bits, bits))


def segment_file(file: VovFile, number: int, source: Fitted) -> VovFile:
    """Segment ``number`` of ``file`` as a file of its own, before it has indices."""
    header = replace(
        without_indices(file.header),
        frames=source.num_frames,
        pad_frames=source.padding.frames,
        seed=segment_seed(file.header.seed, number),
    )
    return VovFile(header, file.caption, file.symbols)


def assemble(file: VovFile, parts: Iterable[VovFile]) -> VovFile:
    """``file`` with the segments of ``parts``, each a file of its own."""
    parts = list(parts)
    steered = next((part.header for part in parts if part.indices), None)
    header = without_indices(file.header)
    if steered is not None:
        header = with_steering(header, steering_of(steered))
    pad_frames = parts[0].header.pad_frames if len(parts) == 1 else 0
    header = replace(header, frames=sum(part.header.frames for part in parts), pad_frames=pad_frames)
    return replace(file, header=header, segments=tuple(part.segments[0] for part in parts))


def _code(
    template: VovFile,
    base: BaseModel,
    size: ClipSize,
    source: Fitted,
    config: ScalingConfig,
    bits: int,
    progress: Progress,
) -> tuple[VovFile, Tensor]:
    """A segment with indices of at most ``bits``, and its latents as the decoder will see them: one pass."""
    if config.target_psnr is not None:
        target = remove_padding(source.signal, source.padding)

        def quality(part: VovFile, latents: Tensor) -> float:
            shown = decode_latents(base, latents, size, part.header)
            return psnr_db(remove_padding(shown, source.padding), target)

        free, wanted = replace(config, target_psnr=None), config.target_psnr
        return scale_to_quality(template, base, source.signal, free, quality, wanted, progress=progress)
    if bits < config.index_bits:
        return template, sample(template, base, progress=progress)
    now, with_counts = replace(config, bits=bits, target_bpp=None), config.target_bpp is not None
    return steered(template, base, source.signal, now, with_counts=with_counts, progress=progress)


def _bits_for(template: VovFile, parts: list[VovFile], file: VovFile, config: ScalingConfig, budget: "Budget") -> int:
    """Bits for the indices of the segment of ``template``, which follows ``parts``; for a target, with their counts.

    Raises:
        SettingError: If the segments alone are above the target.
    """
    bits = budget.share(template.header.frames)
    if config.target_bpp is None:
        return bits
    if template.header.frames < budget.frames_left:
        num_bytes = bits // 8 - SEGMENT_BYTES
    else:  # the last one: what is left to the byte
        _check_target(assemble(file, [*parts, template]), config)
        # More than there is, so that no length in the file takes more bytes than here.
        count = (bits + 8 * SEGMENT_BYTES * (len(parts) + 1)) // config.index_bits + 1
        most = with_indices(template, (np.zeros(count, np.int64),), config)
        left_bits = config.target_bpp * file.header.num_pixels - _counted_bits(assemble(file, [*parts, most]))
        num_bytes = most.section_bytes()["indices"] + floor(left_bits / 8)
    blocks = write_varint(template.header.frames) if template.header.context else b""  # their number
    return 8 * (num_bytes - len(write_varint(template.header.steps) + blocks))


def _index_bits(file: VovFile, config: ScalingConfig) -> float:
    """Bits for the segments: what the target leaves beside everything else in the file but the sound.

    Raises:
        SettingError: If it leaves nothing.
    """
    if config.target_bpp is None:
        return config.bits
    _check_target(file, config)
    return config.target_bpp * file.header.num_pixels - _counted_bits(file)


def _check_target(file: VovFile, config: ScalingConfig) -> None:
    """Refuse a target that ``file`` is above before it has indices, or after those of its first segments."""
    if config.target_bpp is not None and _counted_bits(file) > config.target_bpp * file.header.num_pixels:
        raise SettingError(
            f"target_bpp={config.target_bpp} is below the {_counted_bits(file) / file.header.num_pixels:.4f} bpp of "
            f"the file without {'any' if file.header.kernel == 'ode' else 'further'} indices; raise it, or fit with a "
            "larger lmbda"
        )


def _counted_bits(file: VovFile) -> int:
    """Bits that a target counts: all but the sound's."""
    return 8 * file.bytes_without_sound


def _bits_of(part: VovFile, config: ScalingConfig) -> float:
    """What ``part`` takes of the budget."""
    if config.target_bpp is None:
        return config.index_bits * sum(map(len, part.indices))
    return 8 * (part.section_bytes()["indices"] + SEGMENT_BYTES)
