"""Helpers that several test modules import."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import Limits

BEYOND_LIMITS: list[tuple[dict[str, Any], Limits, str]] = [
    ({"k": 2**24 + 1}, Limits(), "k=16777217 is above the limit of 16777216.*--limits.k 16777217"),
    ({"steps": 1001}, Limits(), "--limits.steps 1001"),
    ({"rank": 257}, Limits(), "--limits.rank 257"),
    ({"frames": 10**6, "height": 10**5}, Limits(), "--limits.output_samples"),
    ({"pad_width": 2**32 - 1}, Limits(), "--limits.output_samples"),
    ({}, Limits(k=5), "k=6 is above the limit of 5"),
    ({}, Limits(caption_bytes=3), "--limits.caption_bytes"),
    ({}, Limits(file_bytes=20), "file_bytes=.*--limits.file_bytes"),
]
"""Changes to a header with k = 6 and a caption, the limits that refuse it then, and what the error says."""


class PowerCut(BaseException):
    """Ends a fit as a power cut would: it is not an Exception, so nothing tidies up."""


def random_tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same for the same ``seed``."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_frames(size: ClipSize, seed: int = 0) -> Tensor:
    """Noise ``[T, 3, H, W]`` uint8, the same for the same ``seed``."""
    shape = (size.frames, 3, size.height, size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def random_dictionary(base: BaseModel, rank: int = 2) -> dict[str, Tensor]:
    """Tensors of a dictionary of the layers that ``base`` adapts by default, with as many directions as weights."""
    layers = base.adapted_layers(base.default_targets)
    tensors = {}
    for number, (name, layer) in enumerate(layers.items()):
        tensors[f"{name}.lora_A"] = 0.1 * random_tensor(rank, layer.in_features, seed=4 * number)
        tensors[f"{name}.lora_B"] = 0.1 * random_tensor(layer.out_features, rank, seed=4 * number + 1)
        tensors[f"{name}.start"] = random_tensor(rank, seed=4 * number + 2)
        tensors[f"{name}.mix"] = random_tensor(rank, rank * len(layers), seed=4 * number + 3)
    return {name: tensor.half() for name, tensor in tensors.items()}


def gradient_of(leaf: Tensor) -> Tensor:
    """Gradient that ``backward`` has left in ``leaf``."""
    assert leaf.grad is not None
    return leaf.grad


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all tensors of ``model``, to compare with later."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def files_of(runs: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Everything in the runs ``names`` of a set that does not tell the time."""
    files = [f"{name}/{file}" for name in names for file in (f"{name}.vov", "config.yaml", "caption.txt")]
    return {file: (runs / file).read_bytes() for file in files}
