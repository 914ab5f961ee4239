"""Latents of `nano` as an ideal code of some rate would leave them."""

import torch
from torch import Generator, Tensor

from vov_lightning.bases.nano.autoencoder import LappedAutoencoder


def kept_fraction(autoencoder: LappedAutoencoder, count: int, generator: Generator | None = None) -> Tensor:
    """Fraction of each channel ``[count, z, 1, 1, 1]`` that survives, at a random rate for each of ``count`` clips.

    Reverse water-filling over Gaussian channels (Cover and Thomas, Elements of
    Information Theory, section 10.3): at distortion D, a channel of variance v
    keeps ``a = max(0, 1 - D / v)``. D is log-uniform in 0.001 to 1 of the mean variance.
    """
    variance = autoencoder.spread.square().view(-1, 1, 1, 1)
    distortion = variance.mean() * 10 ** (-3 * torch.rand(count, 1, 1, 1, 1, generator=generator).to(variance))
    return (1 - distortion / variance).clamp(min=0)


def sample(autoencoder: LappedAutoencoder, latents: Tensor, generator: Generator | None = None) -> Tensor:
    """Coded ``latents`` [B, z, T', h, w] as a generative decoder shows them: what is lost is drawn anew."""
    kept = kept_fraction(autoencoder, len(latents), generator)
    return kept * latents + (1 - kept.square()).sqrt() * unit_noise(autoencoder, latents, generator)


def unit_noise(autoencoder: LappedAutoencoder, latents: Tensor, generator: Generator | None = None) -> Tensor:
    """Noise of the latents' own variance in each channel."""
    return autoencoder.gain.view(-1, 1, 1, 1) * torch.randn(latents.shape, generator=generator).to(latents)
