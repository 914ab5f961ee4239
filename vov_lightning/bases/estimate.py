"""What a base model costs at a size, found without its weights: a pass on a GPU that is only pretended is counted."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from vov_lightning.bases.base import BaseModel, ClipSize
from vov_lightning.bases.running import KEEPING, Keeping
from vov_lightning.vector.layer import AdaptedLinear, Update

SHARE = 0.9
"""Of a GPU's free memory that a draw is given: the rest is for gradients in passing, and lost between blocks."""

GPUS = {
    "A100 80 GB": (312e12, 80),
    "H100 80 GB": (989e12, 80),
    "H200 141 GB": (989e12, 141),
    "L40S 48 GB": (362e12, 48),
    "RTX 4090 24 GB": (165e12, 24),
}
"""Dense bfloat16 FLOP/s with float32 accumulation, by the makers' data sheets, and GB of memory."""
UTILISATION = 0.4
"""Share of those FLOP/s that times assume."""


@dataclass(frozen=True)
class Estimate:
    """Costs of one clip size under one adapter."""

    tokens: int
    """That the longest attention goes over."""
    latent_entries: int
    """Numbers in the latents."""
    parameters: int
    """Of the transformer."""
    adapted_layers: int
    """Linear layers with a low-rank update."""
    num_entries: int
    """D: LoRA entries that the vector is hashed into."""
    linear_flops: float
    """Of one network evaluation, attention's products aside."""
    attention_flops: float
    """Of one network evaluation: the two products of every attention."""
    weight_bytes: int
    """Transformer and autoencoder as they are loaded."""
    activation_bytes: int
    """Kept for ``backward`` by a draw of batch 1, by attention that keeps no matrix (flash attention)."""
    attention_bytes: int
    """The same where all but attention is computed again: as `block_bytes`, and every attention's output."""
    block_bytes: int
    """The same where every block is computed again: what one block needs, and every block's input."""

    @property
    def forward_flops(self) -> float:
        """Operations of one network evaluation."""
        return self.linear_flops + self.attention_flops

    @property
    def draw_flops(self) -> float:
        """Of a draw of (t, eps), forward and backward: a frozen layer has no weight gradient, so its backward is one
        forward; flash attention's is 2.5 (Dao 2023)."""
        return 2 * self.linear_flops + 3.5 * self.attention_flops

    def draw(self, keeping: Keeping) -> tuple[int, float]:
        """Bytes beside the weights, and FLOPs, of a draw that computes again what ``keeping`` says."""
        return {
            "none": (self.activation_bytes, self.draw_flops),
            "attention": (self.attention_bytes, self.draw_flops + self.linear_flops),
            "all": (self.block_bytes, self.draw_flops + self.forward_flops),
        }[keeping]


def estimate(base: BaseModel, size: ClipSize, rank: int, targets: tuple[str, ...] = ()) -> Estimate:
    """Costs of ``base`` for clips of ``size``.

    Args:
        base: Loaded, or a `BaseModel.skeleton`.
        size: Of the clip.
        rank: Of the adapter.
        targets: Adapted layers of each block; empty for the model's default.

    Raises:
        BaseModelError: If the model cannot take ``size``, or has not these targets.
    """
    base.check_size(size)
    with getattr(next(base.parameters()), "fake_mode", nullcontext()):  # of a skeleton
        return _counted(base, size, rank, targets)


def _counted(base: BaseModel, size: ClipSize, rank: int, targets: tuple[str, ...]) -> Estimate:
    layers = base.adapted_layers(targets or base.default_targets)
    blocks = list(base.blocks().values())
    shape = base.latent_shape(size)
    x_t, t = torch.empty(1, *shape, device=base.device), torch.full((1,), 0.5, device=base.device)
    velocity, counter, kept = base.velocity(""), FlopCounterMode(display=False), KeptForBackward(base)
    inputs: list[int] = []

    def note_input(_: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs.append(max(value.nbytes for value in (*args, *kwargs.values()) if isinstance(value, Tensor)))

    noting = blocks[0].register_forward_pre_hook(note_input, with_kwargs=True)
    with low_rank_updates(list(layers.values()), rank), CountAttention() as attention, counter, kept.counting():
        velocity(x_t, t)
    noting.remove()
    # Gradients in passing: of the largest tensor, and of what it was made of.
    block_bytes = kept.num_bytes // len(blocks) + len(blocks) * inputs[0] + 2 * kept.largest
    return Estimate(
        tokens=attention.tokens,
        latent_entries=math.prod(shape),
        parameters=sum(parameter.numel() for parameter in base.transformer.parameters()),
        adapted_layers=len(layers),
        num_entries=sum(rank * (layer.in_features + layer.out_features) for layer in layers.values()),
        linear_flops=float(counter.get_total_flops()),
        attention_flops=attention.flops,
        weight_bytes=sum(parameter.nbytes for parameter in base.parameters()),
        activation_bytes=kept.num_bytes,
        attention_bytes=block_bytes + attention.output_bytes,
        block_bytes=block_bytes,
    )


class FlashAttention(torch.autograd.Function):
    """Attention that keeps what flash attention keeps: its inputs and its output."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, output)
        return output


class CountAttention(TorchFunctionMode):
    """Within the block attention is `FlashAttention`, and its products are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.tokens, self.output_bytes = 0.0, 0, 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        query, key, value = given["query"], given["key"], given["value"]
        self.flops += 4.0 * query.numel() * key.shape[-2]
        self.tokens = max(self.tokens, query.shape[-2])
        self.output_bytes += query.nbytes
        return FlashAttention.apply(query, key, value)


class KeptForBackward:
    """Sums up what autograd keeps, each storage once and weights not at all."""

    def __init__(self, base: BaseModel) -> None:
        self.num_bytes, self.largest = 0, 0
        self._seen = {parameter.untyped_storage()._cdata for parameter in base.parameters()}

    def counting(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Counts within the block."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.num_bytes += storage.nbytes()
            self.largest = max(self.largest, storage.nbytes())
        return tensor


@contextmanager
def low_rank_updates(layers: list[nn.Linear], rank: int) -> Iterator[None]:
    """Within the block each layer has an update that wants gradients, of the adapter's shape."""
    adapted = [AdaptedLinear.of(layer) for layer in layers]
    for layer in adapted:
        like = layer.weight.new_empty
        lora_a, lora_b = like(rank, layer.in_features), like(layer.out_features, rank)
        layer.updates = (*layer.updates, Update(lora_a.requires_grad_(), lora_b.requires_grad_()))
    try:
        yield
    finally:
        for layer in adapted:
            layer.updates = layer.updates[:-1]


def choose_checkpointing(free_bytes: float, costs: Estimate, evaluations: int) -> Keeping:
    """The least checkpointing whose draw fits into ``free_bytes`` beside the weights; the most where none does.

    Args:
        free_bytes: Of the GPU that holds the weights already.
        costs: Of one evaluation.
        evaluations: How many are kept for ``backward`` at once.
    """
    room = SHARE * free_bytes / evaluations
    return next((keeping for keeping in KEEPING if costs.draw(keeping)[0] <= room), KEEPING[-1])
