"""Stage 1 of training `nano`: the group autoencoder, by reconstruction."""

import lightning as L
import torch
from torch import Tensor

from nano.schedule import warmup_cosine
from vov_lightning.bases.autoencoder import GROUP, AutoencoderConfig, GroupAutoencoder


class AutoencoderModule(L.LightningModule):
    """Mean squared error of frame groups; noise on the latents makes the decoder forgive the flow model's errors."""

    def __init__(
        self,
        config: AutoencoderConfig = AutoencoderConfig(),
        learning_rate: float = 2e-3,
        latent_noise: float = 0.05,
    ) -> None:
        """
        Args:
            config: Sizes of the autoencoder.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
            latent_noise: Standard deviation of the noise added to latents of unit variance.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["config"])
        self.autoencoder = GroupAutoencoder(config)

    @property
    def network(self) -> torch.nn.Module:
        """The part that is trained."""
        return self.autoencoder

    def training_step(self, clips: Tensor, _: int) -> Tensor:
        groups = self._groups(clips)
        latents = self.autoencoder.encode_groups(groups)
        latents = latents + self.hparams.latent_noise * torch.randn_like(latents)
        loss = (self.autoencoder.decode_groups(latents) - groups).square().mean()
        self.log("train/psnr_db", psnr_db(loss), prog_bar=True)
        return loss

    def validation_step(self, clips: Tensor, _: int) -> None:
        x = to_unit(clips)
        x_hat = self.autoencoder.decode(self.autoencoder.encode(x)).clamp(-1, 1)
        self.log("val/psnr_db", psnr_db((x_hat - x).square().mean()), prog_bar=True)

    def _groups(self, clips: Tensor) -> Tensor:
        """One random group ``[B, 12, H, W]`` of each clip ``[B, T, 3, H, W]``; a quarter of them still."""
        start = int(torch.randint(clips.shape[1] - GROUP + 1, ()))
        groups = clips[:, start : start + GROUP].clone()
        still = torch.rand(len(clips)) < 0.25
        groups[still] = groups[still, :1].expand(-1, GROUP, -1, -1, -1)
        return (groups.float() / 127.5 - 1).flatten(1, 2)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate, weight_decay=1e-4)
        return warmup_cosine(optimizer, self.trainer.max_steps)


def to_unit(clips: Tensor) -> Tensor:
    """Clips ``[B, T, 3, H, W]`` uint8 as ``[B, 3, T, H, W]`` in [-1, 1]."""
    return clips.float().transpose(1, 2) / 127.5 - 1


def psnr_db(mse: Tensor) -> Tensor:
    """PSNR of values in [-1, 1] with mean squared error ``mse``."""
    return 10 * torch.log10(4 / mse.detach().float())
