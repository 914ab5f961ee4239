"""Diagnostics of the theory for one file: how far its vector moves the model, and how wrong the model still is.

Path KL from the base model to the adapted one, velocity error against t, and the
terms of the early-stop bound, as `vov_lightning.evaluation.theory` derives them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Generator

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.header import SteeredKernel
from vov_lightning.codec.decode import adapted, checked_size, tiling, velocity_field, windows_of
from vov_lightning.codec.settings import sampler_of
from vov_lightning.codec.steer import check_source
from vov_lightning.errors import SettingError
from vov_lightning.evaluation.theory import PathStep, Stop, early_stops, path_divergences, sample_path, velocity_errors
from vov_lightning.progress import Progress
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.video import Fitted


@dataclass(frozen=True)
class Mean:
    """Mean over seeds and its standard error, which a single seed does not give."""

    mean: float
    stderr: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        return cls(fmean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None)


@dataclass(frozen=True)
class PathKL:
    """``KL(Q || P)`` in bits under one kernel."""

    times: list[float]
    """Start of each step, without the last step of the sampler."""
    step_bits: list[Mean]
    total_bits: Mean


@dataclass(frozen=True)
class VelocityError:
    """``e(t)``, a mean over latent entries."""

    times: list[float]
    adapted: list[Mean]
    base: list[Mean]


@dataclass(frozen=True)
class EarlyStop:
    """Terms of the early-stop bound at every time of the sampler; means over latent entries, but for the KL."""

    times: list[float]
    """Times at which sampling could stop; the last one is the end of the sampler."""
    error: list[Mean]
    """``E |x^(y_t) - x|^2``: of the latents that are shown."""
    velocity_term: list[Mean]
    """``t^2 e(t)``."""
    state_term: list[Mean]
    """``E |x^(y_t) - x^(x_t)|^2``."""
    bound: list[float]
    """``(sqrt(velocity_term) + sqrt(state_term))^2``, at least ``error``."""
    proposition_bound: list[float]
    """The paper's proposition B.1, at least ``bound``: the state term from velocity errors and Lipschitz ratios."""
    ideal_bits: list[Mean]
    """``KL(Q* || Q)`` down to t under the paper's kernel, in bits, of all latent entries."""


