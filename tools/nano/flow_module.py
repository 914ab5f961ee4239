"""Stage 2 of training `nano`: the flow transformer over the autoencoder's latents."""

import lightning as L
import torch
from torch import Tensor

from nano.autoencoder_module import to_unit
from nano.schedule import warmup_cosine
from vov_lightning.bases.autoencoder import GroupAutoencoder
from vov_lightning.bases.nano import NanoConfig, WordEmbedding, build_transformer
from vov_lightning.captions import describe, parse

GRID = torch.linspace(0.05, 0.95, 10)
"""Times at which the validation loss is measured."""


class FlowModule(L.LightningModule):
    """Flow matching (DESIGN: ``u ~ eps - x``), with captions computed from the clips and dropped at random."""

    def __init__(
        self,
        autoencoder: GroupAutoencoder,
        config: NanoConfig,
        learning_rate: float = 1e-3,
        shift: float = 2.0,
        drop_caption: float = 0.15,
        drop_attribute: float = 0.2,
    ) -> None:
        """
        Args:
            autoencoder: Trained and frozen.
            config: Sizes of the transformer.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
            shift: ``c`` of the time density ``t = c r / (1 + (c - 1) r)``, r uniform; above 1 prefers noisy times.
            drop_caption: Probability that a clip is trained without a caption.
            drop_attribute: Probability that an attribute of a caption is left out.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["autoencoder", "config"])
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.transformer = build_transformer(config)
        self.words = WordEmbedding(config.text_dim)

    @property
    def network(self) -> torch.nn.Module:
        """The part that is trained."""
        return self.transformer

    def training_step(self, clips: Tensor, _: int) -> Tensor:
        latents = self.autoencoder.encode(to_unit(clips))
        r = (torch.arange(len(clips)) + torch.rand(len(clips))) / len(clips)  # stratified
        t = self.hparams.shift * r / (1 + (self.hparams.shift - 1) * r)
        captions = [self._caption(clip) for clip in clips]
        loss = self._loss(latents, t.to(latents), torch.randn_like(latents), captions)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, clips: Tensor, batch_index: int) -> None:
        latents = self.autoencoder.encode(to_unit(clips))
        generator = torch.Generator().manual_seed(batch_index)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        captions = [parse(describe(clip.cpu())) for clip in clips]
        losses = [self._loss(latents, t.expand(len(clips)).to(latents), noise, captions) for t in GRID]
        self.log("val/loss", torch.stack(losses).mean(), prog_bar=True)

    def _loss(self, x: Tensor, t: Tensor, noise: Tensor, captions: list[dict[str, str]]) -> Tensor:
        t_wide = t.view(-1, 1, 1, 1, 1)
        x_t = (1 - t_wide) * x + t_wide * noise
        velocity = self.transformer(x_t, 1000 * t, self.words(captions), return_dict=False)[0]
        return (velocity.float() - (noise - x)).square().mean()

    def _caption(self, clip: Tensor) -> dict[str, str]:
        if torch.rand(()) < self.hparams.drop_caption:
            return {}
        attributes = parse(describe(clip.cpu()))
        return {name: word for name, word in attributes.items() if torch.rand(()) >= self.hparams.drop_attribute}

    def configure_optimizers(self):
        parameters = [*self.transformer.parameters(), *self.words.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=self.hparams.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
        return warmup_cosine(optimizer, self.trainer.max_steps)
