"""Backward without autograd's engine, which asks the driver of a CUDA device for its streams.

The nodes of the graph are autograd's own, called in its order, and each frees
what it has kept once it has run.
"""

import heapq
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction


def backward(losses: list[Tensor]) -> dict[Tensor, Tensor]:
    """Gradients of the one scalar in ``losses``, which is taken from the list, by leaf."""
    root = losses.pop()
    node: Any = root.grad_fn
    gradients: dict[Any, list[Tensor | None]] = {node: [torch.ones_like(root)]}
    waiting = {node: 0}
    _count_uses(node, waiting)
    del root
    ready, number = [(-node._sequence_nr(), 0, node)], 0
    leaves: dict[Tensor, Tensor] = {}
    # One graph task: checkpointing recomputes once for it.
    with torch.no_grad(), mock.patch("torch._C._current_graph_task_id", return_value=1):
        while ready:
            _, _, node = heapq.heappop(ready)
            given = gradients.pop(node)
            if hasattr(node, "variable"):
                gradient = given[0]
                assert gradient is not None
                leaves[node.variable] = gradient
                continue
            call = node.apply if isinstance(node, BackwardCFunction) else node
            found = call(*given)
            found = found if isinstance(found, tuple) else (found,)
            del given, call
            for (following, position), gradient in zip(node.next_functions, found, strict=False):
                if following is None:
                    continue
                if gradient is not None:
                    _add(gradients, following, position, gradient)
                waiting[following] -= 1
                if not waiting[following]:
                    del waiting[following]
                    if following in gradients:
                        number += 1
                        heapq.heappush(ready, (-following._sequence_nr(), number, following))
            del found, gradient, following, node
    return leaves


def _count_uses(root: Any, waiting: dict[Any, int]) -> None:
    """How many nodes hand a gradient to each node of the graph of ``root``."""
    stack = [root]
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is None:
                continue
            if following not in waiting:
                stack.append(following)
            waiting[following] = waiting.get(following, 0) + 1


def _add(gradients: dict[Any, list[Tensor | None]], node: Any, position: int, gradient: Tensor) -> None:
    wanted = node._input_metadata
    sums = gradients.setdefault(node, [None] * len(wanted))
    if gradient.shape != tuple(wanted[position].shape):
        gradient = gradient.sum_to_size(wanted[position].shape)
    gradient = gradient.to(wanted[position].dtype)
    before = sums[position]
    sums[position] = gradient if before is None else before + gradient
