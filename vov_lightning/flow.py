"""Flow matching in one convention.

``t`` in [0, 1]; ``x`` clean latents, ``eps`` standard normal,
``x_t = (1 - t) x + t eps``; the model predicts the velocity
``u(x_t, t) ~ eps - x``. ``t`` is float32 everywhere: bfloat16 has only 128
values between 0.5 and 1.
"""

from collections.abc import Callable

from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""``(x_t [B, ...], t [B] float32) -> u [B, ...] float32``; of a model that takes one time a latent frame, also
``t`` [B, T'] beside ``x_t`` [B, C, T', ...]."""


def interpolate(x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """``x_t = (1 - t) x + t eps`` for ``t`` [B] or [B, T'] and ``x``, ``eps`` broadcastable to [B, ...]."""
    t = per_sample(t, eps)
    return (1 - t) * x + t * eps


def predict_clean(x_t: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """Predicted clean latents ``x^ = x_t - t u``."""
    return x_t - per_sample(t, x_t) * u


def ode_step(x_t: Tensor, u: Tensor, t: float, s: float) -> Tensor:
    """Euler step of the probability-flow ODE, ``x_s = x_t + (s - t) u``."""
    return x_t + (s - t) * u


def shift_time(r: Tensor, shift: float) -> Tensor:
    """``t = c r / (1 + (c - 1) r)``: keeps 0 and 1, and for ``c`` > 1 moves the rest towards 1.

    Example:
        >>> import torch
        >>> shift_time(torch.tensor([0.0, 0.5, 1.0]), 3.0).tolist()
        [0.0, 0.75, 1.0]
    """
    return shift * r / (1 + (shift - 1) * r)


def guide(velocity: Velocity, unconditional: Velocity, guidance: float) -> Velocity:
    """Classifier-free guidance: ``u = u_0 + g (u_c - u_0)`` (Ho and Salimans 2022)."""

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        base = unconditional(x_t, t)
        return base + guidance * (velocity(x_t, t) - base)

    return guided


def per_sample(t: Tensor, like: Tensor) -> Tensor:
    """``t`` [B], or [B, T'] with a time a latent frame, shaped to broadcast against ``like`` [B, C, T', ...]."""
    times = t[:, None] if t.ndim == 2 else t
    return times.reshape(*times.shape, *[1] * (like.ndim - times.ndim)).to(like.device)


def flow_loss(u: Tensor, x: Tensor, eps: Tensor) -> Tensor:
    """Mean squared error [B] of ``u`` against ``eps - x``, a mean over latent entries."""
    return (u - (eps - x)).square().flatten(1).mean(1)
