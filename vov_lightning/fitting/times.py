"""Distributions of the noise levels that flow matching trains.

Which times are drawn decides what the vector stores: layout near t = 1,
detail near t = 0.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import shift_time


class TimeDensity(ABC):
    """Distribution of the training times, given by its quantile function."""

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
