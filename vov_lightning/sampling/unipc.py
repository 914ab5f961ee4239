"""UniPC (Zhao et al. 2023) on the flow's times, by diffusers: Wan's default sampler."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vov_lightning.flow import Velocity, predict_clean
from vov_lightning.progress import Progress


def integrate_unipc(
    velocity: Velocity, noise: Tensor, times: Sequence[float], stop_at: float = 0.0, progress: Progress = iter
) -> Tensor:
    """Latents where the multistep solver ends.

    The model sees times rounded down to thousandths, as diffusers rounds them.

    Args:
        velocity: The model.
        noise: ``[B, ...]`` float32 at the first time, which is 1.
        times: Descending, from 1 to 0.
        stop_at: As of `integrate`.
        progress: Wraps the steps, e.g. in a progress bar.
    """
    from diffusers import UniPCMultistepScheduler

    scheduler: Any = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    scheduler.set_timesteps(sigmas=np.array(times[:-1]), device=noise.device)
    scheduler.set_begin_index(0)
    x_t = noise
    for t, timestep in progress(list(zip(times, scheduler.timesteps, strict=False))):
        batch_t = (timestep / 1000).expand(len(x_t)).float()
        u = velocity(x_t, batch_t)
        if t <= stop_at:
            return predict_clean(x_t, u, torch.full_like(batch_t, t))
        x_t = scheduler.step(u, timestep, x_t, return_dict=False)[0]
    return x_t
