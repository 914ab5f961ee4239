"""Networks that predict v on a variance-preserving schedule, in this package's convention.

Such a network sees ``z = a x + s eps`` with ``a^2 + s^2 = 1`` and says ``v = a eps - s x`` (Salimans and Ho 2022,
https://arxiv.org/abs/2202.00512). Scaling turns one path into the other: with ``n = sqrt((1 - t)^2 + t^2)``,
``x_t / n`` is z at ``a = (1 - t) / n, s = t / n``, and then ``x^ = a z - s v``, ``eps^ = s z + a v``, so

    u = eps^ - x^ = (s - a) z + (s + a) v.

The network's own time is the one whose noise is as strong: ``s / a = t / (1 - t)``, interpolated between the schedule's
steps. A DDIM step of the network is then an Euler step of the velocity, exactly.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vov_lightning.flow import Velocity, per_sample


class VariancePreserving:
    """A schedule, and what a network that was trained on it says in terms of the velocity.

    Args:
        alphas_cumprod: ``a^2`` at each of the schedule's steps, falling, as diffusers' schedulers hold it.

    Example:
        >>> schedule = VariancePreserving(torch.tensor([0.9, 0.5, 0.0]))
        >>> schedule.timesteps(torch.tensor([0.5, 1.0])).tolist()
        [1.0, 2.0]
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        clean, noisy = alphas_cumprod.double().sqrt(), (1 - alphas_cumprod.double()).clamp(min=0).sqrt()
        self.times = noisy / (clean + noisy)  # t of each step, rising
        """``t`` of each step of the schedule, rising, float64."""

    def timesteps(self, t: Tensor) -> Tensor:
        """Steps of the schedule ``[B]`` float32 at times ``t`` [B], with fractions; its ends beyond them."""
        known, wanted = self.times.to(t.device), t.double()
        right = torch.searchsorted(known, wanted).clamp(1, len(known) - 1)
        below, above = known[right - 1], known[right]
        return (right - 1 + ((wanted - below) / (above - below)).clamp(0, 1)).float()

    def velocity(self, predict_v: Callable[[Tensor, Tensor], Tensor]) -> Velocity:
        """The velocity of a network ``predict_v(z, timesteps) -> v``."""

        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            norm = torch.hypot(1 - t, t)
            a, s, scale = (per_sample(value, x_t) for value in ((1 - t) / norm, t / norm, norm))
            z = x_t / scale
            v = predict_v(z, self.timesteps(t))
            return (s - a) * z + (s + a) * v

        return velocity
