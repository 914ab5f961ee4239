"""Where the weights of a hub model come from, and what is checked before they are loaded."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from vov_lightning.errors import BaseModelError
from vov_lightning.files import atomic_write, sha256_of

MODELS = ("transformer", "vae", "text_encoder")
PARTS = (*MODELS, "tokenizer")
ENDINGS = ("json", "safetensors", "txt", "model")
"""Files of a part that are fetched."""
CHAT_ENDINGS = (*ENDINGS, "jinja")
"""The same of a model whose captions go through its tokenizer's chat template."""


LFS_POINTER = b"version https://git-lfs"
"""How the text begins that git leaves in a file's place where git-lfs is not installed."""


def fetch(
    name: str, repository: str, revision: str, more: tuple[str, ...] = (), endings: tuple[str, ...] = ENDINGS
) -> Path:
    """Folder with the parts of a repository at a commit, downloaded unless it is in the hub's cache.

    ``more`` are further text encoders than the first, ``endings`` those of the files that matter.

    Raises:
        BaseModelError: If there is no network, no access, or no such commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = _patterns(PARTS + _with_tokenizers(more), endings)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        reason = f"it is gated: accept its terms at https://huggingface.co/{repository}, then run `hf auth login`"
        raise BaseModelError(f"base model {name} cannot be downloaded from {repository}: {reason}") from error
    except RepositoryNotFoundError as error:
        reason = f"the hub knows no such repository, or none that you may read; {_remedy(more)}"
        raise BaseModelError(f"base model {name} cannot be downloaded from {repository}: {reason}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise BaseModelError(
            f"base model {name} is neither on this machine nor to be had from {repository}@{revision} "
            f"({type(error).__name__}); on a machine with network run `hf download {repository} --revision {revision} "
            f"--local-dir FOLDER`; {_remedy(more)}"
        ) from error


def _remedy(more: tuple[str, ...]) -> str:
    return f"pass --base.weights FOLDER (vov-fit: --model.base.weights FOLDER), a folder of {_wanted(more)}"


def _wanted(more: tuple[str, ...]) -> str:
    return ", ".join(f"{part}/" for part in PARTS + _with_tokenizers(more))


def _with_tokenizers(text_encoders: tuple[str, ...]) -> tuple[str, ...]:
    return text_encoders + tuple(part.replace("text_encoder", "tokenizer") for part in text_encoders)


def _patterns(parts: Iterable[str], endings: tuple[str, ...]) -> list[str]:
    return [f"{part}/*.{ending}" for part in parts for ending in endings]


def check_folder(folder: Path, name: str, repository: str, more: tuple[str, ...] = ()) -> None:
    """Refuse a folder that lacks a part, or whose weights are not all there; ``more`` as of `fetch`.

    Raises:
        BaseModelError: If a part is missing or damaged.
    """
    models, tokenizers = MODELS + more, _with_tokenizers(("text_encoder", *more))[1 + len(more) :]
    needed = [f"{part}/{file}" for part in models for file in ("config.json", "*.safetensors")]
    needed += [f"{part}/*" for part in tokenizers]
    missing = [file for file in needed if not any(folder.glob(file))]
    if missing:
        raise BaseModelError(
            f"base model {name}: {folder} lacks {', '.join(missing)}; it should hold {_wanted(more)} as {repository} "
            "does"
        )
    for part in models:
        for path in _weights(folder / part):
            num_values(path)


def check_memory(folder: Path, bytes_of_a_value: dict[str, int], name: str) -> None:
    """Refuse to begin loading what does not fit.

    Args:
        folder: Where the parts are.
        bytes_of_a_value: Of each part that is to be loaded.
        name: Of the base model.

    Raises:
        BaseModelError: If the weights are larger than the memory that is free.
    """
    needed = sum(size * num_values(path) for part, size in bytes_of_a_value.items() for path in _weights(folder / part))
    free = psutil.virtual_memory().available
    if needed > free:
        raise BaseModelError(
            f"base model {name} needs {needed / 2**30:.1f} GiB of memory for its {' and '.join(bytes_of_a_value)}, "
            f"{free / 2**30:.1f} GiB are free; take a smaller base model (nano, ltx-video), a larger machine, or "
            "--model.base.dtype bfloat16"
        )


def num_values(path: Path) -> int:
    """Numbers in a safetensors file, from its header.

    Raises:
        BaseModelError: If the file is none, or cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise BaseModelError(
                f"{path} is a git-LFS pointer without the weights; run git lfs pull where it was cloned"
            )
        header_bytes = int.from_bytes(start[:8], "little")
        file.seek(8)
        text = file.read(header_bytes) if 8 + header_bytes <= size else b""
    try:
        header = json.loads(text)
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        complete = size == 8 + header_bytes + max((entry["data_offsets"][1] for entry in entries), default=0)
        values = sum(math.prod(entry["shape"]) for entry in entries)
    except (ValueError, TypeError, LookupError, AttributeError):
        complete = False
    if not complete:
        raise BaseModelError(f"{path} ({size} bytes) is cut short or no safetensors file; fetch it again")
    return values


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def settings_identity(folder: Path) -> str:
    """What the settings of transformer and autoencoder say, whatever version of diffusers wrote them."""
    found = {}
    for part in MODELS[:2]:
        settings = json.loads((folder / part / "config.json").read_text())
        found[part] = {key: value for key, value in settings.items() if not key.startswith("_")}
    return json.dumps(found, sort_keys=True)


def text_identity(folder: Path, endings: tuple[str, ...] = ENDINGS) -> str:
    """Hash over the files of text encoders and tokenizers that `fetch` would bring; others change nothing."""
    patterns = _patterns(("text_encoder*", "tokenizer*"), endings)
    files = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    listing = "".join(f"{path.parent.name}/{path.name} {content_hash(path)}\n" for path in sorted(files))
    return hashlib.blake2b(listing.encode(), digest_size=16).hexdigest()


def content_hash(path: Path) -> str:
    """SHA-256 of a file: its name, where the hub's cache holds it under that, else computed and remembered."""
    target = path.resolve()
    if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name
    status = target.stat()
    key = hashlib.blake2b(f"{target} {status.st_size} {status.st_mtime_ns}".encode(), digest_size=16).hexdigest()
    known = cache_folder() / "hashes" / key
    if not known.is_file():
        atomic_write(known, sha256_of(target).encode())
    return known.read_text()


def cache_folder() -> Path:
    """Where embeddings and hashes are kept: ``$XDG_CACHE_HOME/vov_lightning``, or ``~/.cache/vov_lightning``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vov_lightning"


def settings_of(part: Any) -> dict[str, Any]:
    """Settings that a part of diffusers was made with."""
    return {name: value for name, value in part.config.items() if not name.startswith("_")}


def digest(tensors: dict[str, Tensor], settings: str = "") -> bytes:
    """Eight bytes of BLAKE2b over names, shapes and values, and over ``settings``."""
    found = hashlib.blake2b(settings.encode(), digest_size=8)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.digest()
