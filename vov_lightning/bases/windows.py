"""Windows: a base model is evaluated at its own size and applied to latents of any size (MultiDiffusion).

``u(x, t) = sum_i w_i u(x|W_i, t)`` over overlapping windows ``W_i`` of the
latents (Bar-Tal et al. 2023, https://arxiv.org/abs/2302.08113). The weights
``w_i`` fall towards the edges of a window; those of all windows at one position
add up to 1. The result is a velocity like any other: vector, guidance, kernels,
indices and schedulers see one base model of another size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from types import EllipsisType

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import Velocity

POSITIONS_AT_ONCE = 1024
"""Latent positions in the windows that one evaluation takes, at least one window. A constant, and no setting: the
number of windows changes rounding, and encoder and decoder must agree."""

Place = tuple[EllipsisType, slice, slice, slice]
"""Where a window lies in latents ``[..., T, h, w]``."""


@dataclass(frozen=True)
class Windows:
    """Size and overlap of the windows, in latent positions; stored in the file.

    Along each axis, windows begin at the multiples of ``size - overlap``; the
    last one is moved back so that it ends at the edge. An axis that is shorter
    than the window is taken whole.

    Raises:
        SettingError: If a size is below 1, or an overlap is below 0 or not below the size.
    """

    frames: int
    """Latent frames of a window."""
    rows: int
    """Latent rows of a window."""
    columns: int
    """Latent columns of a window."""
    overlap_frames: int = 0
    """Latent frames that neighbours in time share."""
    overlap_space: int = 0
    """Latent rows, and columns, that neighbours in space share."""

    def __post_init__(self) -> None:
        for name, size in (("frames", self.frames), ("rows", self.rows), ("columns", self.columns)):
            if size < 1:
                raise SettingError(f"{name}={size} of a window is below 1; use the base model's own size")
        overlaps = {
            "overlap_frames": (self.overlap_frames, self.frames),
            "overlap_space": (self.overlap_space, min(self.rows, self.columns)),
        }
        for name, (overlap, size) in overlaps.items():
            if not 0 <= overlap < size:
                raise SettingError(
                    f"{name}={overlap} is outside 0 .. {size - 1} for windows of {self}; use {size // 4}"
                )

    def __str__(self) -> str:
        return f"{self.frames} x {self.rows} x {self.columns}"

    @property
    def axes(self) -> tuple[tuple[int, int], ...]:
        """Size and overlap along frames, rows and columns."""
        return (
            (self.frames, self.overlap_frames),
            (self.rows, self.overlap_space),
            (self.columns, self.overlap_space),
        )

    def count(self, lengths: Sequence[int]) -> int:
        """Number of windows of latents of ``lengths`` frames, rows and columns.

        Example:
            >>> Windows(1, 8, 8, overlap_space=2).count((10, 18, 32))
            150
        """
        number = 1
        for length, (size, overlap) in zip(lengths, self.axes, strict=True):
            number *= len(origins(length, size, overlap))
        return number

    def blends(self, lengths: Sequence[int]) -> Iterator[tuple[Place, Tensor]]:
        """Each window's place in latents of ``lengths`` frames, rows and columns, and its weights, of its shape.

        Windows come in the order of their origins, columns fastest.
        """
        axes = [
            [
                (slice(origin, origin + len(weights)), weights)
                for origin, weights in zip(origins(length, *axis), blend_weights(length, *axis), strict=True)
            ]
            for length, axis in zip(lengths, self.axes, strict=True)
        ]
        for (time, over_time), (rows, over_rows), (columns, over_columns) in product(*axes):
            yield (..., time, rows, columns), over_time[:, None, None] * over_rows[:, None] * over_columns


def origins(length: int, size: int, overlap: int) -> list[int]:
    """First positions of the windows along an axis.

    Example:
        >>> origins(18, 8, 2)
        [0, 6, 10]
        >>> origins(5, 8, 2)
        [0]
    """
    last = max(0, length - size)
    return [*range(0, last, size - overlap), last]


def blend_weights(length: int, size: int, overlap: int) -> Tensor:
    """Weights of the windows along an axis ``[windows, min(size, length)]`` float32; they add up to 1 at each position.

    Example:
        >>> blend_weights(10, 6, 2).tolist()
        [[1.0, 1.0, 1.0, 1.0, 0.75, 0.25], [0.25, 0.75, 1.0, 1.0, 1.0, 1.0]]
    """
    starts = origins(length, size, overlap)
    weights = taper(min(size, length), overlap)
    places = torch.tensor(starts)[:, None] + torch.arange(len(weights))
    total = torch.zeros(length, dtype=torch.float64).index_add(0, places.flatten(), weights.repeat(len(starts)))
    return (weights / total[places]).float()


def taper(size: int, overlap: int) -> Tensor:
    """Weights of one window along an axis ``[size]`` float64: 1, and less over the ``overlap`` positions at its edges.

    They rise linearly, as ``(i + 1/2) / overlap`` for ``i`` from the edge
    inwards. Measured with nano: equal weights leave seams, a raised cosine
    gains nothing.
    """
    offsets = torch.arange(size)
    edge = torch.minimum(offsets, offsets.flip(0)) + 0.5
    return (edge.double() / overlap).clamp(max=1)  # without overlap: infinite, so 1


def windowed(velocity: Velocity, windows: Windows, known: int = 0) -> Velocity:
    """The velocity of latents ``[B, C, T, h, w]`` of any size, blended from that of their windows.

    Latents that one window holds are given to ``velocity`` as they are. Memory
    beside the latents does not grow with their size; gradients flow.

    Args:
        velocity: Of the base model, guided or not.
        windows: What it takes at once.
        known: Latent frames of a window that are given, and not counted as work.

    Example:
        >>> velocity = windowed(lambda x_t, t: 2 * x_t, Windows(1, 8, 8, overlap_space=2))
        >>> velocity(torch.ones(1, 4, 3, 10, 16), torch.ones(1)).sum().item() / (4 * 3 * 10 * 16)
        2.0
    """
    at_once = max(1, POSITIONS_AT_ONCE // ((windows.frames - known) * windows.rows * windows.columns))

    def blended(x_t: Tensor, t: Tensor) -> Tensor:
        blends = list(windows.blends(x_t.shape[2:]))
        if len(blends) == 1:
            return velocity(x_t, t)
        u = torch.zeros_like(x_t, dtype=torch.float32)
        for start in range(0, len(blends), at_once):
            batch = blends[start : start + at_once]
            parts = torch.cat([x_t[place] for place, _ in batch])  # [n B, C, T', h', w'], window by window
            # [n B], or [n B, T'] of a model that takes a time for each latent frame.
            times = torch.cat([t if t.ndim == 1 else t[:, time] for (_, time, _, _), _ in batch])
            for (place, weights), part in zip(batch, velocity(parts, times).split(len(x_t)), strict=True):
                u[place] += weights.to(part.device) * part
        return u

    return blended
