"""Figures as files and tables hold them: JSON knows no infinity, and a picture without loss has an infinite PSNR."""

import math
from collections.abc import Iterable


def finite(value: float) -> float | None:
    """``value``, or None where it is infinite: the PSNR of equal pictures.

    Example:
        >>> finite(30.0), finite(math.inf)
        (30.0, None)
    """
    return value if math.isfinite(value) else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of at least one figure; None, for infinite, if one is."""
    found = [math.inf if value is None else value for value in values]
    return finite(sum(found) / len(found))


def format_db(value: float | None, unit: str = " dB") -> str:
    """A PSNR for a person.

    Example:
        >>> format_db(30.0), format_db(None)
        ('30.00 dB', 'no loss')
    """
    return "no loss" if value is None else f"{value:.2f}{unit}"
