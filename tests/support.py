"""Helpers that several test modules import."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from vov_lightning.bases import ClipSize
from vov_lightning.bitstream import VovFile


def random_tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same for the same ``seed``."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_frames(size: ClipSize, seed: int = 0) -> Tensor:
    """Noise ``[T, 3, H, W]`` uint8, the same for the same ``seed``."""
    shape = (size.frames, 3, size.height, size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def without_vector(file: VovFile) -> VovFile:
    """``file`` with k = 0: the clip of the base model alone."""
    header = dataclasses.replace(file.header, k=0, step=1.0, targets=1, rank=1, hash_seed=0)
    return VovFile(header, file.caption)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all tensors of ``model``, to compare with later."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def files_of(runs: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Everything in the runs ``names`` of a set that does not tell the time."""
    files = [f"{name}/{file}" for name in names for file in (f"{name}.vov", "config.yaml", "caption.txt")]
    return {file: (runs / file).read_bytes() for file in files}
