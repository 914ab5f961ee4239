"""Progress of the sampler, which takes minutes on large models."""

from collections.abc import Callable, Iterable
from functools import partial

from tqdm import tqdm

Progress = Callable[[Iterable], Iterable]
"""Wraps an iteration over steps; ``iter`` shows nothing."""


def step_bar(title: str, shown: bool = True) -> Progress:
    """A bar with the time left, which vanishes when done."""
    return partial(tqdm, desc=title, unit="step", leave=False, disable=not shown)
