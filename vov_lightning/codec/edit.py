"""Decode under another prompt, at another size, or several files at once (paper, sections 3.3, 4.4, appendix E.3).

A file's vector is a change to a generative model, which still listens to its
prompt and still generates any size. With strength ``s`` the velocity is

    u = u_base(prompt) + s (u_adapted(prompt) - u_base(prompt)),

so ``s`` leads from the unadapted model to the file's own. Index bits choose the
sampler's noise; kept under another prompt, they hold the clip's structure, as
the noise maps of an inverted stochastic sampler do (Huberman-Spiegelglas et al. 2024).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.bitstream.segments import segment_seed
from vov_lightning.codec.build import context_of, deblock_of, window_of
from vov_lightning.codec.decode import (
    adapted,
    blocks_of,
    check_base,
    checked_size,
    decode_latents,
    generate,
    generated_size,
    replay_of,
    velocity_field,
    windows_of,
)
from vov_lightning.codec.settings import sampler_of
from vov_lightning.errors import SettingError
from vov_lightning.flow import Velocity, guide
from vov_lightning.progress import Progress
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import check_stop_at
from vov_lightning.sampling.steering import Steering
from vov_lightning.vector.adapter import HashedLoRA
from vov_lightning.video import Padding, Signal, remove_padding


@dataclass(frozen=True)
class EditConfig:
    """Settings of a decode under another prompt; a setting left out keeps the file's value.

    Raises:
        SettingError: If a setting is out of range or contradicts another.
    """

    strength: float = 1.0
    """How much of the vector: 0 is the unadapted model, 1 the file's own, 0.65 what the paper's authors use."""
    seed: int | None = None
    """Seed of the noise; the file's own when left out. Another one drops its index bits."""
    steps: int | None = None
    """Denoising steps; the file's own when left out. Another number drops its index bits."""
    guidance: float | None = None
    """Classifier-free guidance against ``negative_prompt``. It multiplies what the vector does too: with strength
    1 / guidance that stays as it was, and the prompt alone counts more."""
    negative_prompt: str | None = None
    """What to lead away from, with ``guidance``: a prompt to the unadapted model. The base model's own when left out,
    which for nano is empty."""
    size: ClipSize | None = None
    """Frames, height and width to generate; the file's own with its padding when left out. Padding of a side that stays
    is cut off again. Other sizes drop its index bits."""
    keep_steps: int | None = None
    """Keep the index bits of the first steps only: fewer leave more to the prompt. All when left out, 0 none."""
    stop_at: float = 0.0
    """Time in [0, 1) at which sampling stops early; 0 never."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise SettingError(f"strength={self.strength} is no number; use 0.35 to 1")
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise SettingError(f"seed={self.seed} is outside 0 .. 2^64 - 1")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise SettingError(
                f"guidance={self.guidance} is no number from 0 on; use 1 for none, 2 to 5 to follow the prompt more"
            )
        if self.negative_prompt is not None and self.guidance in (None, 1):
            raise SettingError(
                f"negative_prompt={self.negative_prompt!r} does nothing with guidance={self.guidance}; "
                "set guidance to 2 or more"
            )
        check_stop_at(self.stop_at)
        if self.keep_steps is not None and self.keep_steps < 0:
            raise SettingError(f"keep_steps={self.keep_steps} is below 0; 0 drops all indices")


@torch.no_grad()
def edit(
    files: VovFile | Sequence[VovFile],
    base: BaseModel,
    prompt: str,
    config: EditConfig = EditConfig(),
    *,
    weights: Sequence[float] | None = None,
    progress: Progress = iter,
) -> Signal:
    """The clip that the adapted model generates under ``prompt``.

    With the file's own caption and nothing else said that is `vov_lightning.codec.decode`'s clip, bit for bit.

    Args:
        files: One file, or several whose vectors act together (`merge`); sampler, size, frame rate and index bits
            are the first one's.
        base: The model that they were fitted on.
        prompt: Text in place of the caption.
        config: Strength, seed, steps, guidance, size, index bits.
        weights: Factor of each file's low-rank updates; 1 each when left out.
        progress: Wraps the sampler's steps, e.g. in a progress bar.

    Raises:
        BaseModelMismatchError: If a file was fitted on another model than ``base``.
        BaseModelError: If the model cannot take the prompt or the size.
        SettingError: If settings contradict the file, or each other.
    """
    files = [files] if isinstance(files, VovFile) else list(files)
    weights = [1.0] * len(files) if weights is None else list(weights)
    check_request(files, config, weights)
    segments = _segments(files[0], config) if files[0].segments[1:] else [(files[0], config)]
    parts = [_edited([part, *files[1:]], base, prompt, own, weights, progress) for part, own in segments]
    return Signal(torch.cat([part.frames for part in parts]), files[0].header.fps, "decoded")


def _edited(
    files: Sequence[VovFile],
    base: BaseModel,
    prompt: str,
    config: EditConfig,
    weights: Sequence[float],
    progress: Progress,
) -> Signal:
    """`edit` where the first of ``files`` is a segment."""
    first = files[0].header
    sampler = _sampler(first, config)
    own_size = checked_size(first, base)
    size = config.size or own_size
    base.check_size(size)
    if size != own_size:  # as a file of that size has them
        first = replace(
            first,
            window=window_of(base, size),
            context=context_of(base, size),
            deblock=deblock_of(base, size),
        )
    steering, windows = _steering(files[0], base, config), windows_of(first)
    own = velocity_field(base, prompt, sampler, windows, first.context)
    guidance = 1.0 if config.guidance is None else config.guidance
    negative = (
        own if guidance == 1 else velocity_field(base, negative_of(base, config), sampler, windows, first.context)
    )
    with torch.autocast(base.device.type, enabled=False), merge(files, weights, base) as adapters:
        velocity = _mixed(own, adapters, config.strength)
        if guidance != 1:
            velocity = guide(velocity, _without(negative, adapters), guidance)
        latents = generate(base, velocity, sampler, size, steering, config.stop_at, progress, blocks_of(first))
    return remove_padding(decode_latents(base, latents, size, first), padding_of(first, size))


def _segments(file: VovFile, config: EditConfig) -> Iterator[tuple[VovFile, EditConfig]]:
    """Every segment of ``file`` as a file of its own, and what ``config`` means for it.

    Raises:
        SettingError: If another number of frames is asked for.
    """
    header, size = file.header, config.size
    if size is not None and size.frames != header.frames:
        raise SettingError(
            f"frames={size.frames}: a clip of {len(file.segments)} segments keeps its {header.frames}; leave it out"
        )
    for number in range(len(file.segments)):
        part = file.part(number)
        seed = None if config.seed is None else segment_seed(config.seed, number)
        other = None
        if size not in (None, generated_size(header)):
            other = replace(generated_size(part.header), height=size.height, width=size.width)
        yield part, replace(config, seed=seed, size=other)


def negative_of(base: BaseModel, config: EditConfig) -> str:
    """Negative prompt of the guidance."""
    return base.negative_prompt if config.negative_prompt is None else config.negative_prompt


def padding_of(header: Header, size: ClipSize) -> Padding:
    """Padding to cut off a clip of ``size``: the file's, for each side that has the file's length."""
    own = generated_size(header)
    return Padding(
        header.pad_frames if size.frames == own.frames else 0,
        header.pad_height if size.height == own.height else 0,
        header.pad_width if size.width == own.width else 0,
    )


@contextmanager
def merge(files: Sequence[VovFile], weights: Sequence[float], base: BaseModel) -> Iterator[list[HashedLoRA]]:
    """Within the block ``base`` computes with ``W + sum_i weights_i B_i A_i`` over the files' low-rank updates.

    Files may differ in k, rank, hash, seed and adapted layers: each projects its own vector.

    Yields:
        The adapters, in the order of the files that have one.

    Raises:
        BaseModelMismatchError: If a file was fitted on another model than ``base``.
        SettingError: If there is no file, or not one weight for each.
    """
    _check_weights(files, weights)
    for file in files:
        check_base(file.header, base)
    with ExitStack() as stack:
        entered = [
            stack.enter_context(adapted(base, file, weight)) for file, weight in zip(files, weights, strict=True)
        ]
        yield [adapter for adapter in entered if adapter is not None]


def keeps_indices(file: VovFile, config: EditConfig) -> bool:
    """Whether the file's index bits still apply: they are tied to its noise, its steps and its size."""
    header = file.header
    wanted = (config.seed, config.steps, config.size)
    own = (header.seed, header.steps, generated_size(header))
    same = all(new in (None, old) for new, old in zip(wanted, own, strict=True))
    return any(segment.indices for segment in file.segments) and same


