"""The small autoencoder under `nano`: a linear lapped transform, and 2-D convolutions that improve its pictures.

Nine frames are stacked as channels and coded together, so that a still scene
is not coded again in every frame and no 3-D convolution is needed (they are
ten times slower on a CPU). The transform maps blocks of 9 x 8 x 8 pixels to 57
numbers; its basis pictures are 16 x 16 and overlap, so that inexact latents
blur a picture and do not cut it into squares. The network adds what the
transform misses. A network in the encoder gained nothing (0.005 dB).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK_FRAMES = 9
"""Frames coded together, into one latent frame."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of `LappedAutoencoder`."""

    z_channels: int = 57
    """Channels of a latent frame."""
    widths: tuple[int, ...] = (128, 160, 192)
    """Feature channels at 1/2, 1/4, 1/8 ... of the picture; the last is the latents' scale."""
    residual_blocks: int = 2
    """Residual blocks at each scale."""

    @property
    def spatial_factor(self) -> int:
        """Pixels a latent position, along one axis."""
        return 2 ** len(self.widths)


class ResidualBlock(nn.Module):
    """``x + conv(silu(conv(silu(norm(x)))))`` at constant width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))


class LappedTransform(nn.Module):
    """Frames ``[N, 27, H, W]`` <-> coefficients ``[N, z, H / f, W / f]``, by kernels of twice the stride ``f``."""

    def __init__(self, channels: int, coefficients: int, factor: int) -> None:
        super().__init__()
        self.factor, half = factor, factor // 2
        self.analysis = nn.Conv2d(
            channels, coefficients, 2 * factor, stride=factor, padding=half, padding_mode="replicate"
        )
        self.synthesis = nn.ConvTranspose2d(coefficients, channels, 2 * factor, stride=factor, padding=half + factor)

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Frames; beyond the edges, the outermost coefficients are repeated."""
        return self.synthesis(F.pad(coefficients, (1, 1, 1, 1), mode="replicate"))

    def forward(self, frames: Tensor) -> Tensor:
        return self.synthesise(self.analysis(frames))

    @torch.no_grad()
    def start_from_principal_components(self, frames: Tensor, rounds: int = 4) -> None:
        """Begin with principal components of blocks without overlap, clips weighing alike in decibels.

        Plain components serve the clips with the largest errors. Here each round
        weighs a clip by the inverse of its error in the round before.

        Args:
            frames: Training clips ``[N, 27, H, W]`` in [-1, 1].
            rounds: Rounds of weighing.
        """
        blocks = F.unfold(frames, self.factor, stride=self.factor).transpose(1, 2)  # [N, L, 27 f f]
        weights = torch.ones(len(blocks))
        for _ in range(1 + rounds):
            share = (weights / weights.sum() / blocks.shape[1]).view(-1, 1, 1)
            mean = (share * blocks).sum((0, 1))
            centred = blocks - mean
            scaled = (centred * share.sqrt()).flatten(0, 1)
            _, components = torch.linalg.eigh((scaled.T @ scaled).double())
            basis = components.flip(1)[:, : self.analysis.out_channels].float()  # [27 f f, z]
            error = (centred - centred @ basis @ basis.T).square().mean((1, 2))
            weights = 1 / (error + ERROR_FLOOR)
        kernel = basis.T.reshape(-1, frames.shape[1], self.factor, self.factor)
        lapped = F.pad(kernel, [self.factor // 2] * 4)
        level = mean.view(frames.shape[1], -1).mean(1)
        bias = -(kernel.sum((2, 3)) @ level)
        self.analysis.load_state_dict({"weight": lapped, "bias": bias})
        self.synthesis.load_state_dict({"weight": lapped, "bias": level})


class LappedAutoencoder(nn.Module):
    """Clips ``[B, 3, T, H, W]`` in [-1, 1] <-> latents ``[B, z, T', H / f, W / f]``, of unit variance over all.

    ``T' = ceil(T / 9)``: a clip is filled up to whole blocks by its last frame.
    """

    spread: Tensor
    gain: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths, coefficients, channels = config.widths, config.z_channels, 3 * BLOCK_FRAMES
        self.transform = LappedTransform(channels, coefficients, config.spatial_factor)
        self.register_buffer("spread", torch.ones(coefficients))
        self.register_buffer("gain", torch.ones(coefficients))

        layers: list[nn.Module] = [nn.Conv2d(coefficients, widths[-1], 3, padding=1)]
        for index in reversed(range(len(widths))):
            layers += [ResidualBlock(widths[index]) for _ in range(config.residual_blocks)]
            if index:
                layers += [nn.Conv2d(widths[index], 4 * widths[index - 1], 1), nn.PixelShuffle(2)]
        output = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        for parameter in output.parameters():
            nn.init.zeros_(parameter)
        self.network = nn.Sequential(*layers, output, nn.PixelShuffle(2))

    def encode(self, clips: Tensor) -> Tensor:
        blocks = to_blocks(clips)  # [B, n, 27, H, W]
        coefficients = self.transform.analysis(blocks.flatten(0, 1)).float()
        latents = coefficients * (self.gain / self.spread).view(-1, 1, 1)
        return latents.unflatten(0, blocks.shape[:2]).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames ``[B, 3, 9 T', H, W]``: whole blocks, of which the caller keeps the clip's."""
        blocks = latents.transpose(1, 2)  # [B, n, z, h, w]
        scaled = (blocks.flatten(0, 1) / self.gain.view(-1, 1, 1)).contiguous(memory_format=torch.channels_last)
        pixels = self.transform.synthesise(scaled * self.spread.view(-1, 1, 1)) + self.network(scaled)
        frames = pixels.float().unflatten(1, (BLOCK_FRAMES, 3)).unflatten(0, blocks.shape[:2]).flatten(1, 2)
        return frames.transpose(1, 2)

    def latent_weights(self) -> Tensor:
        """Squared error in pixels that the transform makes of one in each latent: [1, z, 1, 1, 1], mean 1."""
        weights = (self.spread / self.gain).square()
        return (weights / weights.mean()).view(1, -1, 1, 1, 1)

    @torch.no_grad()
    def set_scales(self, clips: Tensor) -> None:
        """Measure the coefficients' spread over ``clips`` [N, 3, 9, H, W] and bring basis pictures to unit norm.

        Latents keep half of the coefficients' differences in scale (in
        decibels), so that errors in the strong ones weigh more.
        """
        analysis, synthesis = self.transform.analysis, self.transform.synthesis
        norms = synthesis.weight.flatten(1).norm(dim=1)
        synthesis.weight.div_(norms.view(-1, 1, 1, 1))
        for parameter in analysis.parameters():
            parameter.mul_(norms.view(-1, *[1] * (parameter.ndim - 1)))
        self.spread.copy_(analysis(to_blocks(clips).flatten(0, 1)).std((0, 2, 3)).clamp(min=1e-3))
        self.gain.copy_(self.spread.sqrt() / self.spread.mean().sqrt())


ERROR_FLOOR = 1e-4
"""Mean squared error below which a clip is as good as exact (46 dB)."""


def to_blocks(clips: Tensor) -> Tensor:
    """Clips ``[B, 3, T, H, W]`` as blocks of stacked frames ``[B, ceil(T / 9), 27, H, W]``."""
    missing = -clips.shape[2] % BLOCK_FRAMES
    filled = torch.cat([clips, clips[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
    return filled.unflatten(2, (-1, BLOCK_FRAMES)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
