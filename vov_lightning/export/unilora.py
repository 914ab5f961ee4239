"""The vector itself as a PEFT Uni-LoRA adapter (Uni-LoRA, arXiv 2506.00799): k numbers instead of D.

PEFT draws its index map from a seed with NumPy's ``Generator``, by the authors' rule. Our scheme ``unilora_numpy`` is
that map, so such a file needs only vector and seed, where PEFT walks the layers in the order of the format. The maps
of the other schemes cannot come from a seed of PEFT's; they travel in the adapter (PEFT's ``save_indices``), at 12
bytes a LoRA entry against 4 of a plain LoRA, and are exact as well.
"""

import os

import torch
from torch import Tensor, nn

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import ExportError
from vov_lightning.export.lora import PEFT_PREFIX, checked_adapter, common_config, write_peft_adapter
from vov_lightning.export.provenance import UNKNOWN_LICENCE, provenance
from vov_lightning.vector.hashing import HashProjection


def export_unilora(
    file: VovFile,
    base: BaseModel,
    folder: str | os.PathLike[str],
    licence: str = UNKNOWN_LICENCE,
    overwrite: bool = False,
) -> bool:
    """Write a Uni-LoRA adapter for ``PeftModel.from_pretrained(transformer, folder)`` of PEFT 0.20 or later.

    On 16-bit weights PEFT rounds the scales that it computes, not those that it reads, to their dtype: by no more than
    the decoder's own arithmetic rounds the matrices.

    Returns:
        Whether the index map lies in the adapter; if not, PEFT draws it from the seed.

    Raises:
        ExportError, BaseModelMismatchError, BitstreamError, BaseModelError: As of `lora_matrices`.
    """
    header = file.header
    adapter, vector = checked_adapter(file, base)
    if not isinstance(adapter.projection, HashProjection):
        raise ExportError(
            "the file's vector is of a dictionary, and Uni-LoRA's format holds hashed ones; use --format peft, which "
            "writes the matrices"
        )
    layers = {
        base.layer_path(name): layer
        for name, layer in base.adapted_layers(base.mask_to_targets(header.targets)).items()
    }
    stored = header.hash_scheme != "unilora_numpy" or not walked_in_order(base.transformer, layers)
    tensors = {"base_model.unilora_theta_d": vector.float().cpu()}
    if stored:
        tensors |= index_tensors(adapter.projection, adapter.rank, layers)
    config = {
        "peft_type": "UNILORA",
        "r": header.rank,
        "theta_d_length": header.k,
        "proj_seed": header.hash_seed,
        "save_indices": stored,
        "unilora_dropout": 0.0,
        **common_config(base, list(layers)),
    }
    write_peft_adapter(folder, config, tensors, provenance(file, base, licence), overwrite)
    return stored


def walked_in_order(transformer: nn.Module, layers: dict[str, nn.Linear]) -> bool:
    """Whether ``transformer`` lists ``layers`` as the format does; PEFT deals out its slots in the former order."""
    return [name for name, _ in transformer.named_modules() if name in layers] == list(layers)


def index_tensors(projection: HashProjection, rank: int, layers: dict[str, nn.Linear]) -> dict[str, Tensor]:
    """Slot (int64) and scale (float32) of every LoRA entry, by PEFT's names for them."""
    projection, found, start = projection.to("cpu"), {}, 0
    for name, layer in layers.items():
        for side, shape in (("A", (rank, layer.in_features)), ("B", (layer.out_features, rank))):
            end = start + shape[0] * shape[1]
            index = projection.index[start:end].view(shape).clone()
            found[f"{PEFT_PREFIX}{name}.unilora_indices_{side}"] = index
            found[f"{PEFT_PREFIX}{name}.unilora_scales_{side}"] = projection.scales[index].to(torch.float32)
            start = end
    return found
