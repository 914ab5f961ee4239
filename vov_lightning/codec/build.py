"""A quantised vector and a clip's shape into a file, before it has indices."""

from dataclasses import astuple, replace
from fractions import Fraction
from math import lcm

import numpy as np
import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import FrameTimes, Header, VovFile
from vov_lightning.codec.decode import generated_size
from vov_lightning.codec.settings import with_sampler
from vov_lightning.errors import SettingError
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted
from vov_lightning.video.source import Clip


def build_file(
    base: BaseModel,
    source: Fitted,
    caption: str,
    symbols: Tensor,
    step: float,
    adapter: AdapterConfig,
    sampler: SamplerConfig,
) -> VovFile:
    """File of one segment that decodes to the clip of ``symbols`` [k] int.

    Args:
        base: Model that the vector was fitted on.
        source: The fitted signal; its size, frame rate and padding go into the file.
        caption: Text that conditions the model.
        symbols: Quantised vector; empty for a file without one, which is the base model's own clip.
        step: Quantiser step, a float32 value (`vov_lightning.bitstream.short_float32` gives one that costs little).
        adapter: Shape of the adapter.
        sampler: How the decoder samples.

    Raises:
        SettingError: If the sampler's arithmetic is not that of the weights.
    """
    if sampler.compute_dtype == "float32" and base.dtype != torch.float32:
        raise SettingError(
            f"compute_dtype=float32, but the weights of {base.name} are {base.dtype}, and so is what they compute; use "
            "--model.sampler.compute_dtype weights, or --model.base.dtype float32"
        )
    signal, padding = source.signal, source.padding
    size = ClipSize(signal.num_frames, signal.height, signal.width)
    header = Header(
        base_name=base.name,
        base_revision=base.revision,
        base_fingerprint=base.fingerprint(),
        frames=signal.num_frames - padding.frames,
        height=signal.height - padding.height,
        width=signal.width - padding.width,
        pad_frames=padding.frames,
        pad_height=padding.height,
        pad_width=padding.width,
        fps=signal.fps,
        vae_tiling=base.vae_tiling,
        window=window_of(base, size),
        context=context_of(base, size),
        deblock=deblock_of(base, size),
    )
    header = with_sampler(header, sampler)
    if len(symbols):
        header = with_adapter(replace(header, k=len(symbols), step=step), adapter, base)
    return VovFile(header, caption, symbols.cpu().numpy().astype(np.int32))


def with_adapter(header: Header, adapter: AdapterConfig, base: BaseModel) -> Header:
    """``header`` of a file with a vector, that describes ``adapter``."""
    if adapter.scheme == "dictionary":
        assert base.dictionary is not None, "the fit had one"
        return replace(header, hash_scheme=adapter.scheme, hash_seed=base.dictionary.digest)
    return replace(
        header,
        rank=adapter.rank,
        targets=base.targets_to_mask(adapter.targets or base.default_targets),
        hash_seed=0 if adapter.scheme == "lora" else adapter.seed,
        hash_scheme=adapter.scheme,
    )


def without_vector(file: VovFile) -> VovFile:
    """``file`` of the base model itself; caption, indices and the rest stay."""
    plain = {name: getattr(Header, name) for name in ("k", "step", "rank", "targets", "hash_seed", "hash_scheme")}
    return replace(file, header=replace(file.header, **plain), symbols=np.zeros(0, np.int32))


def for_clip(first: VovFile, clip: Clip, base: BaseModel) -> VovFile:
    """The file of ``clip`` before its segments are known, from that of its first segment."""
    whole = generated_size(first.header)
    if not clip.is_one_segment:
        whole = replace(whole, frames=clip.shape.longest)
    header = replace(
        first.header,
        window=window_of(base, whole),
        context=context_of(base, whole),
        deblock=deblock_of(base, whole),
        frames=clip.num_frames,
        pad_frames=first.header.pad_frames if clip.is_one_segment else 0,
        sample_aspect_ratio=clip.sample_aspect_ratio,
    )
    return VovFile(header, first.caption, first.symbols, times=coded_times(clip.times))


def window_of(base: BaseModel, size: ClipSize) -> tuple[int, ...]:
    """`Header.window` of a clip whose segments are of ``size``: the base model's, or nothing where one holds it all."""
    if base.window is None:
        return ()
    if context_of(base, size):
        return astuple(replace(base.window, overlap_frames=0))
    return () if base.window.count(base.latent_shape(size)[1:]) == 1 else astuple(base.window)


def context_of(base: BaseModel, size: ClipSize) -> int:
    """`Header.context` of a clip whose segments are of ``size``: the base model's, or 0 where each is one block."""
    frames = base.latent_shape(size)[1]
    if base.window is None or not base.context or frames <= base.window.frames - base.context:
        return 0
    return base.context


def deblock_of(base: BaseModel, size: ClipSize) -> bool:
    """`Header.deblock` of a clip whose segments are of ``size``: where the base model decodes blocks one by one."""
    return base.block_frames > 1 and context_of(base, size) > 0


def coded_times(times: list[Fraction] | None) -> FrameTimes | None:
    """Times of frames as the file holds them: whole ticks of the longest clock that has them all."""
    if times is None or len(times) < 2:
        return None
    base = Fraction(1, lcm(*(time.denominator for time in times)))
    return FrameTimes(base, np.array([int(time / base) for time in times]))
