"""Bjontegaard-delta rates: how many more bits a method needs for the same quality, per clip and metric.

Over the range of quality that both curves of a clip reach, the difference of their logarithmic rates is averaged and
expressed in percent (G. Bjontegaard, VCEG-M33, 2001), by the package `bjontegaard` of C. Herglotz, H. Och et al. with
piecewise cubic Hermite interpolation: it passes through the points, never overshoots between them, and is defined for
the three rates of the paper, where the original's cubic fit needs four.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vov_lightning.errors import SettingError

INTERPOLATION = "pchip"
MIN_POINTS = 3
MIN_OVERLAP = 0.25

RULE = (
    "Percent of bits that a method needs more (+) or fewer (\u2212) than the anchor at equal quality: \u221220 % means "
    "a fifth of the bits saved. Each clip by itself, then the mean over clips. Curves are interpolated by pchip in the "
    f"logarithm of the rate, and must have at least {MIN_POINTS} rates, get better with every further bit, and share "
    f"at least {MIN_OVERLAP:.0%} of the range of quality that either covers; otherwise there is no number, and the "
    "reason is given. A mean over fewer clips than there are says so."
)

Point = tuple[float, float]  # bits per pixel; quality, larger is better


def bd_rates(
    points: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]], anchor: str = "vov"
) -> list[dict[str, Any]]:
    """BD-rate of every method against ``anchor``, as the entries ``bd_rate`` of results.json.

    Args:
        points: The entries ``points`` of results.json; ``clip``, ``method``, ``bpp`` and ``figures`` are read.
        metrics: The entries ``metrics``; figures of which lower is better are negated.
        anchor: Method that the others are compared with.

    Returns:
        One entry a (method, metric): ``clips`` has the percentage of every clip or None, ``mean`` is over the clips
        that have one (None if there is none), and ``reason`` says why clips are missing (None if none is). Positive:
        more bits than the anchor. The rule is in `RULE`.

    Raises:
        SettingError: If there are points, but none of ``anchor``.

    Example:
        >>> rates = {"vov": [0.1, 0.2, 0.4], "x265": [0.2, 0.4, 0.8]}
        >>> points = [{"clip": "bus", "method": method, "bpp": bpp, "figures": {"psnr_db": 20.0 + i}}
        ...           for method in rates for i, bpp in enumerate(rates[method])]
        >>> [entry] = bd_rates(points, {"psnr_db": {"higher_is_better": True}})
        >>> entry["method"], entry["clips"]
        ('x265', {'bus': 100.0})
    """
    clips = _unique(point["clip"] for point in points)
    methods = _unique(point["method"] for point in points)
    if points and anchor not in methods:
        raise SettingError(f"anchor={anchor!r} has no point; choose one of {', '.join(methods)}")
    entries = []
    for method in methods:
        for metric in metrics if method != anchor else ():
            sign = 1.0 if metrics[metric]["higher_is_better"] else -1.0
            outcomes: dict[str, float | str] = {}
            for clip in clips:
                ours, theirs = (_curve(points, clip, name, metric, sign) for name in (anchor, method))
                outcomes[clip] = _why_not(ours, theirs, anchor, method) or _bd_rate(ours, theirs)
            entries.append(_entry(method, anchor, metric, outcomes))
    return entries


def _curve(points: Iterable[Mapping[str, Any]], clip: str, method: str, metric: str, sign: float) -> list[Point]:
    """Points with this figure, by rising rate."""
    chosen = (point for point in points if (point["clip"], point["method"]) == (clip, method))
    return sorted((p["bpp"], sign * p["figures"][metric]) for p in chosen if p["figures"].get(metric) is not None)


def _why_not(ours: list[Point], theirs: list[Point], anchor: str, method: str) -> str | None:
    """Why there is no BD-rate of these two curves; None if there is one."""
    for name, curve in ((anchor, ours), (method, theirs)):
        if len(curve) < MIN_POINTS:
            return f"{name} has {len(curve)} rates with this figure, {MIN_POINTS} are needed"
        if any(after[0] <= before[0] or after[1] <= before[1] for before, after in itertools.pairwise(curve)):
            return f"{name} does not get better with every further bit"
    (low, high), (other_low, other_high) = ((curve[0][1], curve[-1][1]) for curve in (ours, theirs))
    shared = min(high, other_high) - max(low, other_low)
    if shared <= 0:
        return "the curves reach no common quality"
    share = shared / (max(high, other_high) - min(low, other_low))
    if share < MIN_OVERLAP:
        return f"the curves share less than {MIN_OVERLAP:.0%} of their range of quality"
    return None


def _bd_rate(ours: list[Point], theirs: list[Point]) -> float:
    try:
        import bjontegaard  # here: with it comes matplotlib, which nothing else of the evaluation needs
    except ModuleNotFoundError as error:
        raise SettingError(f'BD-rates need the package {error.name!r}: pip install "vov_lightning[eval]"') from error
    curves = [np.asarray(axis, dtype=np.float64) for curve in (ours, theirs) for axis in zip(*curve, strict=True)]
    percent = bjontegaard.bd_rate(*curves, method=INTERPOLATION, require_matching_points=False, min_overlap=0)
    return round(float(percent), 6)


def _entry(method: str, anchor: str, metric: str, outcomes: Mapping[str, float | str]) -> dict[str, Any]:
    numbers = {clip: None if isinstance(outcome, str) else outcome for clip, outcome in outcomes.items()}
    valid = [number for number in numbers.values() if number is not None]
    reasons: dict[str, list[str]] = {}
    for clip, outcome in outcomes.items():
        if isinstance(outcome, str):
            reasons.setdefault(outcome, []).append(clip)
    words = [
        f"{', '.join(where) if valid or len(reasons) > 1 else 'every clip'}: {why}" for why, where in reasons.items()
    ]
    return {
        "method": method,
        "anchor": anchor,
        "metric": metric,
        "clips": numbers,
        "mean": sum(valid) / len(valid) if valid else None,
        "reason": "; ".join(words) or None,
    }


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
