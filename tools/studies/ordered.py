"""Ordered random coding (Theis and Yosri 2022; paper, appendix C.5): small indices are made likely, then cost less.

Not part of the format: `scaling.py ordered` measures whether it would pay. The
Gumbel noise of the importance weights falls with the index, which leaves the
distribution of the chosen candidate as it was; indices then follow about a
Zipf law, and -log2 of it counts as their length.
"""

import numpy as np
import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.indices import check_indices
from vov_lightning.codec.decode import sample
from vov_lightning.codec.settings import sampler_of
from vov_lightning.codec.steer import with_indices
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.sampling.steering import Search
from vov_lightning.video import Signal

EXPONENT_BITS = 4
"""To tell the decoder a step's Zipf exponent."""


class OrderedSearch(Search):
    """Chooses by importance weights, small indices first."""

    def _select(self, scores: Tensor) -> Tensor:
        uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64).clamp(min=1e-300)
        left = torch.arange(scores.shape[1], 0, -1)
        arrivals = (-uniform.log() / left).cumsum(1)  # that many exponentials, sorted
        return (scores - arrivals.log().to(scores)).argmax(1)


@torch.no_grad()
def ordered_file(file: VovFile, base: BaseModel, source: Signal, config: ScalingConfig) -> tuple[VovFile, float]:
    """``file`` with such indices (at fixed length, so that it decodes), and the bits that Zipf's law would take."""
    times = sampler_of(file.header).times().tolist()
    search = OrderedSearch(config, base.encode(source.frames), file.header.seed, times)
    sample(file, base, search)
    indices = check_indices([step.numpy() for step in search.indices], config.index_bits)
    bits = sum(zipf_bits(step, 2**config.index_bits) + EXPONENT_BITS for step in indices if len(step))
    return with_indices(file, indices, config), bits


def zipf_bits(indices: np.ndarray, num_candidates: int) -> float:
    """Bits of ``indices`` under ``p(i) ~ (i + 1)^-a`` with the best of 16 exponents ``a``, 0 to 3."""
    logs = np.log2(np.arange(1, num_candidates + 1))
    costs = [a * logs[indices].sum() + len(indices) * np.log2(np.exp2(-a * logs).sum()) for a in np.linspace(0, 3, 16)]
    return float(min(costs))
