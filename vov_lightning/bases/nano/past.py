"""What `nano` is told of the latent frames before the one that it denoises.

Each latent frame is a sequence of its own; those before it enter as further
input channels at the same position, each with a time of its own (diffusion
forcing: Chen et al. 2024, https://arxiv.org/abs/2407.01392). So a known past
costs no tokens, and what stands still lies in the input and need not be found
by attention; what moves is carried from token to token within the frame.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.flow import per_sample


def past_channels(z_channels: int, context: int) -> int:
    """Channels of `past_planes`."""
    return context * (z_channels + 1)


def past_planes(x_t: Tensor, t: Tensor, context: int) -> Tensor:
    """Planes ``[B, context (z + 1), T', h, w]`` that tell each latent frame of the ``context`` frames before it.

    A frame at time t is told by its linear least-squares estimate
    ``(1 - t) / ((1 - t)^2 + t^2) x_t`` (its latents have variance 1) and by one
    plane of ``1 - t``. Before the first frame there is pure noise, of which
    both are 0.

    Args:
        x_t: Latents ``[B, z, T', h, w]``.
        t: Time of each latent frame ``[B, T']``.
        context: Latent frames to look back; the nearest comes first.

    Example:
        >>> x = torch.arange(1.0, 4.0).view(1, 1, 3, 1, 1)
        >>> past_planes(x, torch.zeros(1, 3), context=1).flatten(2)
        tensor([[[0., 1., 2.],
                 [0., 1., 1.]]])
    """
    t = per_sample(t, x_t)  # [B, 1, T', 1, 1]
    estimate = (1 - t) / ((1 - t).square() + t.square()) * x_t
    told = torch.cat([estimate, (1 - t).expand_as(x_t[:, :1])], dim=1)
    frames = x_t.shape[2]
    return torch.cat([F.pad(told, (0, 0, 0, 0, back, 0))[:, :, :frames] for back in range(1, context + 1)], dim=1)
