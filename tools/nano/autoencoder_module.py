"""Stages 1 and 2 of training `nano`: the autoencoder's transform, then the network that improves its pictures."""

from abc import abstractmethod

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from nano.schedule import warmup_cosine
from vov_lightning.bases.nano.autoencoder import (
    BLOCK_FRAMES,
    ERROR_FLOOR,
    LappedAutoencoder,
    LappedTransform,
    to_blocks,
)
from vov_lightning.bases.nano.coarse import kept_fraction, unit_noise


class ReconstructionModule(L.LightningModule):
    """What both stages share: clips weigh alike in decibels, validation is the PSNR of exact latents."""

    def __init__(self, autoencoder: LappedAutoencoder, learning_rate: float) -> None:
        """
        Args:
            autoencoder: The whole of it.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
        """
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.network.requires_grad_(True)
        self.learning_rate = learning_rate

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The part that is trained."""

    def validation_step(self, clips: Tensor, _: int) -> None:
        x = to_unit(clips)
        x_hat = self.reconstruct(x)
        self.log("val/psnr_db", psnr_db(squared_error(x_hat.clamp(-1, 1), x)).mean(), prog_bar=True, sync_dist=True)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Clips after exact latents."""
        return self.autoencoder.decode(self.autoencoder.encode(x))[:, :, : x.shape[2]]

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        return warmup_cosine(optimizer, self.trainer.max_steps)


class TransformModule(ReconstructionModule):
    """The lapped transform, from principal components, by the logarithm of the squared error."""

    @property
    def network(self) -> LappedTransform:
        return self.autoencoder.transform

    def reconstruct(self, x: Tensor) -> Tensor:
        frames = self.network(to_blocks(x).flatten(0, 1)).unflatten(1, (BLOCK_FRAMES, 3))
        return frames.unflatten(0, (len(x), -1)).flatten(1, 2).transpose(1, 2)[:, :, : x.shape[2]]

    def training_step(self, clips: Tensor, _: int) -> Tensor:
        x = to_unit(clips)
        mse = squared_error(self.reconstruct(x), x)
        self.log("train/psnr_db", psnr_db(mse).mean(), prog_bar=True)
        return (mse + ERROR_FLOOR).log().mean()


class DecoderModule(ReconstructionModule):
    """The decoder's network, by the logarithm of the squared error plus LPIPS, from exact and from coarse latents."""

    def __init__(
        self,
        autoencoder: LappedAutoencoder,
        learning_rate: float,
        perceptual_weight: float,
        exact_share: float = 0.5,
    ) -> None:
        """
        Args:
            autoencoder: With its transform and scales set.
            learning_rate: As above.
            perceptual_weight: Weight of LPIPS (SqueezeNet), on one random frame a step, beside the natural logarithm of
                the mean squared error; 0 needs no LPIPS weights.
            exact_share: Fraction of clips that are decoded from their exact latents; the others see `reconstruction`.
        """
        super().__init__(autoencoder, learning_rate)
        self.perceptual_weight, self.exact_share = perceptual_weight, exact_share
        # In a list, so that its weights are neither trained nor saved.
        self._lpips = [LearnedPerceptualImagePatchSimilarity("squeeze").net] if perceptual_weight else []

    @property
    def network(self) -> nn.Module:
        return self.autoencoder.network

    def training_step(self, clips: Tensor, _: int) -> Tensor:
        x = to_unit(clips)
        exact = torch.rand(len(x), device=x.device) < self.exact_share
        latents = self.autoencoder.encode(x)
        latents = torch.where(exact.view(-1, 1, 1, 1, 1), latents, reconstruction(self.autoencoder, latents))
        x_hat = self.autoencoder.decode(latents)[:, :, : x.shape[2]]
        mse = squared_error(x_hat, x)
        loss = (mse + ERROR_FLOOR).log().mean()
        self.log("train/psnr_db", psnr_db(mse[exact]).mean(), prog_bar=True)
        self.log("train/coarse_psnr_db", psnr_db(mse[~exact]).mean(), prog_bar=True)
        for lpips in self._lpips:
            number = torch.randint(x.shape[2], ())
            distance = lpips.to(self.device)(x_hat[:, :, number], x[:, :, number]).mean()
            self.log("train/lpips", distance, prog_bar=True)
            loss = loss + self.perceptual_weight * distance
        return loss


def to_unit(clips: Tensor) -> Tensor:
    """Clips ``[B, T, 3, H, W]`` uint8 as ``[B, 3, T, H, W]`` in [-1, 1]."""
    return clips.float().transpose(1, 2) / 127.5 - 1


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean squared error of each clip [B]."""
    return (x_hat - x).square().flatten(1).mean(1)


def psnr_db(mse: Tensor) -> Tensor:
    """PSNR of values in [-1, 1] with mean squared error ``mse``."""
    return 10 * torch.log10(4 / mse.detach().float())


def reconstruction(autoencoder: LappedAutoencoder, latents: Tensor) -> Tensor:
    """Coded ``latents`` [B, z, T', h, w]: ``a x`` and noise of variance ``a (1 - a) v``, so that what is lost is 0."""
    kept = kept_fraction(autoencoder, len(latents))
    return kept * latents + (kept * (1 - kept)).sqrt() * unit_noise(autoencoder, latents)
