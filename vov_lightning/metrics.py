"""Distances between a decoded signal and its source."""

from torchmetrics.functional.image import peak_signal_noise_ratio

from vov_lightning.video import Signal


def psnr_db(decoded: Signal, target: Signal) -> float:
    """PSNR of 8-bit frames, from the mean squared error over all of them, as in the paper; infinite when equal."""
    return float(peak_signal_noise_ratio(decoded.frames.float(), target.frames.float(), data_range=255.0))
