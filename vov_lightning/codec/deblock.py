"""A deblocking filter in time: two blocks that were decoded one by one meet without a step.

Where a block ends, the coarse part of what changes to the next one is spread over the frames on both sides. It is
to time what the deblocking filters of H.264 and its successors are to space.
"""

import torch
from torch import Tensor

WEIGHTS = (102, 77, 51, 26)
"""Of 256: what the frames next to a join, and those behind them, take of the step."""
REACH = len(WEIGHTS)
"""Frames on each side of a join that change."""
LIMIT = 32
"""The largest step that is spread whole, of 255; more and more of a larger one stays, since it is motion."""
BINOMIAL = (1, 4, 6, 4, 1)
"""Weights along rows, and along columns, of the mean that leaves detail and edges out of the step."""


def deblock(frames: Tensor, block_frames: int) -> Tensor:
    """``frames`` with the step between blocks spread out, in integers: the same on every machine.

    Args:
        frames: ``[T, 3, H, W]`` uint8.
        block_frames: Frames of each block, at least twice `REACH`; the last one may be shorter.
    """
    smooth = frames.clone()
    for start in range(block_frames, len(frames), block_frames):
        step = _coarse(frames[start].int() - frames[start - 1].int())
        for distance, weight in enumerate(WEIGHTS):
            change = (weight * step + 2**15) >> 16
            before, after = start - 1 - distance, start + distance
            smooth[before] = (frames[before] + change).clamp(0, 255)
            if after < len(frames):
                smooth[after] = (frames[after] - change).clamp(0, 255)
    return smooth


def _coarse(step: Tensor) -> Tensor:
    """256 times the local mean of ``step`` [3, H, W], limited; what lies beyond an edge is what lies at it."""
    for dim in (1, 2):
        places = torch.arange(step.shape[dim])
        shifted = (step.index_select(dim, (places + n).clamp(0, len(places) - 1)) for n in range(-2, 3))
        step = torch.stack([weight * one for weight, one in zip(BINOMIAL, shifted, strict=True)]).sum(0)
    size = step.abs()
    return step.sign() * size.minimum(2 * 256 * LIMIT - size).clamp(min=0)