def check_request(files: Sequence[VovFile], config: EditConfig, weights: Sequence[float]) -> None:
    """Refuse what `edit` cannot do with these files, before a base model is loaded.

    Raises:
        SettingError: If there is no file, not one weight for each, or no index bits where some are to be kept.
    """
    _check_weights(files, weights)
    if config.keep_steps and not keeps_indices(files[0], config):
        steered = files[0].header.kernel != "ode"
        reason = "another seed, number of steps or size was asked for" if steered else "it has none"
        raise SettingError(f"keep_steps={config.keep_steps}: the file's index bits cannot be kept, {reason}")


def _check_weights(files: Sequence[VovFile], weights: Sequence[float]) -> None:
    if not files or len(weights) != len(files) or not all(map(math.isfinite, weights)):
        raise SettingError(f"weights={list(weights)} for {len(files)} files; give each file one finite number")


def _sampler(header: Header, config: EditConfig) -> SamplerConfig:
    sampler = sampler_of(header)
    return replace(
        sampler,
        seed=sampler.seed if config.seed is None else config.seed,
        steps=sampler.steps if config.steps is None else config.steps,
        guidance=sampler.guidance if config.guidance is None else 1.0,
    )


def _steering(file: VovFile, base: BaseModel, config: EditConfig) -> Steering | None:
    if keeps_indices(file, config):
        return replay_of(file, base, config.keep_steps)
    return None


def _mixed(velocity: Velocity, adapters: list[HashedLoRA], strength: float) -> Velocity:
    """``u_base + strength (u_adapted - u_base)`` of ``velocity``; one evaluation where one is enough."""
    plain = _without(velocity, adapters)
    if strength == 1 or not adapters:
        return velocity
    return plain if strength == 0 else guide(velocity, plain, strength)


def _without(velocity: Velocity, adapters: list[HashedLoRA]) -> Velocity:
    """``velocity`` of the model without ``adapters``."""

    def plain(x_t: Tensor, t: Tensor) -> Tensor:
        with ExitStack() as stack:
            for adapter in reversed(adapters):  # the last one merged holds the sum
                stack.enter_context(adapter.paused())
            return velocity(x_t, t)

    return plain
