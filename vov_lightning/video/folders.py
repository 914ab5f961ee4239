"""Frames of a folder in the order of their numbers, and a word about numbers that are missing or repeated."""

import re
from itertools import pairwise
from pathlib import Path

NUMBER = re.compile(r"(\d+)")


def in_order(files: list[Path]) -> list[Path]:
    """``files`` in natural order: ``a2`` before ``a10``, ``a_-1`` before ``a_0``; the plain name breaks ties.

    A dash before a number is its sign at the beginning of a name, after a mark such as ``_``, and where the same name
    occurs without it (``f-1.png`` beside ``f1.png``). Otherwise it separates (``take-1.png``, ``2024-01-15.png``).
    """
    heads = {head for file in files for head, _ in _heads(file.name)}
    return sorted(files, key=lambda file: _key(file.name, heads))


def what_is_odd(files: list[Path]) -> str | None:
    """A word about frame numbers that are missing or occur twice among ordered ``files``; ``None`` if all is well.

    The frame number is the one that differs between names; where names differ elsewhere too there is none. Equal steps
    (every tenth frame) are no gaps.
    """
    heads = {head for file in files for head, _ in _heads(file.name)}
    keys = [_key(file.stem, heads)[0] for file in files]
    if len({len(key) for key in keys}) != 1:
        return None
    differing = [place for place in range(len(keys[0])) if len({key[place] for key in keys}) > 1]
    if len(differing) != 1 or keys[0][differing[0]][0] == 0:
        return None
    numbers = [key[differing[0]][1] for key in keys]
    twice = [number for number, after in pairwise(numbers) if number == after]
    if twice:
        return f"has two files for {len(twice)} frame number(s), such as {twice[0]}; each is read as a frame of its own"
    steps = [after - before for before, after in pairwise(numbers)]
    step = min(steps, default=1)
    num_missing = sum(gap // step - 1 for gap in steps)
    if len(set(steps)) < 2 or num_missing == 0:
        return None
    before = next(number for number, gap in zip(numbers, steps, strict=False) if gap > step)
    return (
        f"lacks {num_missing} frame number(s) between {numbers[0]} and {numbers[-1]}, the first after {before}; the "
        "others are read as if they followed each other, so add the missing ones, or renumber if that is meant"
    )


def _heads(name: str) -> list[tuple[str, str]]:
    """What stands before each number of ``name``, and the number."""
    return [(name[: match.start()], match[1]) for match in NUMBER.finditer(name)]


def _key(name: str, heads: set[str]) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Alternating text ``(0, 0, text)`` and numbers ``(1, number, "")``."""
    parts: list[tuple[int, int, str]] = []
    position = 0
    for match in NUMBER.finditer(name):
        head = name[: match.start()]
        text, number = name[position : match.start()], int(match[1])
        if head.endswith("-") and _is_sign(head, heads):
            text, number = text[:-1], -number
        parts += [(0, 0, text.lower()), (1, number, "")]
        position = match.end()
    parts.append((0, 0, name[position:].lower()))
    return tuple(parts), name


def _is_sign(head: str, heads: set[str]) -> bool:
    before = head[:-1]
    return not before or not (before[-1].isalnum() or before[-1] in "- ") or before in heads
