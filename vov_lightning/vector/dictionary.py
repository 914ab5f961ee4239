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
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vov_lightning.errors import BaseModelError, SettingError

DIGEST_BITS = 14
"""Of a dictionary's digest, which a file holds so that it is not decoded with another one; two bytes there."""


PARTS = ("lora_A", "lora_B", "start", "mix")
"""What a dictionary holds of each layer; the ends of its tensors' names."""


class Dictionary:
    """Low-rank updates of named layers, and how a vector weighs them.

    Args:
        layers: By the layer's name (`BaseModel.adapted_layers`): ``lora_A`` [rank, in] and ``lora_B`` [out, rank];
            ``start`` [rank], the weights without a vector; ``mix`` [rank, longest], their change for each number of the
            vector. The first numbers are those by which clips differ most.
    """

    def __init__(self, layers: dict[str, dict[str, Tensor]]) -> None:
        sizes = {
            (len(one["lora_A"]), one["lora_B"].shape[1], len(one["start"]), *one["mix"].shape)
            for one in layers.values()
        }
        if len(sizes) != 1 or len(set(next(iter(sizes))[:4])) != 1:
            raise ValueError("its parts do not fit each other")
        self.layers = layers
        digest = hashlib.blake2b(digest_size=8)
        for name, parts in sorted(layers.items()):
            for part in PARTS:
                digest.update(f"{name}{tuple(parts[part].shape)}".encode())
                digest.update(parts[part].half().contiguous().numpy().tobytes())
        self.digest = int.from_bytes(digest.digest(), "big") >> 64 - DIGEST_BITS
        """Number of `DIGEST_BITS` bits; another dictionary has the same one with probability 1 / 16384."""

    @classmethod
    def load(cls, path: Path) -> "Dictionary":
        """The dictionary in a safetensors file of tensors ``LAYER.PART``, for each part in `PARTS`.

        Raises:
            BaseModelError: If the file is damaged.
        """
        layers: dict[str, dict[str, Tensor]] = {}
        try:
            for name, tensor in load_file(path).items():
                layer, _, part = name.rpartition(".")
                layers.setdefault(layer, {})[part] = tensor.float()
            return cls(layers)
        except (OSError, SafetensorError, KeyError, ValueError, IndexError, TypeError) as error:
            raise BaseModelError(
                f"the dictionary cannot be read from {path}: {error}; reinstall vov_lightning"
            ) from None

    @property
    def rank(self) -> int:
        """Updates of each layer."""
        return len(next(iter(self.layers.values()))["start"])

    @property
    def longest(self) -> int:
        """Numbers of the longest vector."""
        return next(iter(self.layers.values()))["mix"].shape[1]

    def projection(self, layers: Mapping[str, nn.Linear], k: int) -> "DictionaryProjection":
        """The map from a vector of ``k`` numbers to the LoRA entries of ``layers``.

        Raises:
            SettingError: If the dictionary is of other layers, or shorter.
        """
        if sorted(layers) != sorted(self.layers):
            raise SettingError(
                f"{len(layers)} layers are adapted, and the dictionary is of {len(self.layers)}: "
                f"{', '.join(sorted(self.layers)[:2])}, ...; leave model.adapter.targets at its default"
            )
        for name, layer in layers.items():
            own = self.layers[name]["lora_B"].shape[0], self.layers[name]["lora_A"].shape[1]
            if own != tuple(layer.weight.shape):
                raise SettingError(
                    f"layer {name} is {list(layer.weight.shape)}, and the dictionary's is {list(own)}; it was learned "
                    "for another model"
                )
        if not 1 <= k <= self.longest:
            raise SettingError(
                f"k={k} is not between 1 and {self.longest}, the directions of the dictionary; lower model.adapter.k, "
                "or leave it at null for all of them"
            )
        return DictionaryProjection([self.layers[name] for name in layers], k)


class DictionaryProjection:
    """The affine map ``v [k] -> theta [D]``, in the order of `HashedLoRA`: layer by layer ``A``, then ``B diag(s)``.

    Args:
        layers: `PARTS` of each layer.
        k: Length of the vector.

    Example:
        >>> layer = {"lora_A": torch.ones(1, 3), "lora_B": torch.ones(2, 1), "start": torch.ones(1)}
        >>> DictionaryProjection([layer | {"mix": torch.full((1, 4), 0.5)}], 2)(torch.ones(2))
        tensor([1., 1., 1., 2., 2.])
    """

    def __init__(self, layers: Sequence[dict[str, Tensor]], k: int) -> None:
        self.k = k
        self.lora_a, self.lora_b, starts, mixes = ([layer[part] for layer in layers] for part in PARTS)
        self.rank = len(starts[0])
        self.start, self.mix = torch.cat(starts), torch.cat(mixes)[:, :k]
        self.num_entries = sum(tensor.numel() for tensor in (*self.lora_a, *self.lora_b))

    def to(self, device: torch.device | str) -> "DictionaryProjection":
        """Move the tensors to ``device``; returns ``self``."""
        self.start, self.mix = self.start.to(device), self.mix.to(device)
        self.lora_a, self.lora_b = ([tensor.to(device) for tensor in half] for half in (self.lora_a, self.lora_b))
        return self

    def __call__(self, vector: Tensor) -> Tensor:
        """LoRA entries ``[D]`` of ``vector``, differentiable; of a shorter one, the numbers that it lacks are 0."""
        with torch.autocast(vector.device.type, enabled=False):  # as the decoder computes it
            weights = (self.start + self.mix[:, : len(vector)] @ vector).split(self.rank)
        parts = zip(self.lora_a, self.lora_b, weights, strict=True)
        return torch.cat([half.flatten() for a, b, weight in parts for half in (a, b * weight)])
