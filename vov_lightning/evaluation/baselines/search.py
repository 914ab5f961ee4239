"""The setting whose stream has the wanted size, in few encodings."""

import math
from collections.abc import Callable

from vov_lightning.evaluation.baselines.base import UnreachableError

TOLERANCE = 0.05
"""Relative distance from the target within which the nearest stream counts."""
NEAR_ENOUGH = 0.01
"""Relative distance at which the search stops."""


def match_size(size_of: Callable[[int], int], num_settings: int, num_bytes: int, settings_per_octave: float) -> int:
    """Setting whose stream comes nearest to ``num_bytes``, by the rule of ``base.py``.

    Settings are tried by interpolating the logarithm of the size and by halving what is left, in turn, so that
    neither a bend in the curve nor a floor of headers makes it slow. Sizes are taken to grow with the setting; where
    they do not quite, the best of what was tried counts.

    Args:
        size_of: Bytes of the stream at a setting, in [0, num_settings); the larger the setting, the larger the stream.
            Asked once for each setting.
        num_settings: How many there are.
        num_bytes: Wanted bytes.
        settings_per_octave: About how many settings double the size; only the first guesses depend on it.

    Raises:
        UnreachableError: If even the first setting's stream is too large.

    Example:
        >>> match_size(lambda setting: 2**setting, 10, num_bytes=130, settings_per_octave=1.0)
        7
    """
    sizes: dict[int, int] = {}
    low, high = -1, num_settings  # settings known to be too small, too large
    index, interpolate = num_settings // 2, True
    while high - low > 1:
        index = min(max(index, low + 1), high - 1)
        size = sizes[index] = size_of(index)
        if abs(size - num_bytes) <= NEAR_ENOUGH * num_bytes:
            break
        low, high = (index, high) if size < num_bytes else (low, index)
        if not interpolate:
            index = (low + high) // 2
        elif low in sizes and high in sizes and sizes[low] < sizes[high]:
            share = math.log(num_bytes / sizes[low]) / math.log(sizes[high] / sizes[low])
            index = low + round(share * (high - low))
        else:
            index += round(settings_per_octave * math.log2(num_bytes / size))
        interpolate = not interpolate
    return _best(sizes, num_bytes)


def _best(sizes: dict[int, int], num_bytes: int) -> int:
    """The setting that counts, of those that were tried."""
    nearest = min(sizes, key=lambda setting: abs(sizes[setting] - num_bytes))
    if abs(sizes[nearest] - num_bytes) <= TOLERANCE * num_bytes:
        return nearest
    above = [setting for setting in sizes if sizes[setting] > num_bytes]
    if len(above) == len(sizes):
        raise UnreachableError(
            f"{num_bytes} bytes are out of reach: the smallest stream of all settings has {min(sizes.values())}; "
            "compare at a higher rate, or leave this baseline out"
        )
    return min(above, key=sizes.__getitem__) if above else max(sizes, key=sizes.__getitem__)