@dataclass(frozen=True)
class Diagnostics:
    """Result of `diagnose`."""

    base: str
    caption: str
    k: int
    vector_bits: int
    """Bits of vector and count table in the file."""
    num_latents: int
    steps: int
    seeds: list[int]
    path_kl: dict[str, PathKL]
    """`PathKL` of each kernel, by its name."""
    velocity_error: VelocityError
    early_stop: EarlyStop

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: dictionaries, lists, numbers, strings, None."""
        return asdict(self)


def undefined_reason(file: VovFile) -> str | None:
    """Why ``file`` has no diagnostics: they are of clips that are sampled at once."""
    if file.header.context:
        return f"it is sampled block by block (context={file.header.context}), and diagnostics want it sampled at once"
    if file.segments[1:]:
        return f"it has {len(file.segments)} segments, and diagnostics want one"
    return None


@torch.no_grad()
def diagnose(
    file: VovFile,
    base: BaseModel,
    source: Fitted,
    *,
    seeds: Sequence[int] = range(4),
    num_times: int = 20,
    kernels: Sequence[SteeredKernel] = ("euler_maruyama", "ancestral"),
    progress: Progress = iter,
) -> Diagnostics:
    """Diagnostics of ``file`` under its own caption, guidance, arithmetic and grid of times.

    A seed takes ``2 num_times + (2 + 2 len(kernels)) steps`` evaluations, and keeps ``2 len(kernels) steps`` latents on
    the CPU. A vector that was fitted to the noise of its decoder (`Reconstruction`) does better under the file's seed.

    Args:
        file: A fitted file; its indices are left aside. Without a vector P is Q, and the path KL is 0.
        base: The model that it was fitted on.
        source: The clip at the file's size.
        seeds: Of noises, each in [0, 2^64); means are over them.
        num_times: Times of the velocity error, even in (0, 1).
        kernels: Of the path KL.
        progress: Wraps the seeds, first for the adapted model and then for the base model.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        SettingError: If ``source`` is not of the file's size, the file has no diagnostics (`undefined_reason`), there
            are no seeds or times, or a kernel diverges.
    """
    seeds = list(seeds)
    if not seeds or num_times < 1:
        raise SettingError(f"seeds={seeds} and num_times={num_times} leave nothing to measure; use 4 and 20")
    header, sampler, size = file.header, sampler_of(file.header), checked_size(file.header, base)
    check_source(source.signal, size)
    if reason := undefined_reason(file):
        raise SettingError(f"{reason}; leave out --diagnostics")
    with tiling(base, header.vae_tiling):
        clean = base.encode(source.signal.frames)
    noises = {seed: initial_noise(seed, tuple(clean.shape[1:])) for seed in seeds}
    grid = [(number + 0.5) / num_times for number in range(num_times)]
    times, velocity = sampler.times().tolist(), velocity_field(base, file.caption, sampler, windows_of(header))
    errors: dict[str, list[list[float]]] = {"adapted": [], "base": []}
    stops: list[list[Stop]] = []
    paths: dict[SteeredKernel, list[list[PathStep]]] = {kernel: [] for kernel in kernels}
    bits: dict[SteeredKernel, list[list[float]]] = {kernel: [] for kernel in kernels}
    with torch.autocast(base.device.type, enabled=False):
        with adapted(base, file):
            for seed in progress(seeds):
                noise = noises[seed].to(clean.device)
                errors["adapted"].append(velocity_errors(velocity, clean, noise, grid))
                stops.append(early_stops(velocity, clean, noise, times))
                for kernel in kernels:
                    generator = Generator().manual_seed(seed % 2**32)
                    paths[kernel].append(sample_path(velocity, noise, times, kernel, generator))
        for number in progress(range(len(seeds))):
            noise = noises[seeds[number]].to(clean.device)
            errors["base"].append(velocity_errors(velocity, clean, noise, grid))
            for kernel in kernels:
                bits[kernel].append(path_divergences(velocity, paths[kernel][number], kernel, clean.device))
    return Diagnostics(
        base=f"{header.base_name}@{header.base_revision}",
        caption=file.caption,
        k=header.k,
        vector_bits=8 * sum(file.section_bytes()[name] for name in ("vector", "count_table")),
        num_latents=clean.numel(),
        steps=header.steps,
        seeds=seeds,
        path_kl={kernel: _path_kl(kernel, times, found) for kernel, found in bits.items()},
        velocity_error=VelocityError(grid, _means(errors["adapted"]), _means(errors["base"])),
        early_stop=_early_stop(times[:-1], stops),
    )


def _means(rows: Sequence[Sequence[float]]) -> list[Mean]:
    """Means over the rows, one row a seed, of each column."""
    return [Mean.of(column) for column in zip(*rows, strict=True)]


def _path_kl(kernel: SteeredKernel, times: Sequence[float], bits: Sequence[Sequence[float]]) -> PathKL:
    totals = [math.fsum(row) for row in bits]
    if not all(map(math.isfinite, totals)):
        raise SettingError(f"{kernel} diverges in {len(times) - 1} steps; fit with more sampler.steps, or leave it out")
    return PathKL(list(times[:-2]), _means(bits), Mean.of(totals))


def _early_stop(times: Sequence[float], stops: Sequence[Sequence[Stop]]) -> EarlyStop:
    error, first, second, third = (
        _means([[getattr(stop, name) for stop in row] for row in stops])
        for name in ("error", "velocity_term", "state_term", "proposition_term")
    )
    ideal = [list(accumulate((stop.step_bits for stop in row[:-1]), initial=0.0)) for row in stops]
    bound, proposition = (
        [(math.sqrt(a.mean) + math.sqrt(b.mean)) ** 2 for a, b in zip(first, states, strict=True)]
        for states in (second, third)
    )
    return EarlyStop(list(times), error, first, second, bound, proposition, _means(ideal))
