"""Vector <-> integer symbols, and the gradient through rounding.

``q = round(v / step)`` with a learned step. Rounding has no gradient, so
training replaces it; the two replacements in use differ in what the network
sees. Evaluation always rounds.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SYMBOL_LIMIT = 2**15 - 1
"""Largest magnitude of a symbol that fitting writes; a file holds one more (``bitstream/FORMAT.md``)."""


class Quantizer(nn.Module, ABC):
    """Uniform scalar quantiser; subclasses say what training sees in place of the rounded values.

    Args:
        steps_per_std: How many steps the vector's standard deviation spans when rate-constrained training begins.
    """

    limit = SYMBOL_LIMIT
    """Largest magnitude of a symbol."""

    def __init__(self, steps_per_std: float = 2.0) -> None:
        super().__init__()
        self.steps_per_std = steps_per_std
        self.raw_step = nn.Parameter(torch.tensor(math.log(math.expm1(0.01))))

    @property
    def step(self) -> Tensor:
        """Quantisation step, a positive float32 scalar (softplus of the parameter)."""
        return F.softplus(self.raw_step)

    @torch.no_grad()
    def initial_step(self, vector: Tensor) -> Tensor:
        """Step, a float64 scalar, that rate-constrained training of ``vector`` [k] begins with."""
        return (vector.double().std() / self.steps_per_std).clamp(min=1e-6)

    @torch.no_grad()
    def initialise(self, vector: Tensor) -> None:
        """Set the step from the spread of ``vector`` [k]."""
        self.raw_step.copy_(torch.log(torch.expm1(self.initial_step(vector))))

    @abstractmethod
    def relax(self, scaled: Tensor, uniform: Tensor) -> Tensor:
        """Differentiable stand-in for ``round(scaled)``.

        Args:
            scaled: ``v / step`` [k].
            uniform: Uniform noise in [-0.5, 0.5) [k].
        """


@torch.no_grad()
def quantize(vector: Tensor, step: float, limit: int = SYMBOL_LIMIT) -> Tensor:
    """Symbols [k] int32 of ``vector`` [k], as the file holds them: ``round(v / step)`` within +- ``limit``.

    Example:
        >>> quantize(torch.tensor([-0.6, 0.1, 0.9]), 0.5).tolist()
        [-1, 0, 2]
    """
    return (vector / step).round().clamp(-limit, limit).int()


def dequantize(symbols: Tensor, step: float) -> Tensor:
    """Vector [k] float32 that the decoder gets from ``symbols`` [k]; one float32 product an entry.

    Example:
        >>> dequantize(torch.tensor([-1, 0, 2]), 0.5).tolist()
        [-0.5, 0.0, 1.0]
    """
    return symbols.float() * torch.tensor(step, dtype=torch.float32, device=symbols.device)


class NoiseQuantizer(Quantizer):
    """Additive uniform noise; the network and the rate see the noisy values (the paper's text)."""

    def relax(self, scaled: Tensor, uniform: Tensor) -> Tensor:
        return scaled + uniform


class StraightThroughQuantizer(Quantizer):
    """Rounded values with the gradient of the identity, clamped to +-128 (the authors' scripts)."""

    limit = 128

    def relax(self, scaled: Tensor, uniform: Tensor) -> Tensor:
        return scaled + (scaled.round().clamp(-self.limit, self.limit) - scaled).detach()
