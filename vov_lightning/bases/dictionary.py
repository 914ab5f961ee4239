"""Learned directions in place of a hash: what clips ask of one base model, learned from many clips.

A dictionary holds low-rank updates of the adapted layers, ``A`` and ``B`` of
each, and says how a vector ``v`` weighs them: ``W + B diag(s) A`` with
``s = start + mix v``. Updates that are driven by few numbers: VeRA (Kopiczko et
al. 2024, https://arxiv.org/abs/2310.11454) and LoRA-XS (Balazy et al. 2024,
https://arxiv.org/abs/2405.17604), whose ``A`` and ``B`` are random, or the base
model's own. Here all three are trained, by ``tools/train_dictionary.py``, and
belong to the base model.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vov_lightning.errors import BaseModelError, SettingError

DIGEST_BITS = 14
"""Of a dictionary's digest, which a file holds so that it is not decoded with another one; two bytes there."""


class Dictionary:
    """Low-rank updates of named layers, and how a vector mixes them.

    Args:
        lora_a: ``[rank, in]`` of each layer, by its name (`BaseModel.adapted_layers`).
        lora_b: ``[out, rank]`` of each layer.
        start: Weight of every update without a vector, ``[layers * rank]``.
        mix: Change of the weights for each number of the vector, ``[layers * rank, longest]``; the first columns are
            those by which clips differ most.
    """

    def __init__(self, lora_a: dict[str, Tensor], lora_b: dict[str, Tensor], start: Tensor, mix: Tensor) -> None:
        self.lora_a, self.lora_b, self.start, self.mix = lora_a, lora_b, start, mix
        digest = hashlib.blake2b(digest_size=8)
        for tensor in (*lora_a.values(), *lora_b.values(), start, mix):
            digest.update(tensor.half().contiguous().numpy().tobytes())
        self.digest = int.from_bytes(digest.digest(), "big") >> 64 - DIGEST_BITS
        """Number of `DIGEST_BITS` bits that changes with any of its entries."""

    @classmethod
    def load(cls, path: Path) -> "Dictionary":
        """The dictionary in a safetensors file: ``start``, ``mix``, and ``lora_A`` and ``lora_B`` of each layer.

        Raises:
            BaseModelError: If the file is damaged.
        """
        try:
            tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
            start, mix = tensors.pop("start"), tensors.pop("mix")
        except (OSError, SafetensorError, KeyError) as error:
            raise BaseModelError(
                f"the dictionary cannot be read from {path}: {error}; reinstall vov_lightning"
            ) from None
        halves = [
            {name.removesuffix(end): tensor for name, tensor in tensors.items() if name.endswith(end)}
            for end in (".lora_A", ".lora_B")
        ]
        return cls(halves[0], halves[1], start, mix)

    @property
    def rank(self) -> int:
        """Updates of each layer."""
        return self.start.numel() // len(self.lora_a)

    @property
    def longest(self) -> int:
        """Numbers of the longest vector."""
        return self.mix.shape[1]

    def projection(self, names: Sequence[str], k: int) -> "DictionaryProjection":
        """The map from a vector of ``k`` numbers to the LoRA entries of layers ``names``.

        Raises:
            SettingError: If the dictionary is of other layers, or shorter.
        """
        if sorted(names) != sorted(self.lora_a):
            raise SettingError(
                f"{len(names)} layers are adapted, and the dictionary is of {len(self.lora_a)}: "
                f"{', '.join(sorted(self.lora_a)[:2])}, ...; leave model.adapter.targets at its default"
            )
        if not 1 <= k <= self.longest:
            raise SettingError(
                f"k={k} is not within 1 and {self.longest}, the directions of the dictionary; lower model.adapter.k, "
                "or leave it at null for all of them"
            )
        return DictionaryProjection(self, names, k)


class DictionaryProjection:
    """The affine map ``v [k] -> theta [D]``, in the order of `HashedLoRA`: layer by layer ``A``, then ``B diag(s)``.

    Example:
        >>> one = {"layer": torch.ones(1, 3)}, {"layer": torch.ones(2, 1)}
        >>> Dictionary(*one, start=torch.ones(1), mix=torch.full((1, 4), 0.5)).projection(["layer"], 2)(torch.ones(2))
        tensor([1., 1., 1., 2., 2.])
    """

    def __init__(self, dictionary: Dictionary, names: Sequence[str], k: int) -> None:
        self.k, self.rank = k, dictionary.rank
        own = list(dictionary.lora_a)
        rows = torch.cat([torch.arange(self.rank) + self.rank * own.index(name) for name in names])
        self.start, self.mix = dictionary.start[rows], dictionary.mix[rows, :k]
        self.lora_a = [dictionary.lora_a[name] for name in names]
        self.lora_b = [dictionary.lora_b[name] for name in names]
        self.num_entries = sum(tensor.numel() for tensor in (*self.lora_a, *self.lora_b))

    def to(self, device: torch.device | str) -> "DictionaryProjection":
        """Move the tensors to ``device``; returns ``self``."""
        self.start, self.mix = self.start.to(device), self.mix.to(device)
        self.lora_a, self.lora_b = ([tensor.to(device) for tensor in half] for half in (self.lora_a, self.lora_b))
        return self

    def __call__(self, vector: Tensor) -> Tensor:
        """LoRA entries ``[D]`` of ``vector``, differentiable; of a shorter one, the numbers that it lacks are 0."""
        weights = (self.start + self.mix[:, : len(vector)] @ vector).split(self.rank)
        parts = zip(self.lora_a, self.lora_b, weights, strict=True)
        return torch.cat([half.flatten() for a, b, weight in parts for half in (a, b * weight)])
