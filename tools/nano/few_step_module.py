"""Stage 3 of training a few-step sibling of `nano`: each of its steps does what many of the model it starts from do.

Progressive distillation (Salimans and Ho 2022, https://arxiv.org/abs/2202.00512) in one go: from noised clips at a time
of the few-step grid, the model's own velocity learns the mean velocity of the way that the teacher takes, in Euler
steps, to the next time.
"""

import torch
from torch import Tensor

from nano.flow_module import FlowModule
from vov_lightning.bases.nano.autoencoder import LappedAutoencoder
from vov_lightning.bases.nano.model import Nano, NanoConfig, transformer_velocity
from vov_lightning.flow import per_sample
from vov_lightning.sampling.config import SamplerConfig

TEACHER_STEPS = 16
"""Steps of the teacher from noise to clip, about; every step of the few has as many."""


class FewStepModule(FlowModule):
    """Distillation, with captions dropped and pasts drawn as in training.

    Args:
        config: Sizes of the model.
        autoencoder: Of the latents.
        teacher: Model that is followed.
        steps: Steps of the sibling, on the sampler's default grid.
        learning_rate: Peak of AdamW's learning rate.
    """

    times: Tensor

    def __init__(
        self, config: NanoConfig, autoencoder: LappedAutoencoder, teacher: Nano, steps: int, learning_rate: float
    ) -> None:
        super().__init__(config, autoencoder, learning_rate)
        self.entry_rate = 1  # the input's weights are learned already
        self._teacher = [teacher]  # in a list, so that its weights are neither trained nor saved
        self.substeps = max(1, TEACHER_STEPS // steps)
        self.register_buffer("times", SamplerConfig(steps=steps).times(), persistent=False)

    @property
    def grid(self) -> Tensor:
        return self.times[:-1]

    def _draw_times(self, *shape: int) -> Tensor:
        return self.grid[torch.randint(len(self.grid), shape, device=self.device)]

    @torch.no_grad()
    def _target(self, x: Tensor, noise: Tensor, x_t: Tensor, t: Tensor, rows: Tensor, past: Tensor | None) -> Tensor:
        teacher = self._teacher[0].to(x.device)
        words = teacher.words(rows)
        s = self.times[1 + torch.searchsorted(-self.times, -t)]
        step, x_s = (s - t) / self.substeps, x_t
        for number in range(self.substeps):
            u = transformer_velocity(teacher.transformer, x_s, t + number * step, words, past)
            x_s = x_s + per_sample(step, x_s) * u
        return (x_s - x_t) / per_sample(s - t, x_t)
