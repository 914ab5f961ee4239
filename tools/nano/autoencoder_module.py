"""Stage 1 of training `nano`: the autoencoder, by reconstruction."""

from collections.abc import Iterable

import lightning as L
import torch
from torch import Tensor
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from nano.schedule import warmup_cosine
from vov_lightning.bases.autoencoder import BLOCK_FRAMES, AutoencoderConfig, BlockAutoencoder

Batch = tuple[Tensor, Tensor]
"""Clips ``[B, T, 3, H, W]`` uint8 and the rows of their words ``[B, 7]``."""


class AutoencoderModule(L.LightningModule):
    """Squared error plus LPIPS, with a little noise on the latents."""

    def __init__(
        self,
        config: AutoencoderConfig = AutoencoderConfig(),
        learning_rate: float = 5e-4,
        latent_noise: float = 0.02,
        perceptual_weight: float = 0.005,
    ) -> None:
        """
        Args:
            config: Sizes of the autoencoder.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
            latent_noise: Standard deviation of the noise added to the latents.
            perceptual_weight: Weight of LPIPS (SqueezeNet) beside the mean squared error of values in [-1, 1],
                on one random frame of each clip; 0 needs no LPIPS weights.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["config"])
        self.autoencoder = BlockAutoencoder(config)
        self.autoencoder.analysis.requires_grad_(False)  # set by `start_from`
        self.autoencoder.synthesis.requires_grad_(False)
        # In a list, so that its weights are neither trained nor saved.
        self._lpips = [LearnedPerceptualImagePatchSimilarity("squeeze").net] if perceptual_weight else []

    def start_from(self, loader: Iterable[Batch]) -> None:
        """Set the linear transform to the principal components of a batch."""
        clips, _ = next(iter(loader))
        self.autoencoder.start_from_principal_components(to_unit(clips[:, :BLOCK_FRAMES]))

    @property
    def network(self) -> torch.nn.Module:
        """The part that is trained."""
        return self.autoencoder

    def training_step(self, batch: Batch, _: int) -> Tensor:
        x = to_unit(batch[0])
        latents = self.autoencoder.encode(x)
        latents = latents + self.hparams.latent_noise * torch.randn_like(latents)
        x_hat = self.autoencoder.decode(latents)[:, :, : x.shape[2]]
        loss = (x_hat - x).square().mean()
        self.log("train/psnr_db", psnr_db(loss), prog_bar=True)
        for lpips in self._lpips:
            number = torch.randint(x.shape[2], ())
            distance = lpips.to(self.device)(x_hat[:, :, number], x[:, :, number]).mean()
            self.log("train/lpips", distance, prog_bar=True)
            loss = loss + self.hparams.perceptual_weight * distance
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        x = to_unit(batch[0])
        x_hat = self.autoencoder.decode(self.autoencoder.encode(x))[:, :, : x.shape[2]].clamp(-1, 1)
        mse = (x_hat - x).square().flatten(1).mean(1)
        self.log("val/psnr_db", psnr_db(mse).mean(), prog_bar=True, sync_dist=True)

    def configure_optimizers(self):
        networks = [*self.autoencoder.encoder.parameters(), *self.autoencoder.decoder.parameters()]
        optimizer = torch.optim.AdamW(networks, lr=self.hparams.learning_rate, weight_decay=1e-4)
        return warmup_cosine(optimizer, self.trainer.max_steps)


def to_unit(clips: Tensor) -> Tensor:
    """Clips ``[B, T, 3, H, W]`` uint8 as ``[B, 3, T, H, W]`` in [-1, 1]."""
    return clips.float().transpose(1, 2) / 127.5 - 1


def psnr_db(mse: Tensor) -> Tensor:
    """PSNR of values in [-1, 1] with mean squared error ``mse``."""
    return 10 * torch.log10(4 / mse.detach().float())
