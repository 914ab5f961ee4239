"""What operators do on a CUDA device that is only pretended: shapes and types are real, numbers and memory are not."""

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

NO_TRAFFIC = ("empty", "detach", "_to_copy_meta", "is_same_size")
"""Operators that touch no memory, by the beginning of their names."""


class Recorder(TorchDispatchMode):
    """Notes devices, attention, arithmetic and memory of all operators within the block."""

    def __init__(self, kept: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.flops = 0
        self.attention: Counter[str] = Counter()
        """Calls of each attention operator with each triple of types."""
        self.elementwise_bytes = 0
        """Read and written by whatever is no matrix product, convolution or attention."""
        self.mixed: set[str] = set()
        """Operators that were given tensors of two devices."""
        self.peak_bytes = 0
        self._bytes = 0
        self._known: set[int] = set()
        for tensor in [] if kept is None else [*kept.parameters(), *kept.buffers()]:
            self._hold(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        name = func.overloadpacket.__name__
        if len({one.device for one in given if one.ndim}) > 1 and name not in ("_to_copy", "copy_"):
            self.mixed.add(str(func))
        if "attention" in name and "backward" not in name:
            self.attention[f"{name} {' '.join(str(one.dtype).removeprefix('torch.') for one in given[:3])}"] += 1
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **kwargs, out_val=result)
        elif not self._is_view(func, given, made) and not name.startswith(NO_TRAFFIC):
            self.elementwise_bytes += sum(one.nbytes for one in (*given, *made) if one.is_cuda)
        for one in made:
            self._hold(one)
        return result

    @staticmethod
    def _is_view(func: Any, given: list[Tensor], made: list[Tensor]) -> bool:
        storages = {one.untyped_storage()._cdata for one in given}
        aliased = bool(made) and all(one.untyped_storage()._cdata in storages for one in made)
        return aliased and not func._schema.is_mutable

    def _hold(self, tensor: Tensor) -> None:
        """Count the memory of ``tensor`` from now until nothing uses it."""
        storage = tensor.untyped_storage()
        if not tensor.is_cuda or storage._cdata in self._known:
            return
        size, key = storage.nbytes(), storage._cdata
        self._known.add(key)
        self._bytes += size
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._bytes -= size
