"""The vector as a standard LoRA, for PEFT, for diffusers, and in the names of the model's authors.

All write the same matrices, in float32: a 16-bit base model is adapted beside its weights, where small updates
survive. The layer computes ``W x + B A x``, so alpha equals the rank and the scale is 1. What a LoRA cannot carry is
how the clip is sampled: noise, times and caption are named in the header's metadata, index bits are not exported.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import adapter_of, check_base, rank_of
from vov_lightning.errors import ExportError
from vov_lightning.export.provenance import UNKNOWN_LICENCE, provenance, repository_of
from vov_lightning.files import atomic_folder, atomic_path
from vov_lightning.vector.adapter import HashedLoRA

PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
"""Prefix of a layer's name in PEFT's files."""
DIFFUSERS_PREFIX = "transformer."
"""Prefix of a layer's name in files for diffusers' pipelines."""
NATIVE_PREFIX = "diffusion_model."
"""Prefix of a layer's name in files with the authors' names."""


def lora_matrices(file: VovFile, base: BaseModel) -> dict[str, tuple[Tensor, Tensor]]:
    """``lora_A`` [rank, in] and ``lora_B`` [out, rank], float32 on the CPU, by the layer's name in the transformer.

    Raises:
        ExportError: If the file holds no vector.
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        BitstreamError, BaseModelError: If the file's vector does not fit the base model.
    """
    adapter, vector = checked_adapter(file, base)
    return {
        base.layer_path(name): (lora_a.float().cpu().clone(), lora_b.float().cpu().clone())
        for name, (lora_a, lora_b) in adapter.matrices(vector).items()
    }


def checked_adapter(file: VovFile, base: BaseModel) -> tuple[HashedLoRA, Tensor]:
    """Result of `adapter_of`, after a check that file and base model belong together; errors as of `lora_matrices`."""
    check_base(file.header, base)
    if not file.header.k:
        raise ExportError(
            "the file holds no vector (k=0): its clip comes from the base model, the caption and index bits, and there "
            "is nothing to export; fit one with --model.adapter.k 4096"
        )
    return adapter_of(file, base)


def export_diffusers(
    file: VovFile,
    base: BaseModel,
    path: str | os.PathLike[str],
    licence: str = UNKNOWN_LICENCE,
    overwrite: bool = False,
) -> None:
    """Write the one file that ``pipeline.load_lora_weights(path)`` takes.

    Args:
        file: An opened file with a vector.
        base: The model that it was fitted on.
        path: A ``.safetensors`` file; ``FOLDER/pytorch_lora_weights.safetensors`` is what a hub repository holds.
        licence: Identifier for the metadata.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ExportError: If diffusers could not load it, or ``path`` cannot be written.
    """
    check_lora_name(path)
    from diffusers.loaders.peft import PeftAdapterMixin  # takes seconds

    if not isinstance(base.transformer, PeftAdapterMixin):
        raise ExportError(f"the transformer of {base.name} is none of diffusers', so no pipeline loads it; use peft")
    tensors = named_weights(DIFFUSERS_PREFIX, lora_matrices(file, base))
    write_weights(path, tensors, provenance(file, base, licence), overwrite)


def export_native(
    file: VovFile,
    base: BaseModel,
    path: str | os.PathLike[str],
    licence: str = UNKNOWN_LICENCE,
    overwrite: bool = False,
) -> None:
    """Write one file in the names of the model's authors, as ComfyUI and musubi-tuner take it.

    Diffusers' pipelines convert it too. Alpha is the rank; where it is left out, loaders take the rank as well.
    Arguments as of `export_diffusers`.

    Raises:
        ExportError: If those names are not known, or ``path`` cannot be written.
    """
    check_lora_name(path)
    if not base.native_kinds:
        raise ExportError(
            f"the authors' names of layers are not known for base model {base.name}; use diffusers or peft"
        )
    kinds = base.native_kinds
    matrices = {}
    for name, pair in lora_matrices(file, base).items():
        kind = next(kind for kind in kinds if name.endswith(f".{kind}"))
        matrices[f"{name.removesuffix(kind)}{kinds[kind]}"] = pair
    tensors = named_weights(NATIVE_PREFIX, matrices)
    if base.native_alpha:
        tensors |= {
            f"{NATIVE_PREFIX}{name}.alpha": torch.tensor(float(rank_of(file.header, base))) for name in matrices
        }
    write_weights(path, tensors, provenance(file, base, licence), overwrite)


def named_weights(prefix: str, matrices: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """``matrices`` of each layer by the names that LoRA files give them: ``PREFIX LAYER.lora_A.weight`` and ``lora_B``.

    Example:
        >>> list(named_weights("transformer.", {"blocks.0": (torch.zeros(1, 2), torch.zeros(2, 1))}))
        ['transformer.blocks.0.lora_A.weight', 'transformer.blocks.0.lora_B.weight']
    """
    return {
        f"{prefix}{name}.lora_{side}.weight": matrix
        for name, pair in matrices.items()
        for side, matrix in zip("AB", pair, strict=True)
    }


def write_weights(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, str], overwrite: bool
) -> None:
    """Write one safetensors file, whole or not at all."""
    with atomic_path(path, overwrite=overwrite, error=ExportError) as temporary:
        save_file(tensors, temporary, metadata)


def check_lora_name(path: str | os.PathLike[str]) -> None:
    """Raise if diffusers does not know the ending of ``path``.

    Raises:
        ExportError: If it does not end in ``.safetensors``.
    """
    if Path(path).suffix != ".safetensors":
        raise ExportError(f"{path} does not end in .safetensors; try {Path(path) / 'pytorch_lora_weights.safetensors'}")


def export_peft(
    file: VovFile,
    base: BaseModel,
    folder: str | os.PathLike[str],
    licence: str = UNKNOWN_LICENCE,
    overwrite: bool = False,
) -> None:
    """Write the adapter that ``PeftModel.from_pretrained(transformer, folder)`` takes; arguments as elsewhere."""
    matrices = lora_matrices(file, base)
    tensors = named_weights(PEFT_PREFIX, matrices)
    rank = rank_of(file.header, base)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "use_rslora": False}
    config |= common_config(base, list(matrices))
    write_peft_adapter(folder, config, tensors, provenance(file, base, licence), overwrite)


def common_config(base: BaseModel, layers: list[str]) -> dict[str, Any]:
    """Settings that all PEFT adapters share. ``layers`` are full names, so that PEFT adapts no other layer."""
    repository = repository_of(base)
    return {
        "base_model_name_or_path": repository,
        "revision": base.revision if repository and len(base.revision) == 40 else None,  # a commit
        "target_modules": layers,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "task_type": None,
    }


def write_peft_adapter(
    folder: str | os.PathLike[str],
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    overwrite: bool,
) -> None:
    """Write the two files of a PEFT adapter, both or none."""
    names = {PEFT_CONFIG, PEFT_WEIGHTS}
    with atomic_folder(
        folder, overwrite=overwrite, replaceable=lambda entry: entry.name in names, error=ExportError
    ) as temporary:
        save_file(tensors, temporary / PEFT_WEIGHTS, metadata)
        (temporary / PEFT_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
