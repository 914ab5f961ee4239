"""Inference-time scaling (paper, section 3.3, Algorithm 1): indices choose the noise of the sampler's steps.

The encoder (`Search`) and the decoder (`Replay`) take a step by the same code
once the indices are known, so their latents are the same at every step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from vov_lightning.bitstream.indices import count_bits, likely_count
from vov_lightning.sampling.candidates import Codebook, Groups
from vov_lightning.sampling.config import ScalingConfig, SteeringConfig
from vov_lightning.sampling.kernels import divergence_bits, error_growth, transition

KEY_BLOCK = 2.0
"""Bits of the first block of a segment, relative to those of the others: it has no past, and is the past of others.
``tools/studies/key_block.py`` measures others."""
WEIGHT_POWER = 0.4
"""The best candidate is chosen by errors that are weighted by `BaseModel.latent_weights` to this power. 0 weighs all
latents alike; 1 weighs them by the error in pixels of this step alone."""
SPARE = 2.0
"""A block gets no indices after the first step by which its steps could have used this many times its bits. An index
moves the latents ever less towards the end of sampling; bits that are spread to the last step leave a blurred picture.
``tools/studies/choices.py spare`` measures others."""


class Steering(ABC):
    """Takes steps of the sampler by indices.

    Args:
        config: Kernel and codebook.
        seed: Seed of codebook and groups: the sampler's.
    """

    def __init__(self, config: SteeringConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.codebook: Codebook = config.codebook_of(seed)
        self._groups: dict[int, Groups] = {}  # the last block of a segment may be a shorter one

    def groups(self, num_entries: int) -> Groups:
        """The order of latents of that many entries."""
        if num_entries not in self._groups:
            self._groups[num_entries] = Groups(num_entries, self.seed)
        return self._groups[num_entries]

    def step(self, number: int, x_t: Tensor, clean: Tensor, t: float, s: float) -> Tensor | None:
        """Latents at ``s``; None if the step carries no index and is taken without noise.

        Args:
            number: Of the step, from 0; in block b of a clip that is sampled block by block, from ``b * steps``.
            x_t: Latents ``[1, ...]`` at ``t``.
            clean: Clean latents that the model predicts.
            t: Time in (0, 1].
            s: Time in (0, t).
        """
        mean, gamma = transition(self.config.kernel, self.config.eta, x_t, clean, t, s)
        indices = self._indices(number, x_t, mean, gamma, t, s)
        if not len(indices):
            return None
        groups = self.groups(x_t.numel())
        noise = self.codebook.draw(indices, groups.length(len(indices)), number)
        return mean + gamma * groups.join(noise, x_t)

    @abstractmethod
    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        """Index of each group [G] int64."""


class Replay(Steering):
    """The decoder: indices come from the file."""

    def __init__(self, config: SteeringConfig, seed: int, indices: Sequence[Tensor]) -> None:
        super().__init__(config, seed)
        self.indices = indices

    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        if number >= len(self.indices):
            return torch.zeros(0, dtype=torch.int64)
        return self.indices[number].to(x_t.device)


class Search(Steering):
    """The encoder: knows the clip, and spends at most ``config.bits`` where the model is wrong.

    By divergence, a step of KL divergence K (bits) gets K, but no more than an
    even share of what is left for the steps up to the last one that carries
    indices (`SPARE`). Since K grows from noise to clean, that is water-filling
    in one pass. Bits come in groups of ``config.index_bits``.
    Every block gets as many bits, the first one `KEY_BLOCK` times those; what
    a block leaves goes to those that follow.

    Args:
        config: Budget, kernel and codebook.
        clean: Latents of the clip.
        seed: The sampler's.
        times: Of the sampler, from 1 to 0.
        weights: What a squared error in a latent costs (`BaseModel.latent_weights`), broadcastable to ``clean``; the
            same for all when left out. ``selection=importance`` ignores them, and keeps the model's statistics.
        block: Latent frames that are sampled together; nothing for all of them.
        with_counts: Whether the budget pays for the number of indices of each step, too, as the file does.
    """

    def __init__(
        self,
        config: ScalingConfig,
        clean: Tensor,
        seed: int,
        times: Sequence[float],
        *,
        weights: Tensor | None = None,
        block: int | None = None,
        with_counts: bool = False,
    ) -> None:
        super().__init__(config, seed)
        self.num_steps, self.with_counts = len(times) - 1, with_counts
        # The last step takes no noise.
        self._growth = [error_growth(config.kernel, config.eta, t, s) for t, s in pairwise(times[:-1])]
        self.clean = _blocks(clean, block)
        self.weights: list[Tensor] | None = None
        """Of the latents of each block, where the best candidate is chosen by them."""
        if weights is not None and config.selection == "argmax":
            self.weights = _blocks((weights**WEIGHT_POWER).expand_as(clean), block)
        self.indices: list[Tensor] = []
        self.divergences: list[float] = []
        """KL divergence of each step in bits: from the model's step to the one that leads to the clip."""
        self.allocation, self.selection = config.allocation, config.selection
        self._bits_left, self._block_bits_left = config.bits, 0
        self._generator = torch.Generator().manual_seed(seed % 2**32)

    def _indices(self, number: int, x_t: Tensor, mean: Tensor, gamma: float, t: float, s: float) -> Tensor:
        block, step = divmod(number, self.num_steps)
        if step == 0:
            self._block_bits_left = self._share(block)
        likely = self._likely(number)
        wanted, _ = transition(self.config.kernel, self.config.eta, x_t, self.clean[block], t, s)
        wish = (wanted - mean) / gamma
        bits = divergence_bits(wish)
        last, most = len(self._growth) - 1, wish.numel()
        if self.allocation == "divergence":
            last, most = self._last_step(step, bits), min(most, round(bits / self.config.index_bits))
        share = max(0, self._block_bits_left // (last + 1 - step))
        count = min(share // self.config.index_bits, most)
        while count and self._cost(count, likely) > share:
            count -= 1
        cost = self._cost(count, likely)
        self._bits_left, self._block_bits_left = self._bits_left - cost, self._block_bits_left - cost
        chosen = torch.zeros(0, dtype=torch.int64)
        if count:
            weighted = wish if self.weights is None else self.weights[block] * wish
            scores = self.codebook.scores(self.groups(wish.numel()).split(weighted, count), number)
            chosen = self._select(scores)
        # The last step of a block, which takes none, does not come here.
        self.indices += [torch.zeros(0, dtype=torch.int64)] * (number - len(self.indices))
        self.indices.append(chosen)
        self.divergences.append(bits)
        return chosen

    def _last_step(self, step: int, bits: float) -> int:
        """The last step with indices, where ``step`` has a divergence of ``bits`` and later ones what it grows to."""
        wanted = SPARE * self._block_bits_left
        for later in range(step, len(self._growth)):
            wanted -= bits * self._growth[later] / self._growth[step]
            if wanted <= 0:
                return later
        return len(self._growth) - 1

    def _share(self, block: int) -> int:
        """Bits for ``block``, of those that are left."""
        weights = [clean.numel() * (1 if number else KEY_BLOCK) for number, clean in enumerate(self.clean)]
        return int(self._bits_left * weights[block] / sum(weights[block:]))

    def _likely(self, number: int) -> int:
        """Indices that step ``number`` is expected to carry."""
        counts = [len(step) for step in self.indices[max(0, (number // self.num_steps - 1) * self.num_steps) :]]
        if number < self.num_steps:
            return likely_count(counts, None)
        counts += [0] * (number % self.num_steps == 0)
        return likely_count(counts[self.num_steps :], counts[: self.num_steps])

    def _cost(self, count: int, likely: int) -> int:
        """Bits of a step with ``count`` indices."""
        return count * self.config.index_bits + (count_bits(count, likely) if self.with_counts else 0)

    def _select(self, scores: Tensor) -> Tensor:
        if self.selection == "importance":
            uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64).clamp(min=1e-300)
            scores = scores - (-uniform.log()).log().to(scores)
        return scores.argmax(1)


def _blocks(latents: Tensor, length: int | None) -> list[Tensor]:
    """``latents`` [1, C, T', h, w] in parts of ``length`` latent frames."""
    return [latents] if length is None else list(latents.split(length, dim=2))
