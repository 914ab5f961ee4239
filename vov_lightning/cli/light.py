"""diffusers without what `nano` does not use of it: a command starts some CPU-seconds sooner.

diffusers finds out once in a process what is installed, and marks what a compiler skips as it is imported. So only a
process that a command owns may do without: in a notebook, diffusers' LoRA loaders and pipelines would be gone.
"""

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

UNUSED = ("accelerate", "peft", "scipy", "torch._dynamo", "torchvision", "transformers")
"""What diffusers does without where it is not installed. The compiler is for a model that is compiled."""
LAZY = ("torch.nn.attention.flex_attention", "diffusers.models.transformers")
"""What diffusers imports and nano never uses: attention that must be compiled, and the transformers of all models."""
TRANSFORMERS = {"nano": "diffusers.models.transformers.transformer_wan"}
"""Registered names of the models whose transformer is all that is needed of diffusers, and where that lies."""

_own_process = False


def own_process() -> None:
    """Declare that this process runs one command and nothing else."""
    global _own_process
    _own_process = True


def prepare_for(base_name: str) -> None:
    """Import what one of `TRANSFORMERS` needs of diffusers and no more, in a process that a command owns."""
    if _own_process and base_name in TRANSFORMERS:
        from unittest.mock import patch  # asyncio comes with it: more than a file's description takes

        import torch

        marks = patch.object(torch.compiler, "disable", unmarked)
        # It reads the file lists of all installed distributions, to name them where something is missing.
        names = patch.object(importlib.metadata, "packages_distributions", dict)
        with hidden(*UNUSED), marks, names:
            for name in LAZY:
                import_lazily(name)
            import_module(TRANSFORMERS[base_name])


def import_lazily(name: str) -> None:
    """Import the module ``name`` without running it; it runs when something is looked up in it.

    Unlike `importlib.util.LazyLoader`, a package stays lazy while its submodules are imported.
    """
    spec = find_spec(name)
    if spec is None or name in sys.modules:
        return
    module = sys.modules[name] = module_from_spec(spec)
    module.__class__ = _LazyModule
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)


class _LazyModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        module: Any = self
        module.__class__ = ModuleType
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def unmarked(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
    """`torch.compiler.disable` as a decorator that leaves a function as it is.

    Example:
        >>> @unmarked(recursive=False)
        ... def one() -> int:
        ...     return 1
        >>> unmarked(one)()
        1
    """
    return unmarked if function is None else function


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Within the block, those ``packages`` that are not imported yet look as if they were not installed."""
    absent = [package for package in packages if package not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))  # None is Python's mark for "not to be found"
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
