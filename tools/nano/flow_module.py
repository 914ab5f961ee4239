"""Stage 3 of training `nano`: the flow transformer over the autoencoder's latents."""

import lightning as L
import torch
from torch import Tensor

from nano.schedule import warmup_cosine
from vov_lightning.bases.nano.model import (
    NanoConfig,
    WordEmbedding,
    build_transformer,
    caption_row,
    transformer_velocity,
)
from vov_lightning.flow import flow_loss, interpolate, shift_time

Batch = tuple[Tensor, Tensor]
"""Latents ``[B, z, n, h, w]`` and the rows of their words ``[B, 7]``."""

GRID = torch.linspace(0.05, 0.95, 10)
"""Times at which the validation loss is measured."""


class FlowModule(L.LightningModule):
    """Flow matching (``u ~ eps - x``), with captions computed from the clips and dropped at random."""

    def __init__(
        self,
        config: NanoConfig,
        learning_rate: float = 1e-3,
        shift: float = 2.0,
        drop_caption: float = 0.15,
        drop_attribute: float = 0.2,
    ) -> None:
        """
        Args:
            config: Sizes of the transformer.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
            shift: ``c`` of the time density ``t = c r / (1 + (c - 1) r)``, r uniform; above 1 prefers noisy times.
            drop_caption: Probability that a clip is trained without a caption.
            drop_attribute: Probability that an attribute of a caption is left out.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["config"])
        self.transformer = build_transformer(config)
        self.words = WordEmbedding(config.text_dim)
        self.register_buffer("unsaid", torch.tensor(caption_row({})), persistent=False)

    @property
    def network(self) -> torch.nn.Module:
        """The part that is trained."""
        return self.transformer

    def training_step(self, batch: Batch, _: int) -> Tensor:
        latents, rows = batch
        r = (torch.arange(len(rows)) + torch.rand(len(rows))) / len(rows)  # stratified
        t = shift_time(r.to(latents), self.hparams.shift)
        loss = self._losses(latents, t, torch.randn_like(latents), self._drop(rows)).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        latents, rows = batch
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(batch_index)).to(latents)
        losses = [self._losses(latents, t.expand(len(rows)).to(latents), noise, rows).mean() for t in GRID]
        self.log("val/loss", torch.stack(losses).mean(), prog_bar=True, sync_dist=True)

    def _losses(self, x: Tensor, t: Tensor, noise: Tensor, rows: Tensor) -> Tensor:
        velocity = transformer_velocity(self.transformer, interpolate(x, noise, t), t, self.words(rows))
        return flow_loss(velocity, x, noise)

    def _drop(self, rows: Tensor) -> Tensor:
        """``rows`` [B, 7] with some attributes, and of some clips all, set to "not said"."""
        dropped = torch.rand(rows.shape, device=rows.device) < self.hparams.drop_attribute
        dropped |= torch.rand(len(rows), 1, device=rows.device) < self.hparams.drop_caption
        return torch.where(dropped, self.unsaid, rows)

    def configure_optimizers(self):
        parameters = [*self.transformer.parameters(), *self.words.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=self.hparams.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
        return warmup_cosine(optimizer, self.trainer.max_steps)
