"""Training clips as the codec of a `nano` leaves them: its decoder's network learns from what it will be given."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from tqdm import tqdm

from nano.data import ClipStream
from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.build import build_file
from vov_lightning.codec.steer import steered
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal, fit_signal


@dataclass(frozen=True)
class Coding:
    """How clips are coded."""

    frames: int = 27
    """Frames of a clip."""
    side: int = 112
    """Height and width of a clip in pixels."""
    steps: int = 12
    """Denoising steps; half as many as by default, in half the time."""
    bpp: tuple[float, float] = (0.005, 0.08)
    """Bits of indices a pixel, least and most; log-uniform between them."""


GROUP = 8
"""Clips for each process that are cut before they are coded."""


def code_pool(pack: Path, weights: str, folder: Path, count: int, coding: Coding, photo_share: float) -> list[Path]:
    """Files of ``count`` coded clips in ``folder``, by as many processes as there are cores; those there are kept.

    This process cuts the clips, a group at a time: an open pack takes gigabytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:05}.pt" for number in range(count)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    cores = os.cpu_count() or 1
    code = partial(_code_one, weights, folder, coding)
    with ProcessPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for start in tqdm(range(0, len(missing), GROUP * cores), desc="code", unit="group"):
            group = missing[start : start + GROUP * cores]
            list(pool.map(code, group, [_clip(pack, coding, photo_share, number) for number in group]))
    return files


def _clip(pack: Path, coding: Coding, photo_share: float, number: int) -> Tensor:
    """Frames [T, 3, H, W] of clip ``number``."""
    stream = ClipStream(
        pack, frames=coding.frames, size=coding.side, photo_share=photo_share, whole_share=0.1, seed=number
    )
    return next(iter(stream)).contiguous()


@cache
def _model(weights: str) -> Nano:
    return Nano(weights)


def _code_one(weights: str, folder: Path, coding: Coding, number: int, frames: Tensor) -> None:
    """Write clip ``number``: its ``frames``, and the latents [z, T', h, w] at which its decoder arrives."""
    base = _model(weights)
    source = fit_signal(
        Signal(frames, Fraction(25), str(number)), multiple=base.size_multiple, temporal_factor=base.temporal_factor
    )
    sampler = SamplerConfig(steps=coding.steps, seed=number)
    nothing = torch.zeros(0, dtype=torch.int32)
    file = build_file(base, source, base.describe(frames), nothing, 1.0, AdapterConfig(k=0), sampler)
    least, most = map(math.log, coding.bpp)
    bpp = math.exp(least + (most - least) * torch.rand((), generator=torch.Generator().manual_seed(number)).item())
    config = ScalingConfig(bits=int(bpp * frames[:, 0].numel()))
    _, latents = steered(file, base, source.signal, config)
    unfinished = folder / f"{number:05}.{os.getpid()}"
    torch.save({"frames": frames, "latents": latents[0].half(), "bpp": bpp}, unfinished)
    unfinished.rename(folder / f"{number:05}.pt")


class CodedStream(IterableDataset):
    """Endless ``(latents [z, n, h, w], frames [T, 3, H, W] uint8)``, windows of coded clips."""

    def __init__(self, files: list[Path], window: int, factor: int, seed: int) -> None:
        """
        Args:
            files: Of `code_pool`.
            window: Side of a window in latent positions.
            factor: Pixels a latent position.
            seed: Seed of the draws.
        """
        self.clips = [torch.load(file, weights_only=True, mmap=True) for file in files]
        self.window, self.factor, self.seed = window, factor, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            for number in torch.randperm(len(self.clips), generator=generator).tolist():
                latents, frames = self.clips[number]["latents"], self.clips[number]["frames"]
                top, left = (
                    int(torch.randint(length - self.window + 1, (), generator=generator))
                    for length in latents.shape[-2:]
                )
                rows, columns = slice(top, top + self.window), slice(left, left + self.window)
                pixels = [slice(self.factor * s.start, self.factor * s.stop) for s in (rows, columns)]
                yield latents[..., rows, columns].float(), frames[..., pixels[0], pixels[1]]
