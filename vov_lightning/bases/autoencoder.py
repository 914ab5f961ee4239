"""The small autoencoder under `nano`: 2-D convolutions over groups of frames.

Four frames are stacked as channels and coded together, so one group is one
latent frame and no 3-D convolution is needed (they are ten times slower on a
CPU). As in Wan, the first frame stands alone: it is repeated to fill its
group, and a clip has ``1 + 4 n`` frames and ``1 + n`` latent frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP = 4
"""Frames coded together."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of `GroupAutoencoder`."""

    z_channels: int = 16
    """Channels of a latent frame."""
    widths: tuple[int, ...] = (64, 128, 256)
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


class GroupAutoencoder(nn.Module):
    """Clips ``[B, 3, 1 + 4 n, H, W]`` in [-1, 1] <-> latents ``[B, z, 1 + n, H / f, W / f]`` of unit variance."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        encoder: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * 3 * GROUP, widths[0], 3, padding=1)]
        for index, width in enumerate(widths):
            if index:
                encoder.append(nn.Conv2d(widths[index - 1], width, 3, stride=2, padding=1))
            encoder += [ResidualBlock(width) for _ in range(config.encoder_blocks)]
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(widths[-1], config.z_channels, 1))
        # Running mean and variance give latents of unit variance, which the flow model needs.
        self.normalise = nn.BatchNorm2d(config.z_channels, affine=False, momentum=0.01)
        decoder: list[nn.Module] = [nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)]
        for index in reversed(range(len(widths))):
            decoder += [ResidualBlock(widths[index]) for _ in range(config.decoder_blocks)]
            if index:
                decoder += [nn.Conv2d(widths[index], 4 * widths[index - 1], 1), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(widths[0], 4 * 3 * GROUP, 3, padding=1), nn.PixelShuffle(2))

    def encode_groups(self, groups: Tensor) -> Tensor:
        """Latents ``[N, z, h, w]`` of ``groups`` ``[N, 12, H, W]`` (four frames as channels)."""
        return self.normalise(self.encoder(groups.contiguous(memory_format=torch.channels_last)).float())

    def decode_groups(self, latents: Tensor) -> Tensor:
        """Groups ``[N, 12, H, W]`` from latents ``[N, z, h, w]``."""
        return self.decoder(latents.contiguous(memory_format=torch.channels_last)).float()

    def encode(self, clips: Tensor) -> Tensor:
        batch = len(clips)
        padded = torch.cat([clips[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), clips], dim=2)
        groups = padded.unflatten(2, (-1, GROUP)).permute(0, 2, 3, 1, 4, 5)  # [B, 1 + n, 4, 3, H, W]
        return self.encode_groups(groups.flatten(0, 1).flatten(1, 2)).unflatten(0, (batch, -1)).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        batch = len(latents)
        groups = self.decode_groups(latents.transpose(1, 2).flatten(0, 1))  # [B (1 + n), 12, H, W]
        frames = groups.unflatten(1, (GROUP, 3)).unflatten(0, (batch, -1)).flatten(1, 2)  # [B, 4 (1 + n), 3, H, W]
        return frames.transpose(1, 2)[:, :, GROUP - 1 :]
