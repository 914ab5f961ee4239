"""Opens the ``.vov`` file to export, and refuses adapters: there is no way back from LoRA to vector.

A hash copies k numbers to D > k LoRA entries. The LoRA of another training is the image of no vector, and the nearest
one keeps about k / D of its energy, so what it generates is lost; and a LoRA says neither the clip's size nor how it
is sampled.
"""

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.errors import ExportError

WEIGHT_ENDINGS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
AUTHORS_VECTOR = "unilora_theta_d"
"""Name of the vector in checkpoints of the authors' scripts."""


def open_vov(path: str | os.PathLike[str], limits: Limits) -> VovFile:
    """The ``.vov`` file at ``path``.

    Raises:
        ExportError: If it is a folder, or weights from which no ``.vov`` file can be made.
        BitstreamError: If it cannot be read or is not a valid file.
    """
    path = Path(path)
    weights = path
    if path.is_dir():
        if not (path / "adapter_config.json").exists():
            raise ExportError(f"{path} is a folder; give one .vov file, or --format card for a card of all in it")
        weights = path / "adapter_model.safetensors"
    if weights.suffix.lower() in WEIGHT_ENDINGS:
        raise ExportError(f"{path} holds weights, not a .vov file, and {_remedy(weights)}")
    return VovFile.open(path, limits)


def _remedy(weights: Path) -> str:
    """Why ``weights`` cannot be imported, and what can be done; only safetensors are opened."""
    names, metadata = _contents(weights)
    if AUTHORS_VECTOR in names:
        return (
            "is a checkpoint of the authors' scripts, which holds the vector itself; "
            f"python tools/import_checkpoint.py {weights} makes a .vov file of it"
        )
    reason = (
        "there is no way back: a file's k numbers are copied to many more LoRA entries by a hash, which is not "
        "invertible, so a LoRA is the image of no vector; fit the clip with vov-fit"
    )
    if "vov_sha256" in metadata:
        return f"{reason}, or take the .vov file that this was exported from, SHA-256 {metadata['vov_sha256']}"
    return reason


def _contents(weights: Path) -> tuple[list[str], dict[str, str]]:
    """Tensor names and metadata of a safetensors file; nothing of any other."""
    try:
        with safe_open(weights, framework="pt") as opened:
            return list(opened.keys()), opened.metadata() or {}
    except (OSError, SafetensorError):
        return [], {}
