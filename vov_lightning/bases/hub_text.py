"""What embeds the captions of the hub's models: the libraries, how long a caption may be, embeddings that are kept."""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vov_lightning.bases.hub_files import cache_folder
from vov_lightning.errors import BaseModelError
from vov_lightning.files import atomic_path


def check_caption(caption: str, tokenizer: Any, max_tokens: int, name: str) -> None:
    """Refuse a caption that the text encoder would cut.

    Raises:
        BaseModelError: If it has more than ``max_tokens`` tokens.
    """
    count = len(tokenizer(caption).input_ids)
    if count > max_tokens:
        raise BaseModelError(f"the caption has {count} tokens, base model {name} takes {max_tokens}; shorten it")


def import_text_libraries() -> tuple[Any, Any]:
    """diffusers and transformers.

    Raises:
        BaseModelError: If transformers is not installed.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise BaseModelError(
            'this base model needs transformers; pip install "transformers>=5" ftfy sentencepiece'
        ) from error
    return diffusers, transformers


def kept_embedding(key: str, embed: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Result of ``embed``, kept on disk under ``key``, which changes with everything that it depends on.

    Raises:
        BaseModelError: If what is kept cannot be read.
    """
    name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    path = cache_folder() / "embeddings" / f"{name}.safetensors"
    if not path.exists():
        tensors = {name: tensor.contiguous().cpu() for name, tensor in embed().items()}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BaseModelError(f"the kept embedding {path} cannot be read ({error}); delete it") from error


def random_embedding(caption: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    """Random numbers in ``shapes``, always the same for ``caption``; names that end in ``mask`` are boolean."""
    seed = int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=7).digest(), "little")
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.ones(shape, dtype=torch.bool)
        if name.endswith("mask")
        else torch.randn(shape, generator=generator).to(dtype)
        for name, shape in shapes.items()
    }
