"""What a mistyped name was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

CLOSE = 0.6
"""Share of letters that must agree."""


def nearest(word: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Up to ``most`` of ``names`` that are near to ``word``, the nearest first.

    Of dotted names the last part counts too: who types ``--lmbda`` means ``--stage2.lmbda``.

    Example:
        >>> nearest("--model.adapter.kk", ["--model.adapter.k", "--name", "--model.adapter.rank"])[0]
        '--model.adapter.k'
        >>> nearest("--lmbda", ["--stage2.lmbda", "--runs"])
        ['--stage2.lmbda']
    """
    names = list(dict.fromkeys(names))
    ends: dict[str, list[str]] = {}
    for name in names:
        ends.setdefault(_end(name), []).append(name)
    if "." not in word and _end(word) in ends:
        return ends[_end(word)][:most]
    whole = get_close_matches(word, names, most, CLOSE)
    parts = [name for end in get_close_matches(_end(word), ends, most, CLOSE) for name in ends[end]]
    return list(dict.fromkeys([*whole, *parts]))[:most]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """``"; did you mean A or B?"``, or nothing where no name is near.

    Example:
        >>> did_you_mean("sqeeze", ["squeeze", "crop"])
        '; did you mean squeeze?'
    """
    found = nearest(word, names)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _end(name: str) -> str:
    return name.rpartition(".")[2].lstrip("-").lower()
