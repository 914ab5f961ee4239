"""Settings of the sampler: times that it visits, from 1 (noise) to 0 (clean), and how indices steer it."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vov_lightning.bitstream.header import CodebookName, ComputeDtype, Grid, Scheduler, SteeredKernel
from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.errors import SettingError
from vov_lightning.flow import shift_time
from vov_lightning.sampling.candidates import Codebook, HadamardCodebook, IidCodebook

MOST_STEPS = 10**6
"""Of a sampler; decoders take a thousand by default (`Limits.steps`)."""


@dataclass(frozen=True)
class SamplerConfig:
    """How the decoder samples; stored in the file.

    Raises:
        SettingError: If a setting is out of range.
    """

    steps: int = 25
    """Number of steps, one network evaluation each (two with guidance); at least 1."""
    grid: Grid = "shifted"
    """Even steps of t, or even steps of r under ``t = c r / (1 + (c - 1) r)``."""
    shift: float = 3.0
    """``c`` of the shifted grid; above 1 spends more steps near noise (Wan at 480p: 3)."""
    guidance: float = 1.0
    """Classifier-free guidance; 1 is off, as in the paper."""
    seed: int = 0
    """Seed of the initial noise, and of the candidates and groups of indices."""
    scheduler: Scheduler = "flow_euler"
    """``flow_euler``: Euler steps, which indices can steer; ``unipc``: multistep, Wan's own default."""
    compute_dtype: ComputeDtype = "float32"
    """Arithmetic of the network; float32 repeats best across machines. ``weights``: the arithmetic of the weights' own
    type, the fastest where they have 16 bits; ``bfloat16`` and ``float16``: autocast, over weights of any type."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"steps={self.steps} is below 1; a sampler takes at least one step")
        if self.steps > MOST_STEPS:
            raise SettingError(f"steps={self.steps} is above {MOST_STEPS}; use 10 to 100")
        if self.shift <= 0:
            raise SettingError(f"shift={self.shift} is not above 0; use 1 for an even grid, 3 as Wan does")
        times = self.times()
        if times[0] != 1 or not bool((times.diff() < 0).all()):
            raise SettingError(
                f"shift={self.shift} with steps={self.steps} gives times that do not fall from 1 to 0 in float32; "
                "use a shift between 0.1 and 20"
            )
        if self.scheduler == "unipc" and self.steps >= 1000:
            raise SettingError(f"steps={self.steps} with scheduler=unipc: it knows 1000 times, use fewer, about 50")
        if not 0 <= self.guidance < math.inf:
            raise SettingError(
                f"guidance={self.guidance} is no number from 0 on; use 1 for none, about 5 for text-to-video"
            )
        if not 0 <= self.seed < 2**64:
            raise SettingError(f"seed={self.seed} is outside 0 .. 2^64 - 1; use 0")

    def times(self) -> Tensor:
        """Times [steps + 1] float32, from 1 down to 0.

        Example:
            >>> SamplerConfig(steps=2, grid="linear").times().tolist()
            [1.0, 0.5, 0.0]
        """
        r = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        return (r if self.grid == "linear" else shift_time(r, self.shift)).float()


CODEBOOKS: dict[CodebookName, type[Codebook]] = {"hadamard": HadamardCodebook, "iid": IidCodebook}


@dataclass(frozen=True)
class SteeringConfig:
    """What the indices of a file choose from (paper, section 3.3): all that a decoder knows of them.

    Raises:
        SettingError: If a setting is out of range.
    """

    index_bits: int = 14
    """Bits of one index: 2^this candidates a group. The encoder takes shorter ones where a segment would have more
    candidates than decoders take by default."""
    codebook: CodebookName = "hadamard"
    """``hadamard``: columns of a randomised Hadamard transform, fast; ``iid``: independent normals, as in the paper."""
    kernel: SteeredKernel = "ancestral"
    """``ancestral``: the exact posterior; ``euler_maruyama``: the paper's SDE."""
    eta: float = 1.0
    """Share of the posterior's noise in the ancestral kernel, in (0, 1]; more noise, more to choose."""

    def __post_init__(self) -> None:
        if not 1 <= self.index_bits <= 24:
            raise SettingError(
                f"index_bits={self.index_bits} is outside 1 .. 24; use 14, or 12 to 18 as the paper does"
            )
        object.__setattr__(self, "eta", float(np.float32(self.eta)))  # as the file will hold it
        if not 0 < self.eta <= 1:
            raise SettingError(f"eta={self.eta} is outside (0, 1]; 1 is the posterior's noise")
        if self.kernel == "euler_maruyama" and self.eta != 1:
            raise SettingError(f"eta={self.eta} does nothing with kernel=euler_maruyama; leave it at 1")

    def codebook_of(self, seed: int) -> Codebook:
        """The codebook under the sampler's seed."""
        return CODEBOOKS[self.codebook](self.index_bits, seed)


