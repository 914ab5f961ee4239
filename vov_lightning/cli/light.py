"""diffusers without the packages that only its pipelines need: nano starts 2 CPU-seconds sooner where they are there.

diffusers finds out once in a process what is installed. So only a process that a command owns may hide packages from
it: in a notebook, diffusers' LoRA loaders and pipelines would be gone.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

UNUSED = ("accelerate", "peft", "scipy", "torchvision", "transformers")
"""What diffusers imports where it is installed, and nano never uses."""
LIGHT_BASES = ("nano",)
"""Registered names of the models whose transformer is all that is needed of diffusers."""

_own_process = False


def own_process() -> None:
    """Declare that this process runs one command and nothing else."""
    global _own_process
    _own_process = True


def prepare_for(base_name: str) -> None:
    """Import diffusers without `UNUSED` for one of `LIGHT_BASES`, in a process that a command owns."""
    if _own_process and base_name in LIGHT_BASES:
        with hidden(*UNUSED):
            import_module("diffusers.models.transformers")


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Within the block, those ``packages`` that are not imported yet look as if they were not installed."""
    absent = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: Python's mark for "not to be found"
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
