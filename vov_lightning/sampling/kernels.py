"""Stochastic steps of the sampler: where the indices of inference-time scaling act.

From time t to s < t, ``x_s = mean + gamma z`` with standard normal z. The same
formulas with the true latents in place of the predicted ones give the step that
an encoder would like to take.
"""

import math
from typing import TypeVar

from torch import Tensor

from vov_lightning.bitstream.header import SteeredKernel
from vov_lightning.errors import SettingError

MAX_DIFFUSION = 5.0
"""Upper limit of Euler-Maruyama's diffusion coefficient, which has a pole at t = 1 (paper, appendix C)."""


Latents = TypeVar("Latents", Tensor, float)
"""All of them, or one number."""


def transition(
    kernel: SteeredKernel, eta: float, x_t: Latents, clean: Latents, t: float, s: float
) -> tuple[Latents, float]:
    """Mean of ``x_s``, of ``x_t``'s shape, and its standard deviation gamma.

    Args:
        kernel: ``ancestral``: the exact posterior of the flow's Gaussian path, scaled by ``eta``;
            ``euler_maruyama``: one step of the paper's SDE.
        eta: Of the ancestral kernel: 0 is the deterministic sampler, 1 the full posterior noise.
        x_t: Latents at ``t``.
        clean: Clean latents, predicted by the model (the decoder) or the true ones (the encoder's wish).
        t: Time in (0, 1].
        s: Time in (0, t).

    Raises:
        SettingError: If ``eta`` is outside [0, 1].
    """
    noise = (x_t - (1 - t) * clean) / t
    if kernel == "euler_maruyama":
        g = min(MAX_DIFFUSION, math.sqrt(2 * t / (1 - t))) if t < 1 else MAX_DIFFUSION
        drift = (noise - clean) + noise * (g * g / (2 * t))
        return x_t + (s - t) * drift, g * math.sqrt(t - s)
    if not 0 <= eta <= 1:
        raise SettingError(f"eta={eta} is outside [0, 1]; 1 is the full noise of the posterior, 0 none")
    gamma = eta * (s / t) * math.sqrt(t * t - ((1 - t) / (1 - s)) ** 2 * s * s)
    return (1 - s) * clean + math.sqrt(max(0.0, s * s - gamma * gamma)) * noise, gamma


def divergence_bits(shift: Tensor) -> float:
    """KL divergence of two steps of the same gamma whose means lie ``shift`` gammas apart, ``|shift|^2 / 2`` nats."""
    return float(shift.double().square().sum()) / (2 * math.log(2))


def error_growth(kernel: SteeredKernel, eta: float, t: float, s: float) -> float:
    """Divergence of a step from t to s, as of `divergence_bits`, relative to the squared error of the clean latents.

    The arguments are those of `transition`. What a model gets wrong costs the more the later it is put right.

    Example:
        >>> [round(error_growth("ancestral", 1.0, t, t - 0.1), 2) for t in (0.9, 0.5, 0.2)]
        [0.04, 0.9, 46.89]
    """
    mean, gamma = transition(kernel, eta, 0.0, 1.0, t, s)
    return (mean / gamma) ** 2 / (2 * math.log(2))
