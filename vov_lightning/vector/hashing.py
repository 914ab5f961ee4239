"""Spread one vector over all LoRA entries: Uni-LoRA's isometric projection, in integers.

Entry ``j`` of the ``D`` LoRA entries is ``v[index[j]] / sqrt(count[index[j]])``
(paper, section 3.1; Uni-LoRA, arXiv 2506.00799). ``order`` sorts the ``D`` random words of
the hash stream, equal words by position; the entry at ``order[p]`` takes slot
``p mod k``. So every slot is used floor(D/k) or ceil(D/k) times and the map
keeps lengths: ``|theta| = |v|``.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.errors import SettingError
from vov_lightning.randomness import HASH_STREAM, random_words


class HashProjection:
    """The linear isometry ``v [k] -> theta [D]``.

    Args:
        k: Length of the vector, 1 to D.
        num_entries: D, the number of LoRA entries.
        seed: Hash seed, stored in the file.

    Raises:
        SettingError: If ``k`` exceeds ``num_entries``: some slots would be stored and never used.
    """

    def __init__(self, k: int, num_entries: int, seed: int) -> None:
        if not 1 <= k <= num_entries:
            raise SettingError(
                f"k={k} is not within 1 and D={num_entries}, the number of LoRA entries; "
                "lower model.adapter.k, or raise model.adapter.rank or the number of targets"
            )
        self.k, self.num_entries = k, num_entries
        order = np.argsort(random_words(seed, HASH_STREAM, num_entries), kind="stable")
        slot = np.arange(num_entries, dtype=np.int64) % k
        index = np.empty(num_entries, dtype=np.int64)
        index[order] = slot
        counts = np.bincount(slot, minlength=k)
        self.order = torch.from_numpy(order)
        self.index = torch.from_numpy(index)
        self.scales = torch.from_numpy(1 / np.sqrt(counts)).float()  # [k]

    def to(self, device: torch.device | str) -> "HashProjection":
        """Move the tables to ``device``; returns ``self``."""
        self.order, self.index, self.scales = (x.to(device) for x in (self.order, self.index, self.scales))
        return self

    def __call__(self, vector: Tensor) -> Tensor:
        """LoRA entries ``[D]`` of ``vector`` ``[k]``, differentiable."""
        return _Project.apply(vector, self)


class _Project(torch.autograd.Function):
    """Gather; its transpose is a fixed permutation and a sum over rows: deterministic, no atomics."""

    @staticmethod
    def forward(ctx, vector: Tensor, projection: HashProjection) -> Tensor:
        ctx.projection = projection
        # index_select: plain indexing takes three to six times as long on a CPU
        return (vector * projection.scales.to(vector.dtype)).index_select(0, projection.index)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        projection = ctx.projection
        padding = -projection.num_entries % projection.k
        rows = F.pad(gradient.index_select(0, projection.order), (0, padding)).view(-1, projection.k)
        return rows.sum(0) * projection.scales.to(gradient.dtype), None
