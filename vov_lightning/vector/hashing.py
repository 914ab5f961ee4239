"""Spread one vector over all LoRA entries: Uni-LoRA's isometric projection, in integers.

Entry ``j`` of the ``D`` LoRA entries is ``v[index[j]] / sqrt(count[index[j]])``
(paper, section 3.1; Uni-LoRA, arXiv 2506.00799). Every slot is used floor(D/k)
or ceil(D/k) times, so the map keeps lengths: ``|theta| = |v|``. Which entries
use a slot is up to a scheme, named in the file. ``v1``, ours, sorts the ``D``
random words of the hash stream, equal words by position, and the ``p``-th
entry takes slot ``p mod k``; ``unilora_numpy`` is the authors'
(`vov_lightning.vector.unilora`); ``lora`` shares nothing: k = D and the vector
is the entries, which is LoRA as it is known and draws no seed. Scheme
``dictionary`` is no hash (`vov_lightning.vector.dictionary`).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bitstream.header import HashScheme
from vov_lightning.errors import SettingError
from vov_lightning.randomness import HASH_STREAM, random_words
from vov_lightning.vector.unilora import unilora_index


def v1_uses(k: int, num_entries: int, seed: int) -> np.ndarray:
    """Entries ``[ceil(D/k), k]`` that use each slot, under scheme ``v1``; D stands where a slot has one use less."""
    uses = np.full(-(-num_entries // k) * k, num_entries)
    uses[:num_entries] = np.argsort(random_words(seed, HASH_STREAM, num_entries), kind="stable")
    return uses.reshape(-1, k)


def unilora_uses(k: int, num_entries: int, seed: int) -> np.ndarray:
    """The same under scheme ``unilora_numpy``."""
    index = unilora_index(k, num_entries, seed)
    entries, counts = np.argsort(index, kind="stable"), np.bincount(index, minlength=k)
    uses = np.full((-(-num_entries // k), k), num_entries)
    rank_of_use = np.arange(num_entries) - np.repeat(np.cumsum(counts) - counts, counts)
    uses[rank_of_use, index[entries]] = entries
    return uses


def lora_uses(k: int, num_entries: int, seed: int) -> np.ndarray:
    """The same under scheme ``lora``: entry ``j`` uses slot ``j``, whatever the seed."""
    if k != num_entries:
        raise SettingError(
            f"k={k} with model.adapter.scheme lora, whose vector is the D={num_entries} LoRA entries themselves; "
            "give model.adapter.k null, or another scheme"
        )
    return np.arange(num_entries)[None]


SCHEMES: dict[HashScheme, Callable[[int, int, int], np.ndarray]] = {
    "v1": v1_uses,
    "unilora_numpy": unilora_uses,
    "lora": lora_uses,
}


class HashProjection:
    """The linear isometry ``v [k] -> theta [D]``.

    Args:
        k: Length of the vector, 1 to D.
        num_entries: D, the number of LoRA entries.
        seed: Hash seed, stored in the file.
        scheme: Which entries use which slot; stored in the file.

    Raises:
        SettingError: If ``k`` exceeds ``num_entries``, when some slots would be stored and never used, or differs from
            it under scheme ``lora``.
    """

    def __init__(self, k: int, num_entries: int, seed: int, scheme: HashScheme = "v1") -> None:
        if not 1 <= k <= num_entries:
            raise SettingError(
                f"k={k} is not within 1 and D={num_entries}, the number of LoRA entries; "
                "lower model.adapter.k, or raise model.adapter.rank or the number of targets"
            )
        self.k, self.num_entries = k, num_entries
        uses = SCHEMES[scheme](k, num_entries, seed)
        index = np.empty(num_entries + 1, dtype=np.int64)
        index[uses] = np.arange(k)
        counts = (uses < num_entries).sum(0)
        self.uses = torch.from_numpy(uses.reshape(-1))
        self.index = torch.from_numpy(index[:num_entries])
        self.scales = torch.from_numpy(1 / np.sqrt(counts)).float()  # [k]

    def to(self, device: torch.device | str) -> "HashProjection":
        """Move the tables to ``device``; returns ``self``."""
        self.uses, self.index, self.scales = (x.to(device) for x in (self.uses, self.index, self.scales))
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
        rows = F.pad(gradient, (0, 1)).index_select(0, projection.uses).view(-1, projection.k)
        return rows.sum(0) * projection.scales.to(gradient.dtype), None
