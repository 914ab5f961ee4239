"""Inference-time scaling (paper, section 3.3, Algorithm 1): indices choose the noise of the sampler's steps.

The encoder (`Search`) and the decoder (`Replay`) take a step by the same code
once the indices are known, so their latents are the same at every step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vov_lightning.bitstream.indices import count_bits
from vov_lightning.sampling.candidates import Codebook, Groups
from vov_lightning.sampling.config import ScalingConfig, SteeringConfig
from vov_lightning.sampling.kernels import divergence_bits, transition


class Steering(ABC):
    """Takes steps of the sampler by indices.

    Args:
        config: Kernel and codebook.
        num_entries: Entries of the latents.
        seed: Seed of codebook and groups: the sampler's.
    """

    def __init__(self, config: SteeringConfig, num_entries: int, seed: int) -> None:
        self.config = config
        self.codebook: Codebook = config.codebook_of(seed)
        self.groups = Groups(num_entries, seed)

    def step(self, number: int, x_t: Tensor, clean: Tensor, t: float, s: float) -> Tensor | None:
        """Latents at ``s``, or nothing where the step carries no index and is taken without noise.

        Args:
            number: Of the step, from 0.
            x_t: Latents ``[1, ...]`` at ``t``.
            clean: Clean latents that the model predicts.
            t: Time in (0, 1].
            s: Time in (0, t).
        """
        mean, gamma = transition(self.config.kernel, self.config.eta, x_t, clean, t, s)
        indices = self._indices(number, x_t, mean, gamma, t, s)
        if not len(indices):
            return None
        noise = self.codebook.draw(indices, self.groups.length(len(indices)), number)
        return mean + gamma * self.groups.join(noise, x_t)

    @abstractmethod
    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        """Index of each group [G] int64."""


class Replay(Steering):
    """The decoder: indices come from the file."""

    def __init__(self, config: SteeringConfig, num_entries: int, seed: int, indices: Sequence[Tensor]) -> None:
        super().__init__(config, num_entries, seed)
        self.indices = indices

    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        if number >= len(self.indices):
            return torch.zeros(0, dtype=torch.int64)
        return self.indices[number].to(x_t.device)


class Search(Steering):
    """The encoder: knows the clip, and spends at most ``config.bits`` where the model is wrong.

    By divergence, a step of KL divergence K (bits) gets K, but no more than an
    even share of what is left. Since K grows from noise to clean, that is
    water-filling in one pass. Bits come in groups of ``config.index_bits``.

    Args:
        config: Budget, kernel and codebook.
        clean: Latents of the clip.
        seed: The sampler's.
        num_steps: Of the sampler.
        with_counts: Whether the budget pays for the number of indices of each step, too, as the file does.
    """

    def __init__(
        self, config: ScalingConfig, clean: Tensor, seed: int, num_steps: int, *, with_counts: bool = False
    ) -> None:
        super().__init__(config, clean.numel(), seed)
        self.clean, self.num_steps, self.with_counts = clean, num_steps, with_counts
        self.indices: list[Tensor] = []
        self.divergences: list[float] = []
        """KL divergence of each step in bits: from the model's step to the one that leads to the clip."""
        self.allocation, self.selection = config.allocation, config.selection
        self._bits_left = config.bits
        self._generator = torch.Generator().manual_seed(seed % 2**32)

    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        wanted, _ = transition(self.config.kernel, self.config.eta, x_t, self.clean, t, s)
        wish = (wanted - mean) / gamma
        bits = divergence_bits(wish)
        share = max(0, self._bits_left // (self.num_steps - 1 - number))
        count = min(share // self.config.index_bits, wish.numel())
        if self.allocation == "divergence":
            count = min(count, round(bits / self.config.index_bits))
        while count and self._cost(count) > share:
            count -= 1
        self._bits_left -= self._cost(count)
        chosen = torch.zeros(0, dtype=torch.int64)
        if count:
            scores = self.codebook.scores(self.groups.split(wish, count), number)
            chosen = self._select(scores)
        self.indices.append(chosen)
        self.divergences.append(bits)
        return chosen

    def _cost(self, count: int) -> int:
        """Bits of a step with ``count`` indices."""
        before = len(self.indices[-1]) if self.indices else 0
        return count * self.config.index_bits + (count_bits(count, before) if self.with_counts else 0)

    def _select(self, scores: Tensor) -> Tensor:
        if self.selection == "importance":
            uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64).clamp(min=1e-300)
            scores = scores - (-uniform.log()).log().to(scores)
        return scores.argmax(1)
