"""The past as context: the next latent frames are sampled beside those that are already decoded.

A model that takes a time for each latent frame (`BaseModel.per_frame_times`) is
evaluated on past and present together, the past at t = 0 (diffusion forcing:
Chen et al. 2024, https://arxiv.org/abs/2407.01392). Encoder and decoder give it
the same decoded latents, so nothing drifts. The result is a velocity of the
present like any other; in space, `windowed` comes first:
``with_context(windowed(base.velocity(caption), windows), past)``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import Velocity


@dataclass(frozen=True)
class Blocks:
    """Latents of a clip in blocks, each sampled given those before it."""

    length: int
    """Latent frames of a block; the last one may have fewer."""
    context: int
    """Decoded latent frames before a block that it is given, where there are as many."""


def with_context(velocity: Velocity, past: Tensor, past_time: float = 0.0) -> Velocity:
    """The velocity of latents ``[B, C, T, h, w]`` that follow ``past``.

    Args:
        velocity: Of a model that takes times ``[B, T']``, one a latent frame.
        past: Decoded latents ``[1, C, T', h, w]``, or one a sample; with no latent frame, the present begins a clip.
        past_time: Time at which the past is declared, in [0, 1). Decoded latents are inexact; a model that is told so
            trusts them less. They are scaled by ``1 - past_time``, the mean of what the model has seen at that time;
            no noise is added.

    Raises:
        SettingError: If ``past_time`` is outside [0, 1).

    Example:
        >>> velocity = with_context(lambda x_t, t: x_t * t[:, None, :, None, None], torch.ones(1, 4, 2, 8, 8))
        >>> velocity(torch.ones(1, 4, 1, 8, 8), torch.tensor([0.5])).unique()
        tensor([0.5000])
    """
    if not 0 <= past_time < 1:
        raise SettingError(f"past_time={past_time} is outside [0, 1); 0 trusts the decoded past, 0.2 a little less")
    told = (1 - past_time) * past

    def of_present(x_t: Tensor, t: Tensor) -> Tensor:
        times = t if t.ndim == 2 else t[:, None].expand(-1, x_t.shape[2])
        before = told.to(x_t).expand(len(x_t), -1, -1, -1, -1)
        times = torch.cat([times.new_full((len(times), told.shape[2]), past_time), times], dim=1)
        return velocity(torch.cat([before, x_t], dim=2), times)[:, :, told.shape[2] :]

    return of_present
