"""Distances between a decoded signal and its source."""

import math

import torch

from vov_lightning.video.signal import Signal


def psnr_db(decoded: Signal, target: Signal) -> float:
    """PSNR of 8-bit frames, from the mean squared error over all of them, as in the paper; infinite when equal."""
    difference = decoded.frames.short() - target.frames.short()
    error = int(difference.int().square().sum(dtype=torch.int64))  # exact
    return 10 * math.log10(255**2 * difference.numel() / error) if error else math.inf
