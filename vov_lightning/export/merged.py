"""The adapted transformer as a model of its own, in the layout of diffusers' ``save_pretrained``.

The adapted layers are written in float32 whatever the base model's dtype: a sum rounded to 16 bits would lose updates
below half a step of the weight, which the decoder has (it adapts 16-bit models beside their weights). Everything else
is written as it is. Layers are merged shard by shard, so the memory of one shard is needed beside the model's.
"""

import json
import os
from typing import Any

import torch
from diffusers import ModelMixin
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import ExportError
from vov_lightning.export.lora import lora_matrices
from vov_lightning.export.provenance import UNKNOWN_LICENCE, provenance
from vov_lightning.files import atomic_folder

WEIGHTS = "diffusion_pytorch_model{suffix}.safetensors"
INDEX, CONFIG = "diffusion_pytorch_model.safetensors.index.json", "config.json"


@torch.no_grad()
def export_merged(
    file: VovFile,
    base: BaseModel,
    folder: str | os.PathLike[str],
    licence: str = UNKNOWN_LICENCE,
    overwrite: bool = False,
    shard_size: str = "10GB",
) -> float:
    """Write the transformer that ``type(transformer).from_pretrained(folder, torch_dtype=torch.float32)`` gives.

    Args:
        file: An opened file with a vector.
        base: The model that it was fitted on.
        folder: Where weights and configuration go.
        licence: Identifier for the metadata of every shard.
        overwrite: Whether a folder of such files may be replaced.
        shard_size: Most bytes of a file, as ``huggingface_hub`` words them.

    Returns:
        Share of the update (root mean square) that is lost where these weights are loaded in the base model's dtype;
        0 for float32.

    Raises:
        ExportError: If the transformer is none of diffusers', or ``folder`` cannot be written.
        BaseModelMismatchError, BitstreamError, BaseModelError: As of `lora_matrices`.
    """
    transformer: Any = base.transformer
    if not isinstance(base.transformer, ModelMixin):
        raise ExportError(f"the transformer of {base.name} is none of diffusers', which loads no others; use peft")
    matrices = {f"{name}.weight": pair for name, pair in lora_matrices(file, base).items()}
    weights, metadata = transformer.state_dict(), provenance(file, base, licence)
    sizes = {
        name: torch.empty(weight.shape, dtype=torch.float32 if name in matrices else weight.dtype, device="meta")
        for name, weight in weights.items()
    }
    plan = split_torch_state_dict_into_shards(sizes, filename_pattern=WEIGHTS, max_shard_size=shard_size)
    lost = total = 0.0
    with atomic_folder(folder, overwrite=overwrite, replaceable=_is_ours, error=ExportError) as temporary:
        for shard, names in plan.filename_to_tensors.items():
            tensors = {name: weights[name].cpu().contiguous() for name in names}
            for name in matrices.keys() & tensors.keys():
                weight, update = tensors[name], matrices[name][1] @ matrices[name][0]
                tensors[name] = weight.float() + update
                lost += float((tensors[name].to(weight.dtype).float() - tensors[name]).square().sum())
                total += float(update.square().sum())
            save_file(tensors, temporary / shard, metadata)
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            (temporary / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
        transformer.save_config(temporary)
    return (lost / total) ** 0.5 if total else 0.0


def _is_ours(entry: os.PathLike[str]) -> bool:
    name = os.path.basename(entry)
    start, end = WEIGHTS.split("{suffix}")
    return name in (INDEX, CONFIG) or (name.startswith(start) and name.endswith(end))
