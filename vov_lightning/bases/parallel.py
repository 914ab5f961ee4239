"""One draw on several processes, each with its part of the tokens: diffusers' context parallelism (Ulysses).

Attention exchanges tokens for heads: within it a process has all tokens of its
share of the heads. ``backward`` gives a process the gradient of its own tokens;
the sum over the processes is the gradient.
"""

from typing import Any, cast

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from vov_lightning.bases.memory import free_bytes
from vov_lightning.errors import SettingError


def check_model(degree: int, can_share: bool, compiled: bool, name: str) -> None:
    """Refuse to share the tokens of a model that cannot.

    Args:
        degree: Processes that share the tokens of a draw.
        can_share: Whether the model can.
        compiled: Whether its blocks are.
        name: Of the base model.

    Raises:
        SettingError: If ``degree`` is below 1, or above 1 and the model cannot.
    """
    if degree < 1:
        raise SettingError(f"context_parallel={degree} is below 1; use 1, or the number of GPUs that share a draw")
    if degree > 1 and not can_share:
        raise SettingError(
            f"context_parallel={degree} does not suit base model {name}, whose tokens diffusers cannot share out in a "
            "fit; leave context_parallel at 1, or use a Wan model or qwen-image"
        )
    if degree > 1 and compiled:  # each step hooks the blocks anew, so they would be compiled again
        raise SettingError(f"context_parallel={degree} does not work with compile=true; leave one of them out")


def check_shares(degree: int, heads: int, tokens: int, captions: dict[str, int]) -> None:
    """Refuse shares that are not equal.

    Args:
        degree: Processes that share the tokens of a draw.
        heads: Of the transformer's attention.
        tokens: Of an evaluation.
        captions: Tokens of the captions that are shared too.

    Raises:
        SettingError: If ``degree`` does not divide one of them, or the number of the fit's processes.
    """
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    counts = [
        (processes, "processes", f"use --trainer.strategy ddp and --trainer.devices {degree} or a multiple"),
        (heads, "heads of the base model's attention", "use a divisor"),
        (tokens, "tokens of the clip", "use another --data.height, --data.width or --data.frames"),
        *((number, f"tokens of the caption {text!r}", "change it by a word") for text, number in captions.items()),
    ]
    for number, what, remedy in counts:
        if number % degree:
            raise SettingError(
                f"context_parallel={degree} does not divide {number}, the number of {what}; {remedy}, or leave "
                "context_parallel at 1"
            )


def shares_captions(transformer: Any) -> bool:
    """Whether diffusers' plan for ``transformer`` shares out the tokens of a caption beside the others."""
    inputs = [part for part in transformer._cp_plan.values() if isinstance(part, dict)]
    return any("encoder_hidden_states" in part for part in inputs)


class SharedTokens:
    """A transformer of diffusers whose tokens the processes of a group share, from `begin` to `end`.

    Args:
        transformer: Of diffusers, with a plan for context parallelism.
        degree: Processes of a group, which are neighbours. It divides the number of all.
        device: Of the transformer.
    """

    def __init__(self, transformer: Any, degree: int, device: torch.device) -> None:
        from diffusers import ContextParallelConfig, ParallelConfig

        processes = distributed.get_world_size()
        mesh = init_device_mesh(
            device.type, (processes // degree, 1, degree), mesh_dim_names=("group", "ring", "ulysses")
        )
        self.transformer, self.device = transformer, device
        exchange = ContextParallelConfig(ulysses_degree=degree)
        self.config = cast(Any, ParallelConfig(context_parallel_config=exchange))  # typed as a plain object
        self.config.setup(distributed.get_rank(), processes, device, mesh=mesh)

    # Not `enable_parallelism`: it has no counterpart that goes back to one process, and fails without an accelerator.
    def begin(self) -> None:
        """Let each process of the group evaluate its own tokens."""
        from diffusers.hooks.context_parallel import apply_context_parallel

        self._let_attention_exchange(self.config)
        apply_context_parallel(self.transformer, self.config.context_parallel_config, self.transformer._cp_plan)

    def end(self) -> None:
        """Let each process evaluate all tokens."""
        from diffusers.hooks.context_parallel import remove_context_parallel

        self._let_attention_exchange(None)
        remove_context_parallel(self.transformer, self.transformer._cp_plan)

    def least_free_bytes(self) -> int:
        """Free memory of the GPU that has least; all must choose the same checkpointing, or their exchanges differ."""
        least = torch.tensor(free_bytes(self.device), device=self.device)
        distributed.all_reduce(least, distributed.ReduceOp.MIN)
        return int(least)

    def _let_attention_exchange(self, config: Any) -> None:
        for module in self.transformer.modules():
            processor: Any = getattr(module, "processor", None)
            if hasattr(processor, "_parallel_config"):
                processor._parallel_config = config
