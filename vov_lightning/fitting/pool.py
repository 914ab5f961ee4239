"""Latents that a fit draws from: a clip that the model takes at once as it is, a larger one as windows of all of it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.video.source import Clip

POOL_BYTES = 2**28
"""Windows of a long clip beyond this are a random sample, in which every window is as likely as any other."""


@torch.no_grad()
def latent_pool(base: BaseModel, clip: Clip, seed: int) -> Tensor:
    """Clean latents ``[N, C, T', h, w]``; N = 1 where one evaluation of ``base`` takes the whole clip.

    Segments that end before a window does are left out, unless all do.

    Args:
        base: Encodes the segments, one after the other.
        clip: What is fitted.
        seed: Of the sample of windows, where there are more than fit into `POOL_BYTES`.
    """
    generator = torch.Generator().manual_seed(seed % 2**32)
    kept: list[Tensor] = []
    seen = 0
    for window in _windows(base, clip):
        if kept and window.shape != kept[0].shape:
            if window.numel() < kept[0].numel():
                continue
            kept, seen = [], 0
        seen += 1
        most = max(1, POOL_BYTES // window.nbytes)
        if len(kept) < most:
            kept.append(window.clone())
        elif (place := int(torch.randint(seen, (), generator=generator))) < most:  # reservoir sampling
            kept[place] = window.clone()
    return torch.cat(kept)


def _windows(base: BaseModel, clip: Clip) -> Iterator[Tensor]:
    for segment in clip.segments():
        latents = base.encode(segment.signal.frames)
        if base.window is None:
            yield latents
            continue
        for place, _ in base.window.blends(latents.shape[2:]):
            yield latents[place]
