"""Bits of the vector while it is being trained: CompressAI's learned factorised density.

Only training uses it. The file carries the symbols' own count table, so none
of these parameters reach the decoder.
"""

from compressai.entropy_models import EntropyBottleneck
from torch import Tensor


class FactorizedRate(EntropyBottleneck):
    """Learned density of one symbol, shared by all entries (Balle et al. 2018, appendix 6.1)."""

    def __init__(self, init_scale: float = 10.0) -> None:
        """
        Args:
            init_scale: Width, in quantiser steps, of the density before training.
        """
        super().__init__(channels=1, init_scale=init_scale)
        self.quantiles.requires_grad_(False)  # only CompressAI's own coder needs them

    def bits(self, values: Tensor) -> Tensor:
        """Total bits (a scalar) of ``values`` [k] in quantiser steps: rounded, noisy or straight-through."""
        # The method behind CompressAI's forward, which would add noise of its own or round away the gradient.
        likelihoods = self._likelihood(values.view(1, 1, -1))[0]
        return -self.likelihood_lower_bound(likelihoods).log2().sum()
