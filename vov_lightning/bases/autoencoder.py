"""The small autoencoder under `nano`: a linear block transform, and 2-D convolutions that correct it.

Nine frames are stacked as channels and coded together, so that a still scene
is not coded again in every frame and no 3-D convolution is needed (they are
ten times slower on a CPU). The transform maps blocks of 9 x 8 x 8 pixels to 57
numbers, their principal components, and the networks add what it misses. The
57 channels, in order of their variance, are three latent frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK_FRAMES = 9
"""Frames coded together."""
BLOCK_LATENTS = 3
"""Latent frames that they become."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of `BlockAutoencoder`."""

    z_channels: int = 19
    """Channels of a latent frame."""
    widths: tuple[int, ...] = (128, 160, 192)
    """Feature channels at 1/2, 1/4, 1/8 ... of the picture; the last is the latents' scale."""
    encoder_blocks: int = 1
    """Residual blocks at each scale of the encoder."""
    decoder_blocks: int = 2
    """Residual blocks at each scale of the decoder."""

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


class BlockAutoencoder(nn.Module):
    """Clips ``[B, 3, T, H, W]`` in [-1, 1] <-> latents ``[B, z, T', H / f, W / f]``, of unit variance over all.

    ``T' = 3 ceil(T / 9)``: a clip is filled up to whole blocks by its last frame.
    """

    spread: Tensor
    gain: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths, factor = config.widths, config.spatial_factor
        pixels, coefficients = 3 * BLOCK_FRAMES, BLOCK_LATENTS * config.z_channels
        self.analysis = nn.Conv2d(pixels, coefficients, factor, stride=factor)
        self.synthesis = nn.ConvTranspose2d(coefficients, pixels, factor, stride=factor)
        self.register_buffer("spread", torch.ones(coefficients))
        self.register_buffer("gain", torch.ones(coefficients))

        encoder: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * pixels, widths[0], 3, padding=1)]
        for index, width in enumerate(widths):
            if index:
                encoder.append(nn.Conv2d(widths[index - 1], width, 3, stride=2, padding=1))
            encoder += [ResidualBlock(width) for _ in range(config.encoder_blocks)]
        self.encoder = nn.Sequential(*encoder, _zero(nn.Conv2d(widths[-1], coefficients, 1)))
        decoder: list[nn.Module] = [nn.Conv2d(coefficients, widths[-1], 3, padding=1)]
        for index in reversed(range(len(widths))):
            decoder += [ResidualBlock(widths[index]) for _ in range(config.decoder_blocks)]
            if index:
                decoder += [nn.Conv2d(widths[index], 4 * widths[index - 1], 1), nn.PixelShuffle(2)]
        output = _zero(nn.Conv2d(widths[0], 4 * pixels, 3, padding=1))
        self.decoder = nn.Sequential(*decoder, output, nn.PixelShuffle(2))

    def encode(self, clips: Tensor) -> Tensor:
        missing = -clips.shape[2] % BLOCK_FRAMES
        filled = torch.cat([clips, clips[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
        blocks = filled.unflatten(2, (-1, BLOCK_FRAMES)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)  # [B, n, 27, H, W]
        x = blocks.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        coefficients = (self.analysis(x) + self.encoder(x)).float()
        latents = coefficients * (self.gain / self.spread).view(-1, 1, 1)
        return latents.unflatten(1, (BLOCK_LATENTS, -1)).unflatten(0, blocks.shape[:2]).flatten(1, 2).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames ``[B, 3, 3 T', H, W]``: whole blocks, of which the caller keeps the clip's."""
        blocks = latents.transpose(1, 2).unflatten(1, (-1, BLOCK_LATENTS)).flatten(2, 3)  # [B, n, 57, h, w]
        scaled = (blocks.flatten(0, 1) / self.gain.view(-1, 1, 1)).contiguous(memory_format=torch.channels_last)
        pixels = self.synthesis(scaled * self.spread.view(-1, 1, 1)) + self.decoder(scaled)
        frames = pixels.float().unflatten(1, (BLOCK_FRAMES, 3)).unflatten(0, blocks.shape[:2]).flatten(1, 2)
        return frames.transpose(1, 2)

    def latent_weights(self, latent_frames: int) -> Tensor:
        """Squared error in pixels that the transform makes of one in each latent: [1, z, T', 1, 1], mean 1."""
        weights = (self.spread / self.gain).square()
        block = (weights / weights.mean()).view(1, BLOCK_LATENTS, -1, 1, 1).transpose(1, 2)
        return block.repeat(1, 1, latent_frames // BLOCK_LATENTS, 1, 1)

    @torch.no_grad()
    def start_from_principal_components(self, clips: Tensor) -> None:
        """Set the transform to the leading principal components of ``clips`` [N, 3, 9, H, W] in [-1, 1].

        Latents keep half of the components' differences in scale (in decibels),
        so that errors in the leading ones weigh more.
        """
        factor = self.config.spatial_factor
        pixels = clips.transpose(1, 2).flatten(1, 2)  # [N, 27, H, W]
        blocks = F.unfold(pixels, factor, stride=factor).transpose(1, 2).flatten(0, 1).double()
        mean = blocks.mean(0)
        variances, components = torch.linalg.eigh(torch.cov(blocks.T))
        leading = torch.arange(len(variances)).flip(0)[: len(self.spread)]
        basis = components[:, leading].T  # [57, 27 f f]
        kernel = basis.view(-1, pixels.shape[1], factor, factor).float()
        self.analysis.load_state_dict({"weight": kernel, "bias": -(basis @ mean)})
        self.synthesis.load_state_dict({"weight": kernel, "bias": mean.view(pixels.shape[1], -1).mean(1)})
        self.spread.copy_(variances[leading].clamp(min=1e-6).sqrt())
        self.gain.copy_(self.spread.sqrt() / self.spread.mean().sqrt())


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
