"""Index bits for a segment: lead its decoder towards the clip, to a budget or a quality, or drop some again."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import VovFile, without_indices
from vov_lightning.bitstream.indices import Indices, check_indices
from vov_lightning.codec.decode import blocks_of, checked_size, sample
from vov_lightning.codec.settings import sampler_of, with_steering
from vov_lightning.errors import SettingError
from vov_lightning.progress import Progress
from vov_lightning.sampling.config import ScalingConfig, SteeringConfig, check_scaling, longest_index, most_bits
from vov_lightning.sampling.steering import Search
from vov_lightning.video import Signal

FIRST_GUESS_BITS = 256
MOST_BITS = 2**22
PRECISION = 1.02
"""A search for a quality stops when its budget is known to this factor."""


def steer(
    file: VovFile, base: BaseModel, source: Signal, config: ScalingConfig, *, progress: Progress = iter
) -> VovFile:
    """``file`` with at most ``config.bits`` bits of indices.

    Args:
        file: A file of one segment; indices that it holds are replaced.
        base: The model that it was fitted on.
        source: The clip at the file's size, padding included.
        config: How many index bits, and what they choose from.
        progress: Wraps the sampler's steps, e.g. in a progress bar.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        SettingError: If ``source`` is not of the file's size, no step can carry an index, or decoders do not take as
            many indices by default.
    """
    fitting = replace(config, index_bits=longest_index(config.index_bits, config.bits))
    return steered(file, base, source, fitting, progress=progress)[0]


@torch.no_grad()
def steered(
    file: VovFile,
    base: BaseModel,
    source: Signal,
    config: ScalingConfig,
    *,
    with_counts: bool = False,
    progress: Progress = iter,
) -> tuple[VovFile, Tensor]:
    """Result of `steer`, and the latents at which the decoder will arrive.

    ``with_counts``: as of `Search`.
    """
    check_scaling(sampler_of(file.header), config)
    size = checked_size(file.header, base)
    check_source(source, size)
    plain = keep_steps(file, 0)
    clean = base.encode(source.frames)
    blocks, header = blocks_of(plain.header), plain.header
    block = None if blocks is None else blocks.length
    weights = base.latent_weights(clean)
    times = sampler_of(header).times().tolist()
    search = Search(config, clean, header.seed, times, weights=weights, block=block, with_counts=with_counts)
    latents = sample(plain, base, search, progress=progress)
    indices = check_indices([step.cpu().numpy() for step in search.indices], config.index_bits)
    return with_indices(plain, indices, config), latents


def check_source(source: Signal, size: ClipSize) -> None:
    """Refuse a source that is not of a file's size, padding included.

    Raises:
        SettingError: If frames, height or width differ.
    """
    wanted = (size.frames, 3, size.height, size.width)
    if source.frames.shape != wanted:
        raise SettingError(
            f"the source has {tuple(source.frames.shape)} frames, channels, rows and columns; the file wants {wanted}"
        )


def keep_steps(file: VovFile, number: int) -> VovFile:
    """``file`` with the indices of its first ``number`` steps only: shorter, and still valid.

    Raises:
        SettingError: If ``number`` is below 0.
    """
    if number < 0:
        raise SettingError(f"keep_steps={number} is below 0; 0 drops all indices")
    return file.keep_steps(number)


def with_indices(file: VovFile, indices: Indices, config: SteeringConfig) -> VovFile:
    """``file`` of one segment with ``indices`` in place of its own; without any, its kernel is the plain one."""
    header = without_indices(file.header)
    if any(map(len, indices)):
        header = with_steering(header, config)
    return replace(file, header=header, segments=(replace(file.segments[0], indices=indices),))


@torch.no_grad()
def scale_to_quality(
    file: VovFile,
    base: BaseModel,
    source: Signal,
    config: ScalingConfig,
    quality: Callable[[VovFile, Tensor], float],
    wanted: float,
    *,
    progress: Progress = iter,
) -> tuple[VovFile, Tensor]:
    """The smallest scaled file whose ``quality`` is at least ``wanted``, and the latents that its decoder ends with.

    Its budget is known to 2 %.

    Args:
        file: Any file; indices that it holds are replaced.
        base: The model that it was fitted on.
        source: The clip at the file's size, padding included.
        config: What indices choose from; its budget is not used.
        quality: Figure of a file and its latents, larger is better: for example the PSNR of what they decode to.
        wanted: The least figure.

    Raises:
        SettingError: If ``wanted`` is not reached before steps carry all that they need.
    """
    plain = keep_steps(file, 0)
    best = plain, sample(plain, base, progress=progress)
    if quality(*best) >= wanted:
        return best
    low, high = 0, FIRST_GUESS_BITS
    while True:
        size = len(best[0].to_bytes())
        best = steered(file, base, source, replace(config, bits=high), progress=progress)
        found = quality(*best)
        if found >= wanted:
            break
        if 2 * high > min(MOST_BITS, most_bits(config.index_bits)) or len(best[0].to_bytes()) <= size:
            raise SettingError(f"a quality of {wanted} is out of reach: {high} index bits reach {found:.2f}; lower it")
        low, high = high, 2 * high
    while high > max(PRECISION * low, config.index_bits) + config.index_bits:
        middle = (low + high) // 2
        candidate = steered(file, base, source, replace(config, bits=middle), progress=progress)
        if quality(*candidate) >= wanted:
            best, high = candidate, middle
        else:
            low = middle
    return best
