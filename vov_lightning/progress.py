"""Progress of the sampler, which takes minutes on large models and long clips."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from tqdm import tqdm

Progress = Callable[[Iterable], Iterable]
"""Wraps an iteration over steps; ``iter`` shows nothing."""
T = TypeVar("T")


def step_bar(title: str, shown: bool = True) -> Progress:
    """A bar with the time left, which vanishes when done."""
    return partial(tqdm, desc=title, unit="step", leave=False, disable=not shown)


class ClipBar:
    """One bar over all frames of a clip, with the time left; a `Progress` of the steps of the segment at hand.

    Args:
        title: What is being done.
        num_frames: Frames of the clip.
        shown: Whether there is a bar at all.
    """

    def __init__(self, title: str, num_frames: int, shown: bool = True) -> None:
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total} frames [{elapsed}<{remaining}]"
        self._bar = tqdm(total=num_frames, desc=title, leave=False, disable=not shown, bar_format=form)
        self._done, self._current = 0, 0

    def over(self, segments: Iterable[T], frames_of: Callable[[T], int]) -> Iterator[T]:
        """``segments``, each counted as done when the next one is asked for."""
        for segment in segments:
            self._current = frames_of(segment)
            yield segment
            del segment  # the next one is made in its memory
            self._done += self._current
            self._move_to(self._done)

    def __call__(self, steps: Iterable[T]) -> Iterator[T]:
        steps = list(steps)
        for number, step in enumerate(steps, start=1):
            yield step
            self._move_to(self._done + self._current * number / len(steps))

    def _move_to(self, frames: float) -> None:
        self._bar.update(max(0.0, frames - self._bar.n))  # a search samples a segment more than once

    def __enter__(self) -> "ClipBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
