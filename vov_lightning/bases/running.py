"""How a transformer of diffusers runs: what ``backward`` keeps, which attention it calls, compiled or not.

None of this is part of a file. Results agree to rounding, whatever is chosen.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from vov_lightning.errors import BaseModelError, SettingError

Keeping = Literal["none", "attention", "all"]
"""What is computed again during ``backward``: nothing; all of a block but its attention; all of a block."""
Checkpointing = Literal["auto", Keeping]
Attention = Literal[
    "native", "_native_flash", "_native_cudnn", "_native_efficient", "flash", "_flash_3", "sage", "xformers"
]
"""Attention backends under diffusers' names, without those that download code."""

KEEPING: tuple[Keeping, ...] = get_args(Keeping)


def use_checkpointing(transformer: Any, keeping: Keeping, compiled: dict[str, Any] | None = None) -> None:
    """Let ``backward`` of ``transformer`` compute again what ``keeping`` says.

    Args:
        transformer: Of diffusers.
        keeping: One of `Keeping`.
        compiled: Options of `torch.compile`, where the blocks are compiled.
    """
    if keeping == "none":
        transformer.disable_gradient_checkpointing()
        return
    function: Callable = checkpointed if keeping == "all" else checkpointed_without_attention
    # Compiled from outside: the compiler must see what is to be kept.
    transformer.enable_gradient_checkpointing(function if compiled is None else torch.compile(**compiled)(function))


def checkpointed(block: nn.Module, *args: Any) -> Any:
    """``block(*args)``, computed again during ``backward``."""
    return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)


def checkpointed_without_attention(block: nn.Module, *args: Any) -> Any:
    """``block(*args)``, computed again during ``backward`` but for the outputs of its attention, which are kept."""
    contexts = partial(create_selective_checkpoint_contexts, _keep_attention)
    return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _keep_attention(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    # By name: PyTorch's and flash-attn's operators differ by device, version and backend.
    kept = any(word in str(operator) for word in ("attention", "flash_attn"))
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def use_attention(transformer: Any, backend: Attention, name: str) -> None:
    """Let ``transformer`` call ``backend``.

    Raises:
        SettingError: If it is not installed.
    """
    try:
        transformer.set_attention_backend(backend)
    except (RuntimeError, ImportError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingError(
            f"attention={backend} of base model {name} cannot be used: {reason}; use --model.base.attention native"
        ) from error


def check_backward(
    query: Tensor, mask: Tensor | None, backend: Attention, name: str, exchange: Any | None = None
) -> None:
    """Refuse an attention that cannot be fitted through.

    Args:
        query: ``[B, N, heads, channels]``, of what the model calls it with; serves as key and value too.
        mask: Of the attention to the caption, where the model has one.
        backend: Under diffusers' name.
        name: Of the base model.
        exchange: Diffusers' configuration of processes that share the tokens; all of them call this.

    Raises:
        SettingError: If it takes no such tensors, has no backward, or one that is not attention's.
    """
    from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

    def gradient(backend: Attention) -> Tensor:
        leaf = query.detach().clone().requires_grad_()
        output = dispatch_attention_fn(
            leaf, leaf, leaf, attn_mask=mask, backend=AttentionBackendName(backend), parallel_config=exchange
        )
        return torch.autograd.grad(output.float().square().sum(), leaf)[0].float()

    try:
        with torch.enable_grad():
            found, wanted = gradient(backend), gradient("native")
    # What backends raise that are not installed, take no such tensors, or (NotImplementedError) have no backward.
    except (RuntimeError, ValueError, ImportError, NotImplementedError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingError(
            f"attention={backend} of base model {name} has no backward here: {reason}; it decodes, but for a fit use "
            "--model.base.attention native"
        ) from error
    difference = float((found - wanted).norm() / wanted.norm())
    if not difference < 0.05:
        raise SettingError(
            f"attention={backend} of base model {name} has a gradient that differs from native attention's by "
            f"{difference:.0%}; use --model.base.attention native"
        )


def compile_blocks(transformer: Any, name: str, **options: Any) -> None:
    """Compile the block that ``transformer`` repeats, once for all of them, at its next call.

    Args:
        transformer: Of diffusers.
        name: Of the base model.
        **options: Of `torch.compile`.

    Raises:
        BaseModelError: If it repeats none.
    """
    try:
        transformer.compile_repeated_blocks(**options)
    except ValueError as error:
        raise BaseModelError(
            f"base model {name} cannot be compiled: {error}; leave --model.base.compile out"
        ) from error
