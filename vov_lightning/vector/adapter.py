"""The vector as LoRA matrices on a frozen transformer (paper, section 3.1).

All LoRA entries form one array: layer by layer in the base model's documented
order, for each layer ``A`` [rank, in] then ``B`` [out, rank], row-major. The
adapted layer computes ``W x + B A x``, without an alpha / rank factor.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vov_lightning.errors import SettingError
from vov_lightning.vector.dictionary import Dictionary, DictionaryProjection
from vov_lightning.vector.hashing import HashProjection, HashScheme
from vov_lightning.vector.layer import AdaptedLinear, Update

DEFAULT_K = 4096
"""Length of a hashed vector where none is given."""


@dataclass(frozen=True)
class AdapterConfig:
    """Which layers are adapted, and by how many numbers; stored in the file."""

    k: int | None = None
    """Length of the vector. Null: 4096 under a hash, every LoRA entry under ``lora``, all directions of a dictionary.
    0 sends none, and the file holds caption and indices only."""
    rank: int = 2
    """Rank of every layer's update; a dictionary has its own."""
    targets: tuple[str, ...] = ()
    """Linear layers of each block that are adapted; empty for the base model's default."""
    seed: int = 0
    """Seed of the hash that spreads the vector over the LoRA entries; ``lora`` and a dictionary draw none."""
    scheme: HashScheme = "v1"
    """The hash: ours, or the authors' (``unilora_numpy``), which imported checkpoints need. ``lora`` is plain LoRA
    without one: every entry is a number of its own, to compare with. ``dictionary`` takes directions that were learned
    from many clips and come with the base model, where it has them."""


class HashedLoRA:
    """Adapter over a base model's linear layers, driven by one vector.

    Args:
        layers: Linear layers by name, in the order that the format documents (`BaseModel.adapted_layers`).
        rank: Rank of every update, at least 1.
        k: Length of the vector; None for the scheme's own (`AdapterConfig.k`).
        seed: Hash seed.
        scheme: Hash scheme.
        dictionary: The base model's (`BaseModel.dictionary`), for that scheme.

    Raises:
        SettingError: If rank or length do not suit the layers, or there is no dictionary.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> adapter = HashedLoRA({"layer": layer}, rank=1, k=8, seed=0)
        >>> plain = layer(torch.ones(4))
        >>> with adapter.merged(torch.ones(8)):
        ...     adapted = layer(torch.ones(4))
        >>> bool((adapted != plain).any())
        True
    """

    def __init__(
        self,
        layers: dict[str, nn.Linear],
        rank: int,
        k: int | None,
        seed: int,
        scheme: HashScheme = "v1",
        dictionary: Dictionary | None = None,
    ) -> None:
        if scheme == "dictionary":
            if dictionary is None:
                raise SettingError(
                    "scheme=dictionary, and the base model has no dictionary; use --model.adapter.scheme v1 "
                    "(tools/train_dictionary.py learns one for a nano of your own)"
                )
            rank = dictionary.rank
        if rank < 1:
            raise SettingError(f"rank={rank} is below 1; use 1 as the paper does, or more")
        self.rank = rank
        self._layers = {name: AdaptedLinear.of(layer) for name, layer in layers.items()}
        self._updates: dict[str, Update] = {}
        self._originals: dict[str, Tensor] = {}
        self.sizes = [rank * (layer.in_features + layer.out_features) for layer in layers.values()]
        num_entries = sum(self.sizes)
        self.projection: HashProjection | DictionaryProjection
        if dictionary is not None and scheme == "dictionary":
            self.projection = dictionary.projection(layers, dictionary.longest if k is None else k)
            return
        if k is None:
            k = num_entries if scheme == "lora" else DEFAULT_K
        self.projection = HashProjection(k, num_entries, seed, scheme)

    @property
    def num_entries(self) -> int:
        """D, the number of LoRA entries."""
        return self.projection.num_entries

    def matrices(self, vector: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """``lora_A`` [rank, in] and ``lora_B`` [out, rank] of every layer, for ``vector`` [k]."""
        self.projection.to(vector.device)
        chunks = self.projection(vector).split(self.sizes)
        found = {}
        for (name, layer), chunk in zip(self._layers.items(), chunks, strict=True):
            lora_a, lora_b = chunk.split([self.rank * layer.in_features, self.rank * layer.out_features])
            found[name] = lora_a.view(self.rank, layer.in_features), lora_b.view(layer.out_features, self.rank)
        return found

    def attach(self, vector: Tensor, weight: float = 1.0) -> None:
        """Make every layer add ``weight`` times its low-rank update; gradients reach ``vector`` [k].

        The layers hold the matrices, in the type of their weights, until `detach`, so that activation
        checkpointing, which calls the layers again during ``backward``, sees them too.
        """
        self.detach()
        for name, matrices in self.matrices(vector).items():
            layer = self._layers[name]
            lora_a, lora_b = (matrix.to(layer.weight.dtype) for matrix in _weighted(*matrices, weight))
            self._updates[name] = Update(lora_a, lora_b)
            layer.updates = (*layer.updates, self._updates[name])

    def detach(self) -> None:
        """Make every layer the base model's again."""
        self._leave_out_updates()
        self._updates = {}

    @contextmanager
    def merged(self, vector: Tensor, weight: float = 1.0) -> Iterator[None]:
        """Within the block the weights are ``W + weight * B A``, for decoding; afterwards exactly what they were.

        Blocks of several adapters nest: their updates add up.
        """
        originals = self._weights()
        self._originals = originals
        try:
            with torch.no_grad():
                for name, matrices in self.matrices(vector).items():
                    lora_a, lora_b = _weighted(*matrices, weight)
                    original = originals[name]
                    # float32: a bfloat16 sum would lose updates below 1/256 of the weight
                    total = original.float() + lora_b.float() @ lora_a.float()
                    self._layers[name].weight.data = total.to(original.dtype)
            yield
        finally:
            self._set_weights(originals)
            self._originals = {}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block the layers compute as before `attach` or `merged`, and then again as since."""
        current, updates = self._weights(), {name: layer.updates for name, layer in self._layers.items()}
        self._set_weights(self._originals)
        self._leave_out_updates()
        try:
            yield
        finally:
            self._set_weights(current)
            for name, layer in self._layers.items():
                layer.updates = updates[name]

    def _leave_out_updates(self) -> None:
        for name, own in self._updates.items():
            layer = self._layers[name]
            layer.updates = tuple(update for update in layer.updates if update is not own)

    def _weights(self) -> dict[str, Tensor]:
        return {name: layer.weight.data for name, layer in self._layers.items()}

    def _set_weights(self, weights: dict[str, Tensor]) -> None:
        for name, weight in weights.items():
            self._layers[name].weight.data = weight


def _weighted(lora_a: Tensor, lora_b: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    return (lora_a, lora_b) if weight == 1 else (lora_a, weight * lora_b)
