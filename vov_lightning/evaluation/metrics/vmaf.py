"""VMAF (Netflix, model v0.6.1) frame by frame, equal to ffmpeg's ``libvmaf`` filter on the same frames.

vmaf-torch computes it from luma. torchmetrics' function around it feeds full-range luma that is not rounded and leaves
scores unclipped (up to 104 for identical frames), so it is 0.1 to 1.5 points away from libvmaf; here luma is what
ffmpeg makes of RGB (BT.601, limited range, 8 bits), and scores stay in [0, 100]. Measured against libvmaf: within 0.02
on CIF, 0.2 a frame at 64 x 64, 1.3 at 32 x 32; at 16 pixels libvmaf crashes. The model was trained on whole 1080p
pictures seen from three times their height: it is defined for small frames, and says little about them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vov_lightning.errors import MetricError

MIN_SIDE = 32


def load_vmaf() -> torch.nn.Module:
    """VMAF of the package vmaf-torch, which brings the model along.

    Raises:
        MetricError: If vmaf-torch is not installed.
    """
    try:
        from vmaf_torch import VMAF
    except ImportError as cause:
        raise MetricError(
            f"VMAF needs the package vmaf-torch ({cause}); pip install 'vov_lightning[eval]', or leave vmaf out"
        ) from cause
    return VMAF(clip_score=True).eval()


def luma(frames: Tensor) -> Tensor:
    """Y of RGB ``[T, 3, H, W]`` in [0, 255], as ``[T, 1, H, W]``: BT.601, whole numbers in [16, 235]."""
    red, green, blue = frames.float().unbind(1)
    return (16 + (0.299 * red + 0.587 * green + 0.114 * blue) * 219 / 255).round().unsqueeze(1)


def vmaf_scores(
    vmaf: Callable[[Tensor, Tensor], Tensor], decoded: Tensor, source: Tensor, chunk: int, device: torch.device
) -> Tensor:
    """Score of each frame, ``[T]``; an image's motion is 0.

    A frame's motion is the smaller of its changes to the two neighbours in the source, so chunks overlap by one frame.

    Args:
        vmaf: What `load_vmaf` gives, on ``device``.
        decoded: ``[T, 3, H, W]`` uint8.
        source: Likewise.
        chunk: Frames scored at once.
        device: Where to score.
    """
    parts = []
    for start in range(0, len(source), chunk):
        window = slice(max(start - 1, 0), start + chunk + 1)
        scores = vmaf(luma(source[window].to(device)), luma(decoded[window].to(device))).flatten()
        parts.append(scores[start - window.start :][:chunk])
    return torch.cat(parts)
