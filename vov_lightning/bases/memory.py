"""Whether a model fits on a GPU, asked before it is moved there."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

from vov_lightning.errors import BaseModelError, SettingError


def check_device(device: torch.device | str) -> None:
    """Refuse a device that is not there, before weights are loaded for it.

    Raises:
        SettingError: If PyTorch cannot use it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as cause:  # AssertionError: a PyTorch without CUDA
        reason = str(cause).partition("\n")[0]
        raise SettingError(
            f"device={device} cannot be used ({reason}); use cpu, or cuda where PyTorch finds a GPU"
        ) from cause


def check_gpu_memory(model: nn.Module, device: torch.device | str, name: str) -> None:
    """Refuse to move weights to a GPU that has no room for them; other devices are not asked.

    Args:
        model: What is to be moved; weights that lie on a GPU already are not counted.
        device: Where to.
        name: Of the base model.

    Raises:
        BaseModelError: If the weights are larger than the memory that is free.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return
    tensors = chain(model.parameters(), model.buffers())
    needed = sum(tensor.nbytes for tensor in tensors if not tensor.is_cuda)
    free = free_bytes(device)
    if needed > free:
        raise BaseModelError(
            f"base model {name} needs {needed / 2**30:.1f} GiB on {device} for its weights, {free / 2**30:.1f} GiB are "
            "free; end what else uses the GPU, or take a larger one (--device cuda:1, CUDA_VISIBLE_DEVICES), a smaller "
            "base model (nano, ltx-video), or for a fit --model.base.dtype bfloat16"
        )


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that new tensors can have."""
    # What PyTorch keeps of freed tensors counts as used, but serves new ones.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


@contextmanager
def true_float32(device: torch.device) -> Iterator[None]:
    """Within the block float32 is computed in float32: without autocast, and without TF32 on a GPU.

    Convolutions take TF32 unless told otherwise: ten bits of each number, which shows in what an autoencoder decodes.
    """
    cudnn = torch.backends.cudnn
    precision, allowed = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32 = allowed


def out_of_memory(error: Exception) -> str:
    """A `torch.OutOfMemoryError` in one line, with the remedies."""
    reason = " ".join(str(error).split()).partition(" If reserved but")[0]
    return (
        f"out of GPU memory: {reason} End what else uses the GPU, or take a larger one, fewer frames or a smaller "
        "picture, or a smaller base model; for a fit on a model of the hub also --model.base.dtype bfloat16, "
        "--model.base.checkpointing all, or --model.base.vae_tiling true"
    )
