"""The (t, eps) draws of the flow-matching loss: a function of (seed, number of the draw).

No draw depends on what was drawn before, so a fit that was interrupted goes
on with exactly the draws that it would have seen.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import shift_time
from vov_lightning.randomness import TRAINING_STREAM, random_words


class TimeDensity(ABC):
    """Distribution of the training times, given by its quantile function.

    Which times are drawn decides what the vector stores: layout near t = 1,
    detail near t = 0.
    """

    @abstractmethod
    def quantile(self, r: Tensor) -> Tensor:
        """Times [B] in [0, 1] at probabilities ``r`` [B] in (0, 1)."""


class UniformTime(TimeDensity):
    """``t`` uniform in [0, 1] (the paper)."""

    def quantile(self, r: Tensor) -> Tensor:
        return r


class ShiftedTime(TimeDensity):
    """``t = c r / (1 + (c - 1) r)`` with r uniform.

    Args:
        shift: ``c``; above 1 prefers noisy times, 1 is uniform.
    """

    def __init__(self, shift: float = 6.0) -> None:
        if shift <= 0:
            raise SettingError(f"shift={shift} is not above 0; use 6 to prefer noisy times, 1 for uniform")
        self.shift = shift

    def quantile(self, r: Tensor) -> Tensor:
        return shift_time(r, self.shift)


class LogitNormalTime(TimeDensity):
    """``logit(t)`` normal (Esser et al. 2024).

    Args:
        mean: Mean of the logit; above 0 prefers noisy times.
        std: Standard deviation of the logit.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std

    def quantile(self, r: Tensor) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(r.double())).float()


@dataclass(frozen=True)
class DrawConfig:
    """How the fit samples its training targets."""

    batch_size: int = 8
    """Draws a step (times ``trainer.accumulate_grad_batches``)."""
    stratified: bool = True
    """One draw in each of ``batch_size`` equal parts of the density, rather than independent draws."""
    decoder_noise: float = 0.0
    """Fraction of draws whose eps is the noise that the decoder starts from. 0 is the paper; above 0 stores
    this clip from this noise more cheaply, and the model under other seeds less well."""
    loss_weight_power: float = 0.0
    """``p`` of the loss weight ``t^p``: 0 weighs the velocity's error evenly (the paper), 2 that of ``x^``."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingError(f"batch_size={self.batch_size} is below 1; use 8 on a CPU, 64 as the paper does")
        if not 0 <= self.decoder_noise <= 1:
            raise SettingError(f"decoder_noise={self.decoder_noise} is outside [0, 1]; it is a fraction of the draws")


@dataclass(frozen=True)
class Draw:
    """One batch of targets."""

    t: Tensor
    """Times [B] float32."""
    eps: Tensor
    """Noise [B, ...] float32."""
    uniform: Tensor
    """Quantisation noise [k] in [-0.5, 0.5)."""


def draw(config: DrawConfig, density: TimeDensity, decoder_noise: Tensor, k: int, *, seed: int, number: int) -> Draw:
    """Batch ``number`` of the fit, on the CPU.

    Args:
        config: How to draw.
        density: Distribution of times.
        decoder_noise: Noise [1, ...] that the decoder starts from.
        k: Length of the vector.
        seed: Seed of the fit, in [0, 2^64).
        number: Number of the batch, from 0.
    """
    # Mixed down to 32 bits: PyTorch's CPU generator drops the upper half of a seed.
    mixed = int(random_words(seed, TRAINING_STREAM, 1, start=number)[0]) >> 32
    generator = torch.Generator().manual_seed(mixed)
    r = torch.rand(config.batch_size, generator=generator)
    if config.stratified:
        r = (torch.arange(config.batch_size) + r) / config.batch_size
    eps = torch.randn(config.batch_size, *decoder_noise.shape[1:], generator=generator)
    if config.decoder_noise:
        shared = torch.rand(config.batch_size, generator=generator) < config.decoder_noise
        eps[shared] = decoder_noise.cpu().expand_as(eps)[shared]
    uniform = torch.rand(k, generator=generator) - 0.5
    return Draw(density.quantile(r), eps, uniform)
