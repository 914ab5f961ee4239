"""Frame rates from timestamps.

Containers state rates that their timestamps contradict: DV states its clock, Matroska the rate before a pause, phones a
round number. So the timestamps decide: a rate that explains every one of them to a tick of the clock (a millisecond in
Matroska, which cannot express 30000/1001) is the clip's exact rate, and where none does, the rate varies and the clip's
is the average.
"""

from collections.abc import Sequence
from fractions import Fraction

STANDARD_RATES = tuple(
    Fraction(numerator, denominator)
    for numerator, denominator in (
        (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1),
        (120000, 1001), (120, 1), (240, 1), (12, 1), (15000, 1001), (15, 1), (10, 1), (5, 1), (1, 1),
    )
)  # fmt: skip


def rate_of(
    ticks: Sequence[int], time_base: Fraction, stated: Sequence[Fraction], last_duration: int
) -> tuple[Fraction | None, bool]:
    """Frames per second of a clip, and whether frame ``i`` is shown at ``i / rate`` to a tick.

    Args:
        ticks: When each frame is shown, ascending.
        time_base: Seconds of a tick.
        stated: Rates that the file states, the likeliest first; taken where the timestamps agree.
        last_duration: How many ticks the last frame is shown; 0 if unknown.

    Returns:
        The rate, or ``None`` where neither timestamps nor the file give one.

    Example:
        >>> rate_of([0, 33, 67, 100, 133], Fraction(1, 1000), [Fraction(30000, 1001)], 33)
        (Fraction(30000, 1001), True)
        >>> rate_of([0, 40, 80, 2120], Fraction(1, 1000), [Fraction(25)], 40)
        (Fraction(75, 53), False)
    """
    if len(ticks) > 1 and ticks[-1] > ticks[0]:
        for rate in (*stated, *STANDARD_RATES):
            if _explains(rate, ticks, time_base):
                return rate, True
        return _short(Fraction(len(ticks) - 1, ticks[-1] - ticks[0]) / time_base), False
    if len(ticks) == 1 and last_duration > 0:
        shown_s = last_duration * time_base
        for rate in (*stated, *STANDARD_RATES):
            if abs(1 / rate - shown_s) <= time_base / 2:
                return rate, True
        return _short(1 / shown_s), True
    return (stated[0] if stated else None), True


def _explains(rate: Fraction, ticks: Sequence[int], time_base: Fraction) -> bool:
    """Whether every frame is shown within a tick of its place at a constant ``rate``."""
    # |(t_i - t_0) * time_base - i / rate| <= time_base, in integers
    step, tick = rate.denominator * time_base.denominator, time_base.numerator * rate.numerator
    return all(abs((time - ticks[0]) * tick - index * step) <= tick for index, time in enumerate(ticks))


def _short(rate: Fraction) -> Fraction:
    """``rate`` to about a millionth, in numbers that a file header takes."""
    return rate.limit_denominator(1000) if rate >= 1 else 1 / (1 / rate).limit_denominator(1000)
