"""A clip as a stand-alone implicit representation: a SIREN of the same coded size, with no pretrained model behind it.

Sitzmann et al. 2020 for the network, COIN (Dupont et al. 2021) for the idea. Weights are quantised with one step and
coded by the package's own coder; half of the training sees the quantisation noise. The best of several widths counts.
"""

import math
import time
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vov_lightning.bitstream import encode_symbols
from vov_lightning.evaluation.baselines.base import Baseline, Coded, Task, UnreachableError
from vov_lightning.vector.quantizer import dequantize, quantize

HIDDEN_LAYERS, OMEGA = 3, 30.0
BITS_PER_WEIGHT = (8.0, 10.0, 13.0)
"""Bits per weight: each gives the width of a network that has the wanted size."""
SEED = 0
STEP_BYTES = 4
MOST_POINTS = 2**17
"""Most points of one iteration; of a larger clip, each iteration draws as many at random."""


class Siren:
    """``(t, y, x) -> RGB`` through sine layers; its weights are one flat vector, in units of their initial bound."""

    def __init__(self, width: int) -> None:
        self.width = width
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


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted network as it is coded."""

    network: Siren
    symbols: Tensor
    """Quantised weights, int [num_weights]."""
    step: float
    shape: tuple[int, int, int]
    """Frames, height and width."""

    @property
    def num_bytes(self) -> int:
        """Coded bytes of weights and step; the width and the clip's size, a few bytes more, are not counted."""
        return _coded_bytes(self.symbols)

    @torch.no_grad()
    def decode(self) -> Tensor:
        """Frames [T, 3, H, W] uint8."""
        weights, points = dequantize(self.symbols, self.step), _points(self.shape, self.symbols.device)
        colours = torch.cat([self.network(weights, chunk) for chunk in points.split(MOST_POINTS)])
        decoded = ((colours.clamp(-1, 1) + 1) * 127.5).round().byte()
        return decoded.view(*self.shape, 3).permute(0, 3, 1, 2)


class SirenBaseline(Baseline):
    """The best of three widths; encoding takes the time of all three.

    Args:
        iterations: Of Adam, for each width.
    """

    key = "siren"
    label = "SIREN"
    description = (
        "A stand-alone implicit representation (SIREN, coded as in COIN with quantised and entropy-coded weights), "
        "with no pretrained model; the best of three widths. Its width and the clip's size are not counted."
    )

    def __init__(self, iterations: int = 2000) -> None:
        self.iterations = iterations

    def code(self, task: Task) -> Coded:
        start = time.perf_counter()
        fit = best_fit(task.source.frames.to(task.base.device), task.num_bytes, self.iterations)
        fitted = time.perf_counter()
        frames = fit.decode().cpu().contiguous()
        decode_s = time.perf_counter() - fitted
        settings = (
            f"SIREN, {HIDDEN_LAYERS} hidden layers of {fit.network.width}, {fit.network.num_weights} weights in steps "
            f"of {fit.step:.4g}, {self.iterations} iterations for each of {len(BITS_PER_WEIGHT)} widths"
        )
        return Coded(frames, fit.num_bytes, settings, fitted - start, decode_s, SEED)


def fit_siren(frames: Tensor, num_bytes: int, iterations: int = 2000) -> tuple[Tensor, int]:
    """The best SIREN of at most ``num_bytes`` coded bytes: decoded frames [T, 3, H, W] uint8 and their size.

    Raises:
        UnreachableError: If no width's weights fit.
    """
    fit = best_fit(frames, num_bytes, iterations)
    return fit.decode(), fit.num_bytes


def best_fit(frames: Tensor, num_bytes: int, iterations: int = 2000) -> Fit:
    """The SIREN of at most ``num_bytes`` coded bytes that shows ``frames`` [T, 3, H, W] uint8 best.

    Raises:
        UnreachableError: If no width's weights fit.
    """
    fits = []
    for bits in BITS_PER_WEIGHT:
        width = max(2, round(math.sqrt(8 * num_bytes / bits / (HIDDEN_LAYERS - 1))) - 2)
        fits.append(_fit(Siren(width), frames, num_bytes, iterations))
    fitting = [fit for fit in fits if fit.num_bytes <= num_bytes]
    if not fitting:
        raise UnreachableError(
            f"SIREN: {num_bytes} bytes are out of reach: the smallest network has {min(f.num_bytes for f in fits)} "
            f"(width {fits[-1].network.width}); compare at a higher rate, or leave this baseline out"
        )
    return min(fitting, key=lambda fit: float((fit.decode().float() - frames.float()).square().mean()))


def _fit(network: Siren, frames: Tensor, num_bytes: int, iterations: int) -> Fit:
    generator = torch.Generator().manual_seed(SEED)  # on the CPU, so that every device starts from the same weights
    shape = (frames.shape[0], frames.shape[2], frames.shape[3])
    target = frames.float().permute(0, 2, 3, 1).reshape(-1, 3) / 127.5 - 1
    points = _points(shape, frames.device)
    start = torch.empty(network.num_weights).uniform_(-1, 1, generator=generator)
    weights = start.to(frames.device).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=1e-2)
    step = 0.0
    for iteration in range(iterations):
        if iteration == iterations // 2:
            step = _step_for(weights.detach(), num_bytes)
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * iteration / iterations))
        noisy = weights + step * (torch.rand(network.num_weights, generator=generator).to(weights.device) - 0.5)
        seen, wanted = points, target
        if len(points) > MOST_POINTS:
            drawn = torch.randint(len(points), (MOST_POINTS,), generator=generator).to(points.device)
            seen, wanted = points[drawn], target[drawn]
        loss = (network(noisy, seen) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    step = _step_for(weights.detach(), num_bytes)
    return Fit(network, quantize(weights.detach(), step), step, shape)


def _points(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Coordinates [T * H * W, 3] in [-1, 1]."""
    axes = [torch.linspace(-1, 1, size, device=device) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)


def _coded_bytes(symbols: Tensor) -> int:
    return sum(len(part) for part in encode_symbols(symbols.cpu().numpy())) + STEP_BYTES


def _step_for(weights: Tensor, num_bytes: int) -> float:
    """Finest quantiser step whose symbols fit into ``num_bytes``, by bisection of its logarithm."""
    low, high = -10.0, 2.0
    for _ in range(20):
        middle = (low + high) / 2
        fits = _coded_bytes(quantize(weights, math.exp(middle))) <= num_bytes
        low, high = (low, middle) if fits else (middle, high)
    return math.exp(high)
