"""The denoising loop: noise and a velocity in, latents out."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import Velocity, ode_step, predict_clean
from vov_lightning.progress import Progress
from vov_lightning.randomness import INITIAL_NOISE_STREAM, random_normals
from vov_lightning.sampling.steering import Steering


def initial_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Latents [1, *shape] float32 at t = 1: a function of (seed, position) that is part of the format."""
    count = int(torch.tensor(shape).prod())
    return random_normals(seed, INITIAL_NOISE_STREAM, count).view(1, *shape)


def integrate(
    velocity: Velocity,
    noise: Tensor,
    times: Sequence[float],
    stop_at: float = 0.0,
    progress: Progress = iter,
    steering: Steering | None = None,
    first_step: int = 0,
) -> Tensor:
    """Latents at the end of the probability-flow ODE, or where the indices of ``steering`` lead.

    Gradients flow through every step where they are enabled.

    Args:
        velocity: The model.
        noise: ``[B, ...]`` float32 at the first time, which is 1.
        times: Descending, from 1 to 0.
        stop_at: Stop at the first time at or below this one and output the
            predicted clean latents there: lower distortion, less detail
            (paper, appendix B.1). 0 runs the whole grid.
        progress: Wraps the steps, e.g. in a progress bar.
        steering: Takes the steps that carry indices; the last step never does.
        first_step: Number of the first step, for ``steering``.
    """
    x_t = noise
    for number, (t, s) in enumerate(progress(list(pairwise(times)))):
        batch_t = torch.full((len(x_t),), t, dtype=torch.float32, device=x_t.device)
        u = velocity(x_t, batch_t)
        if t <= stop_at:
            return predict_clean(x_t, u, batch_t)
        steered = (
            steering.step(first_step + number, x_t, predict_clean(x_t, u, batch_t), t, s)
            if steering and s > 0
            else None
        )
        x_t = ode_step(x_t, u, t, s) if steered is None else steered
    return x_t


def check_stop_at(stop_at: float) -> None:
    """Refuse a time that sampling cannot stop at.

    Raises:
        SettingError: If ``stop_at`` is outside [0, 1).
    """
    if not 0 <= stop_at < 1:
        raise SettingError(f"stop_at={stop_at} is outside [0, 1); 0 runs the whole grid, 0.3 stops early")
