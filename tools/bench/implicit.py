"""A clip as a stand-alone implicit representation: a SIREN of the same coded size, with no pretrained model behind it.

Sitzmann et al. 2020 for the network, COIN (Dupont et al. 2021) for the idea. Weights are quantised with one step and
coded by the package's own coder; half of the training sees the quantisation noise. The best of several widths counts.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from vov_lightning.bitstream import encode_symbols
from vov_lightning.vector.quantizer import dequantize, quantize

HIDDEN_LAYERS, OMEGA = 3, 30.0
BITS_PER_WEIGHT = (8.0, 10.0, 13.0)
"""Widths are tried so that the wanted size is this many bits a weight."""


class Siren:
    """``(t, y, x) -> RGB`` through sine layers; its weights are one flat vector, in units of their initial bound."""

    def __init__(self, width: int) -> None:
        sizes = [3, *[width] * HIDDEN_LAYERS, 3]
        self.shapes = [(fan_out, fan_in + 1) for fan_in, fan_out in pairwise(sizes)]
        self.bounds = [1 / 3 if not number else math.sqrt(6 / fan[1]) / OMEGA for number, fan in enumerate(self.shapes)]
        self.num_weights = sum(rows * columns for rows, columns in self.shapes)

    def __call__(self, weights: Tensor, points: Tensor) -> Tensor:
        """Colours [N, 3] at ``points`` [N, 3]."""
        x = points
        chunks = weights.split([rows * columns for rows, columns in self.shapes])
        for number, (chunk, shape, bound) in enumerate(zip(chunks, self.shapes, self.bounds, strict=True)):
            matrix = chunk.view(shape) * bound
            last = number == len(self.shapes) - 1
            scale = OMEGA if not last else 1.0
            x = scale * (x @ matrix[:, 1:].T + matrix[:, 0])
            x = x if last else torch.sin(x)
        return x


def fit_siren(frames: Tensor, num_bytes: int, iterations: int = 2000) -> tuple[Tensor, int]:
    """The best SIREN of at most ``num_bytes`` coded bytes: decoded frames [T, 3, H, W] uint8 and their size."""
    results = []
    for bits in BITS_PER_WEIGHT:
        width = max(2, round(math.sqrt(8 * num_bytes / bits / (HIDDEN_LAYERS - 1))) - 2)
        results.append(_fit(Siren(width), frames, num_bytes, iterations))
    return min(results, key=lambda result: float((result[0].float() - frames.float()).square().mean()))


def _fit(network: Siren, frames: Tensor, num_bytes: int, iterations: int) -> tuple[Tensor, int]:
    torch.manual_seed(0)
    target = frames.float().permute(0, 2, 3, 1) / 127.5 - 1  # [T, H, W, 3]
    axes = [torch.linspace(-1, 1, size) for size in target.shape[:3]]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)
    weights = torch.empty(network.num_weights).uniform_(-1, 1).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=1e-2)
    step = 0.0
    for iteration in range(iterations):
        if iteration == iterations // 2:
            step = _step_for(weights.detach(), num_bytes)
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * iteration / iterations))
        noisy = weights + step * (torch.rand_like(weights) - 0.5)
        loss = (network(noisy, points).view_as(target) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    step = _step_for(weights.detach(), num_bytes)
    symbols = quantize(weights.detach(), step)
    with torch.no_grad():
        colours = network(dequantize(symbols, step), points).view_as(target)
    decoded = ((colours.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 3, 1, 2)
    return decoded, _coded_bytes(symbols)


def _coded_bytes(symbols: Tensor) -> int:
    return sum(len(part) for part in encode_symbols(symbols.numpy())) + 4  # the step


def _step_for(weights: Tensor, num_bytes: int) -> float:
    """Finest quantiser step whose symbols fit into ``num_bytes``, by bisection of its logarithm."""
    low, high = -10.0, 2.0
    for _ in range(20):
        middle = (low + high) / 2
        fits = _coded_bytes(quantize(weights, math.exp(middle))) <= num_bytes
        low, high = (low, middle) if fits else (middle, high)
    return math.exp(high)
