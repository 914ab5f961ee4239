"""Frame rates from timestamps.

Containers state rates that their timestamps contradict: DV states its clock, Matroska the rate before a pause, phones a
round number. So the timestamps decide: a rate that explains every one of them, to a tick of the clock (a millisecond in
Matroska, which cannot express 30000/1001) or 2 % of a frame (MPEG-PS, where most are interpolated), is the clip's exact
rate, and where none does, the rate varies and the clip's is the average.
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
    """Frames per second of a clip, and whether frame ``i`` is shown at ``i / rate``.

    Args:
        ticks: When each frame is shown, ascending; empty if unknown.
        time_base: Seconds of a tick.
        stated: Rates that the file states, the likeliest first; taken where the timestamps agree.
        last_duration: How many ticks the last frame is shown; 0 if unknown. Decides where there are no two times.

    Returns:
        The rate, or ``None`` where neither timestamps nor the file give one.

    Example:
        >>> rate_of([0, 33, 67, 100, 133], Fraction(1, 1000), [Fraction(30000, 1001)], 33)
        (Fraction(30000, 1001), True)
        >>> rate_of([0, 40, 80, 2120], Fraction(1, 1000), [Fraction(25)], 40)
        (Fraction(75, 53), False)
    """
    if len(ticks) > 1 and ticks[-1] > ticks[0]:
        average = Fraction(len(ticks) - 1, ticks[-1] - ticks[0]) / time_base
    elif last_duration > 0:
        average = Fraction(1, last_duration) / time_base
        ticks = (0, last_duration)
    else:
        return (stated[0] if stated else None), True
    frame_s = 1 / average
    # A clock that ticks but once or twice a frame is made for the rate (AVI, Y4M) and rounds nothing.
    for tolerance_s in (time_base if 3 * time_base < frame_s else Fraction(0), frame_s / 50):
        for rate in _candidates(stated, average):
            if _explains(rate, ticks, time_base, tolerance_s):
                return rate, True
    return _short(average), False


def _candidates(stated: Sequence[Fraction], average: Fraction) -> list[Fraction]:
    """Rates to try: stated ones, corrected to a standard one next to it (59.94 is stated as 19001/317), then others."""
    nearest = sorted(STANDARD_RATES, key=lambda rate: abs(rate - average))
    corrected = [rate for guess in stated for rate in nearest if abs(rate - guess) < guess / 5000]
    return [*corrected, *nearest, *stated, _short(average)]


def _explains(rate: Fraction, ticks: Sequence[int], time_base: Fraction, tolerance_s: Fraction) -> bool:
    """Whether frame ``i`` is shown ``tolerance_s`` from ``i / rate`` at most."""
    # |(t_i - t_0) * time_base - i / rate| <= tolerance_s, in integers
    step, tick = rate.denominator * time_base.denominator, time_base.numerator * rate.numerator
    limit = int(tolerance_s * rate.numerator * time_base.denominator)
    return all(abs((time - ticks[0]) * tick - index * step) <= limit for index, time in enumerate(ticks))


def _short(rate: Fraction) -> Fraction:
    """``rate`` to about a millionth, in numbers that a file header takes."""
    return rate.limit_denominator(1000) if rate >= 1 else 1 / (1 / rate).limit_denominator(1000)
