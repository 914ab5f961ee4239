"""Stage 3 of training `nano`: the flow transformer over the autoencoder's latents."""

import math

import lightning as L
import torch
from torch import Tensor

from nano.schedule import warmup_cosine
from vov_lightning.bases.nano.autoencoder import LappedAutoencoder
from vov_lightning.bases.nano.coarse import sample
from vov_lightning.bases.nano.model import (
    Nano,
    NanoConfig,
    WordEmbedding,
    build_transformer,
    caption_row,
    transformer_velocity,
)
from vov_lightning.bases.nano.past import past_planes
from vov_lightning.flow import interpolate, shift_time

Batch = tuple[Tensor, Tensor]
"""Latents ``[B, z, n, h, w]`` and the rows of their words ``[B, 7]``."""

GRID = torch.linspace(0.05, 0.95, 10)

EXACT_PAST, CODED_PAST, NOISY_PAST = 0.3, 0.4, 0.15
"""Fraction of clips that see the frames before exactly, as a decoder shows them, and with noise of random levels; the
others do not see them."""

ENTRY_RATE = 8
"""Learning rate of the input's weights, relative to the others."""


class FlowModule(L.LightningModule):
    """Flow matching (``u ~ eps - x``), with captions computed from the clips and dropped at random."""

    unsaid: Tensor

    def __init__(
        self,
        config: NanoConfig,
        autoencoder: LappedAutoencoder,
        learning_rate: float = 1e-3,
        shift: float = 2.0,
        drop_caption: float = 0.15,
        drop_attribute: float = 0.2,
    ) -> None:
        """
        Args:
            config: Sizes of the transformer.
            autoencoder: Of the latents.
            learning_rate: Peak of AdamW's learning rate; warm-up, then cosine to zero over ``trainer.max_steps``.
            shift: ``c`` of the time density ``t = c r / (1 + (c - 1) r)``, r uniform; above 1 prefers noisy times.
            drop_caption: Probability that a clip is trained without a caption.
            drop_attribute: Probability that an attribute of a caption is left out.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["config", "autoencoder", "teacher"])
        self._autoencoder = [autoencoder]  # in a list, so that its weights are neither trained nor saved
        self.context = config.context
        self.entry_rate = ENTRY_RATE if config.context else 1
        self.transformer = build_transformer(config)
        self.words = WordEmbedding(config.text_dim)
        self.register_buffer("unsaid", torch.tensor(caption_row({})), persistent=False)

    @property
    def network(self) -> torch.nn.Module:
        """The part that is trained."""
        return self.transformer

    @property
    def grid(self) -> Tensor:
        """Times at which the validation loss is measured."""
        return GRID

    def training_step(self, batch: Batch, _: int) -> Tensor:
        latents, rows = batch
        t = self._draw_times(*self._times(latents)).to(latents)
        noise = torch.randn_like(latents)
        past: Tensor | None = None
        if self.context:
            past = draw_past(latents, self._autoencoder[0].to(latents.device), self.context)
            # The first latent frame of a clip has no past; of the others, some are drawn without.
            latents, t, noise, past = latents[:, :, 1:], t[:, 1:], noise[:, :, 1:], past[:, :, 1:]
        loss = self._losses(latents, t, noise, self._drop(rows), past).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    @torch.compiler.set_stance("force_eager")  # other shapes than in training: compiling them takes longer
    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean loss over `GRID`; with context, of latent frames that have all of it, without and with it."""
        latents, rows = batch
        pasts: dict[str, Tensor | None] = {"val/loss": None}
        if self.context:
            known = past_planes(latents, torch.zeros(self._times(latents)).to(latents), self.context)
            known, latents = known[:, :, self.context :], latents[:, :, self.context :]
            pasts = {"val/loss": torch.zeros_like(known), "val/loss_given_past": known}
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(batch_index)).to(latents)
        for name, past in pasts.items():
            times = [t.expand(self._times(latents)).to(latents) for t in self.grid]
            losses = [self._losses(latents, t, noise, rows, past).mean() for t in times]
            self.log(name, torch.stack(losses).mean(), prog_bar=True, sync_dist=True)

    def _times(self, latents: Tensor) -> tuple[int, ...]:
        """Shape of the times: one a latent frame where the transformer has context."""
        return (len(latents), latents.shape[2]) if self.context else (len(latents),)

    def _losses(self, x: Tensor, t: Tensor, noise: Tensor, rows: Tensor, past: Tensor | None) -> Tensor:
        """Loss of each latent frame ``[B, T']``."""
        x_t = interpolate(x, noise, t)
        velocity = transformer_velocity(self.transformer, x_t, t, self.words(rows), past)
        return (velocity - self._target(x, noise, x_t, t, rows, past)).square().mean((1, 3, 4))

    def _draw_times(self, *shape: int) -> Tensor:
        """Times of ``shape`` to train at."""
        return shift_time(stratified(*shape), self.hparams["shift"])

    def _target(self, x: Tensor, noise: Tensor, x_t: Tensor, t: Tensor, rows: Tensor, past: Tensor | None) -> Tensor:
        """Velocity to learn at ``x_t``."""
        return noise - x

    def _drop(self, rows: Tensor) -> Tensor:
        """``rows`` [B, 7] with some attributes, and of some clips all, set to "not said"."""
        dropped = torch.rand(rows.shape, device=rows.device) < self.hparams["drop_attribute"]
        dropped |= torch.rand(len(rows), 1, device=rows.device) < self.hparams["drop_caption"]
        return torch.where(dropped, self.unsaid, rows)

    def configure_optimizers(self):
        # With context, the input's weights for the past begin at 0, and Adam moves a weight by its rate a step at most.
        entry = [self.transformer.patch_embedding.weight]
        others = [weight for weight in self.parameters() if weight is not entry[0]]
        rate = self.hparams.learning_rate
        groups = [{"params": others, "lr": rate}, {"params": entry, "lr": rate * self.entry_rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
        return warmup_cosine(optimizer, self.trainer.max_steps)


def stratified(*shape: int) -> Tensor:
    """Uniform numbers in [0, 1) of ``shape``, one in each of as many equal intervals, in random order."""
    count = math.prod(shape)
    return ((torch.randperm(count) + torch.rand(count)) / count).view(shape)


def draw_past(latents: Tensor, autoencoder: LappedAutoencoder, context: int) -> Tensor:
    """`past_planes` for training on ``latents`` [B, z, T', h, w].

    Four kinds of draws, a clip each: the past exact; as a decoder shows it,
    said to be exact; each frame of it at a noise level of its own, low ones
    more often; no past.

    Args:
        latents: Clean latents.
        autoencoder: Of the latents.
        context: Latent frames to look back.
    """
    exact, coded, noisy = draw_kinds(len(latents), EXACT_PAST, CODED_PAST, NOISY_PAST).to(latents.device)
    level = torch.rand(len(latents), latents.shape[2], device=latents.device).square()
    level = torch.where(exact | coded, 0, torch.where(noisy, level, 1))
    seen = torch.where(coded.view(-1, 1, 1, 1, 1), sample(autoencoder, latents), latents)
    return past_planes(interpolate(seen, torch.randn_like(latents), level), level, context)


def draw_kinds(count: int, *shares: float) -> Tensor:
    """Masks ``[kinds, count, 1]``: each of ``count`` clips is of one kind, or of none, by ``shares``."""
    bounds = torch.tensor((0.0, *shares)).cumsum(0).view(-1, 1, 1)
    drawn = torch.rand(count, 1)
    return (bounds[:-1] <= drawn) & (drawn < bounds[1:])


def start_from(module: FlowModule, model: Nano) -> None:
    """Begin with the weights of ``model``; input channels that it does not have begin with weights 0."""
    weights = model.transformer.state_dict()
    old, new = weights["patch_embedding.weight"], module.transformer.state_dict()["patch_embedding.weight"]
    weights["patch_embedding.weight"] = torch.cat([old, torch.zeros_like(new[:, old.shape[1] :])], dim=1)
    module.transformer.load_state_dict(weights)
    module.words.load_state_dict(model.words.state_dict())
