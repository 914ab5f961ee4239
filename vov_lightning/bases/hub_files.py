"""Where the weights of a hub model come from, and what is checked before they are loaded."""

import hashlib
import os
from pathlib import Path

import psutil

from vov_lightning.errors import BaseModelError

LOADED_PARTS = ("transformer", "vae")
PARTS = (*LOADED_PARTS, "text_encoder", "tokenizer")
PATTERNS = tuple(f"{part}/*.{ending}" for part in PARTS for ending in ("json", "safetensors", "txt", "model"))
"""Files of a repository that are fetched."""


def fetch(name: str, repository: str, revision: str) -> Path:
    """Folder with the parts of a repository at a commit, downloaded unless it is in the hub's cache.

    Raises:
        BaseModelError: If there is no network, no access, or no such commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(PATTERNS)))
    except GatedRepoError as error:
        reason = f"it is gated: accept its terms at https://huggingface.co/{repository}, then run `hf auth login`"
        raise BaseModelError(f"base model {name} cannot be downloaded from {repository}: {reason}") from error
    except RepositoryNotFoundError as error:
        reason = f"the hub knows no such repository, or none that you may read; pass weights=FOLDER with {_wanted()}"
        raise BaseModelError(f"base model {name} cannot be downloaded from {repository}: {reason}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise BaseModelError(
            f"base model {name} is neither on this machine nor to be had from {repository}@{revision} "
            f"({type(error).__name__}); on a machine with network run `hf download {repository} --revision {revision} "
            f"--local-dir FOLDER`, and pass weights=FOLDER; it holds {_wanted()}"
        ) from error


def _wanted() -> str:
    return ", ".join(f"{part}/" for part in PARTS)


def check_folder(folder: Path, name: str, repository: str) -> None:
    """Refuse a folder that lacks a part.

    Raises:
        BaseModelError: If a part is missing.
    """
    needed = [f"{part}/{file}" for part in LOADED_PARTS for file in ("config.json", "*.safetensors")]
    missing = [file for file in needed if not any(folder.glob(file))]
    if missing:
        raise BaseModelError(
            f"base model {name}: {folder} lacks {', '.join(missing)}; it should hold {_wanted()} as {repository} does"
        )


def check_memory(folder: Path, name: str) -> None:
    """Refuse to begin loading what does not fit.

    Raises:
        BaseModelError: If the weights are larger than the memory that is free.
    """
    needed = sum(path.stat().st_size for part in LOADED_PARTS for path in (folder / part).glob("*.safetensors"))
    free = psutil.virtual_memory().available
    if needed > free:
        raise BaseModelError(
            f"base model {name} needs {needed / 2**30:.1f} GiB of memory for its weights, {free / 2**30:.1f} GiB are "
            "free; take a smaller base model (nano, ltx-video) or a larger machine"
        )


def text_identity(folder: Path) -> str:
    """What tells one text encoder from another: its files' names and sizes, and the settings."""
    parts = [folder / "text_encoder", folder / "tokenizer"]
    files = sorted(path for part in parts if part.is_dir() for path in part.iterdir() if path.is_file())
    listing = "".join(f"{path.name} {path.stat().st_size} " for path in files)
    settings = "".join(path.read_text() for path in files if path.suffix == ".json")
    return hashlib.blake2b((listing + settings).encode(), digest_size=16).hexdigest()


def cache_folder() -> Path:
    """Where embeddings are kept: ``$XDG_CACHE_HOME/vov_lightning``, or ``~/.cache/vov_lightning``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vov_lightning"