@dataclass(frozen=True)
class ScalingConfig(SteeringConfig):
    """Inference-time scaling: what indices choose from, how many there are, and how the encoder chooses.

    Raises:
        SettingError: If a setting is out of range.
    """

    bits: int = 0
    """Index bits of the whole clip if no target is given; 0 for none."""
    target_bpp: float | None = None
    """Bits per pixel of the whole file without its sound, in place of ``bits``."""
    target_psnr: float | None = None
    """PSNR in decibels that the decoded clip is to reach, in place of ``bits``; found by search."""
    selection: Literal["argmax", "importance"] = "argmax"
    """The best candidate, or one drawn by importance weights as in the paper, which keeps the model's statistics."""
    allocation: Literal["divergence", "even"] = "divergence"
    """``divergence``: a step gets as many bits as the model is wrong by, up to an even share of what is left, and the
    last steps, where bits do least, get none; ``even``: every step gets that share, as in the paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits < 0:
            raise SettingError(f"bits={self.bits} is below 0; use 0 for no indices, 2000 to begin with")
        if self.target_bpp is not None and self.target_psnr is not None:
            raise SettingError(
                f"target_bpp={self.target_bpp} and target_psnr={self.target_psnr} contradict each other; give one"
            )
        if self.target_bpp is not None and not self.target_bpp > 0:
            raise SettingError(f"target_bpp={self.target_bpp} is not above 0; use 0.01 to 0.3")

    @classmethod
    def like(cls, steering: SteeringConfig, **wishes: Any) -> "ScalingConfig":
        """Indices that choose from what those of ``steering`` do, with the encoder's ``wishes``.

        Example:
            >>> ScalingConfig.like(SteeringConfig(index_bits=4), bits=400).index_bits
            4
        """
        own = {one.name: getattr(steering, one.name) for one in fields(SteeringConfig)}
        return cls(**own, **wishes)

    @property
    def enabled(self) -> bool:
        """Whether there are to be any indices."""
        return bool(self.bits) or self.seeks

    @property
    def seeks(self) -> bool:
        """Whether their number follows from a target, which may be out of reach."""
        return self.target_bpp is not None or self.target_psnr is not None


def most_bits(index_bits: int) -> int:
    """Bits of the indices of a segment that decoders take by default, in indices of ``index_bits``.

    Example:
        >>> most_bits(14), most_bits(8)
        (229376, 8388608)
    """
    return index_bits * min(DEFAULT_LIMITS.indices, DEFAULT_LIMITS.candidates >> index_bits)


def longest_index(index_bits: int, bits: float) -> int:
    """Bits of an index, at most ``index_bits``, of which decoders take ``bits`` a segment by default.

    Raises:
        SettingError: If they take none that many.

    Example:
        >>> longest_index(14, 1000), longest_index(14, 300_000)
        (14, 13)
    """
    fitting = [length for length in range(1, index_bits + 1) if most_bits(length) >= bits]
    if not fitting:
        raise SettingError(
            f"{bits:,.0f} bits of indices for a segment are more than decoders take by default; use fewer "
            "(scaling.bits, scaling.target_bpp), or shorter segments (data.segment)"
        )
    return fitting[-1]


def check_scaling(sampler: SamplerConfig, scaling: ScalingConfig) -> None:
    """Refuse index bits that the sampler cannot use.

    Raises:
        SettingError: If there are to be indices, and no step can carry one.
    """
    if not scaling.enabled:
        return
    if sampler.scheduler != "flow_euler":
        raise SettingError(f"scheduler={sampler.scheduler} takes no indices; use flow_euler, or --scaling.bits 0")
    if sampler.steps < 2 or (not scaling.seeks and scaling.bits < scaling.index_bits):
        raise SettingError(
            f"scaling.bits={scaling.bits} with index_bits={scaling.index_bits} and {sampler.steps} steps leaves no "
            "index to send; use 25 steps or more, and at least index_bits bits a step"
        )
