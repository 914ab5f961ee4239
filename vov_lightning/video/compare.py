"""Distances between a decoded signal and its source."""

import math

import torch

from vov_lightning.errors import SignalError
from vov_lightning.video.signal import Signal


class SquaredError:
    """Squared error of 8-bit frames that come in parts, summed exactly."""

    def __init__(self) -> None:
        self.total, self.count = 0, 0

    def add(self, decoded: Signal, target: Signal) -> None:
        """Count a part in.

        Raises:
            SignalError: If the two differ in size.
        """
        found, wanted = list(decoded.frames.shape), list(target.frames.shape)
        if found != wanted:  # torch would repeat an image for every frame of a clip
            raise SignalError(f"{decoded!r} has frames of shape {found}, {target!r} {wanted}; give two of one size")
        for ours, theirs in zip(decoded.frames, target.frames, strict=True):  # all at once is 14 bytes a sample
            difference = ours.int() - theirs.int()
            self.total += int(difference.square().sum(dtype=torch.int64))
            self.count += difference.numel()

    @property
    def psnr_db(self) -> float:
        """PSNR of the mean over all parts, infinite when they are equal."""
        return 10 * math.log10(255**2 * self.count / self.total) if self.total else math.inf


def psnr_db(decoded: Signal, target: Signal) -> float:
    """PSNR of 8-bit frames, from the mean squared error over all of them, as in the paper; infinite when equal.

    Raises:
        SignalError: If the two differ in size.
    """
    error = SquaredError()
    error.add(decoded, target)
    return error.psnr_db
