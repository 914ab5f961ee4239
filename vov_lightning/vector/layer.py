"""A linear layer with low-rank updates that are set in place: no hooks, so compiled blocks see them too."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Update(NamedTuple):
    """A low-rank update ``B A`` of a layer's weight, in the weight's type."""

    lora_a: Tensor
    """``[rank, in]``."""
    lora_b: Tensor
    """``[out, rank]``."""


class AdaptedLinear(nn.Linear):
    """``W x + b`` and ``B A x`` of every update; without updates exactly `torch.nn.Linear`.

    Example:
        >>> layer = AdaptedLinear.of(nn.Linear(3, 2))
        >>> x, plain = torch.ones(4, 3), layer(torch.ones(4, 3))
        >>> layer.updates = (Update(torch.ones(1, 3), torch.ones(2, 1)),)
        >>> torch.equal(layer(x), plain + 3)
        True
    """

    updates: tuple[Update, ...] = ()

    @classmethod
    def of(cls, layer: nn.Linear) -> "AdaptedLinear":
        """``layer`` itself, which from now on takes updates; its weights and name stay."""
        adapted: Any = layer
        adapted.__class__ = cls
        return adapted

    def forward(self, input: Tensor) -> Tensor:
        if not self.updates:
            return super().forward(input)
        autocast = not input.is_meta and torch.is_autocast_enabled(input.device.type)
        if autocast or input.dtype == torch.float32:
            # Rounded on its own, as files of compute dtype bfloat16, float16 and float32 were always made.
            output = super().forward(input)
            for lora_a, lora_b in self.updates:
                output = output + (input @ lora_a.T) @ lora_b.T
            return output
        # One pass: the products are added to the output where it lies.
        rows = input.flatten(0, -2)
        output = F.linear(rows, self.weight, self.bias)
        for lora_a, lora_b in self.updates:
            output = output.addmm_(rows @ lora_a.T, lora_b.T)
        return output.view(*input.shape[:-1], -1)
