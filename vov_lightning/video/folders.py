"""Frames of a folder in the order of their numbers, and a word about numbers that are missing."""

import re
from itertools import pairwise
from pathlib import Path

Key = tuple[tuple[tuple[int, int, str], ...], str]

NUMBER = re.compile(r"(\d+)")


def in_order(files: list[Path]) -> list[Path]:
    """``files`` in natural order: ``a2`` before ``a10``, ``a_-1`` before ``a_0``; the plain name breaks ties.

    A dash before a number is its sign at the beginning of a name, after a mark such as ``_``, and where the same name
    occurs without it (``f-1.png`` beside ``f1.png``). Otherwise it separates (``take-1.png``, ``2024-01-15.png``).
    """
    heads = {head for file in files for head, _ in _heads(file.name)}
    return sorted(files, key=lambda file: _key(file.name, heads))


def missing_numbers(files: list[Path]) -> list[int]:
    """Frame numbers that are missing between the first and the last of ``files``; none where all steps are equal.

    The frame number is the last number of a name that differs between files; names that differ elsewhere too are not
    one numbered sequence, and nothing is missing.
    """
    heads = {head for file in files for head, _ in _heads(file.name)}
    keys = [_key(file.stem, heads)[0] for file in files]
    if len({len(key) for key in keys}) != 1:
        return []
    differing = [place for place in range(len(keys[0])) if len({key[place] for key in keys}) > 1]
    if len(differing) != 1 or any(key[differing[0]][0] == 0 for key in keys):
        return []
    numbers = sorted({key[differing[0]][1] for key in keys})
    steps = [after - before for before, after in pairwise(numbers)]
    if len(set(steps)) < 2:
        return []
    step = min(steps)
    return [n for before, after in pairwise(numbers) for n in range(before + step, after, step)]


def _heads(name: str) -> list[tuple[str, str]]:
    """What stands before each number of ``name``, and the number."""
    return [(name[: match.start()], match[1]) for match in NUMBER.finditer(name)]


def _key(name: str, heads: set[str]) -> Key:
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
