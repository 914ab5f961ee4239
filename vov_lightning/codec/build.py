"""A quantised vector and a clip's shape into a file, before it has indices."""

from dataclasses import astuple, replace
from fractions import Fraction
from math import lcm

import numpy as np
import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import FrameTimes, Header, VovFile
from vov_lightning.codec.settings import with_sampler
from vov_lightning.errors import SettingError
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Signal
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
        window=window_of(base, signal),
    )
    header = with_sampler(header, sampler)
    if len(symbols):
        targets = base.targets_to_mask(adapter.targets or base.default_targets)
        header = replace(
            header,
            k=len(symbols),
            step=step,
            rank=adapter.rank,
            targets=targets,
            hash_seed=0 if adapter.scheme == "lora" else adapter.seed,
            hash_scheme=adapter.scheme,
        )
    return VovFile(header, caption, symbols.cpu().numpy().astype(np.int32))


def for_clip(first: VovFile, clip: Clip) -> VovFile:
    """The file of ``clip`` before its segments are known, from that of its first segment."""
    header = replace(
        first.header,
        frames=clip.num_frames,
        pad_frames=first.header.pad_frames if clip.is_one_segment else 0,
        sample_aspect_ratio=clip.sample_aspect_ratio,
    )
    return VovFile(header, first.caption, first.symbols, times=frame_times(clip.times))


def window_of(base: BaseModel, signal: Signal) -> tuple[int, ...]:
    """`Header.window`: the base model's windows, or nothing where one holds all of ``signal``."""
    lengths = base.latent_shape(ClipSize(signal.num_frames, signal.height, signal.width))[1:]
    if base.window is None or base.window.count(lengths) == 1:
        return ()
    return astuple(base.window)


def frame_times(times: list[Fraction] | None) -> FrameTimes | None:
    """Times of frames as the file holds them: whole ticks of the longest clock that has them all."""
    if times is None or len(times) < 2:
        return None
    base = Fraction(1, lcm(*(time.denominator for time in times)))
    return FrameTimes(base, np.array([int(time / base) for time in times]))
