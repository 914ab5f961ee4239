"""BD-rates: known differences come out, and there is no number where there is nothing to compare."""

import sys
from typing import Any

import numpy as np
import pytest

from vov_lightning.errors import SettingError
from vov_lightning.evaluation.report import bd_rates

METRICS = {"psnr_db": {"higher_is_better": True}, "dists": {"higher_is_better": False}}
RATES = (0.1, 0.2, 0.4, 0.8)


def curve(method: str, clip: str, factor: float = 1.0, rates=RATES, **changes: Any) -> list[dict[str, Any]]:
    """Points of a codec that needs ``factor`` times the bits of factor 1 for the same figures."""
    points = []
    for rate in rates:
        figures = {"psnr_db": 30 + 3 * np.log2(rate), "dists": 0.2 - 0.04 * np.log2(rate), **changes}
        points.append({"clip": clip, "method": method, "bpp": rate * factor, "figures": figures})
    return points


def only(entries: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    [entry] = [entry for entry in entries if entry["metric"] == metric]
    return entry


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.5])
def test_a_codec_that_needs_a_fixed_share_of_bits_has_that_bd_rate(metric, factor):
    points = curve("vov", "bus") + curve("x265", "bus", factor)
    entry = only(bd_rates(points, METRICS), metric)
    assert entry["clips"]["bus"] == pytest.approx(100 * (factor - 1), abs=1e-4)
    assert entry["mean"] == entry["clips"]["bus"]
    assert (entry["method"], entry["anchor"], entry["reason"]) == ("x265", "vov", None)


def test_the_order_of_the_points_does_not_matter():
    points = curve("vov", "bus") + curve("x265", "bus", 1.5)
    assert bd_rates(points[::-1], METRICS) == bd_rates(points, METRICS)


def test_three_rates_are_enough_and_numbers_of_rates_may_differ():
    points = curve("vov", "bus") + curve("x265", "bus", 2.0, rates=RATES[:3])
    assert only(bd_rates(points, METRICS), "psnr_db")["mean"] == pytest.approx(100, abs=1e-3)


def test_swapping_anchor_and_method_inverts_the_ratio():
    points = curve("vov", "bus") + curve("x265", "bus", 1.25)
    entry = only(bd_rates(points, METRICS, anchor="x265"), "psnr_db")
    assert (entry["method"], entry["anchor"]) == ("vov", "x265")
    assert entry["mean"] == pytest.approx(-20, abs=1e-3)


def test_the_mean_is_over_the_clips_that_have_a_number_and_the_others_are_named():
    points = curve("vov", "bus") + curve("x265", "bus", 1.5) + curve("vov", "foreman") + curve("x265", "foreman", 1.1)
    points += curve("vov", "mobile") + curve("x265", "mobile", rates=RATES[:2])
    entry = only(bd_rates(points, METRICS), "psnr_db")
    assert entry["clips"]["mobile"] is None
    assert entry["mean"] == pytest.approx(30, abs=1e-3)
    assert entry["reason"] == "mobile: x265 has 2 rates with this figure, 3 are needed"


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (curve("x265", "bus", rates=RATES[:2]), "every clip: x265 has 2 rates with this figure, 3 are needed"),
        (curve("x265", "bus", psnr_db=None), "every clip: x265 has 0 rates with this figure, 3 are needed"),
        ([], None),
        (curve("x265", "bus", rates=(4, 8, 16)), "every clip: the curves reach no common quality"),
        (
            curve("x265", "bus", rates=(0.6, 4, 8)),
            "every clip: the curves share less than 25% of their range of quality",
        ),
        (curve("x265", "bus", psnr_db=25.0), "every clip: x265 does not get better with every further bit"),
        (
            curve("x265", "bus", factor=0.0, rates=(1, 2, 4)),
            "every clip: x265 does not get better with every further bit",
        ),
    ],
)
def test_no_number_without_a_comparison(theirs, reason):
    entries = bd_rates(curve("vov", "bus") + theirs, {"psnr_db": METRICS["psnr_db"]})
    assert [entry["reason"] for entry in entries] == ([reason] if reason else [])
    assert all(entry["mean"] is None and entry["clips"] == {"bus": None} for entry in entries)


def test_an_empty_evaluation_has_no_bd_rates():
    assert bd_rates([], METRICS) == []


def test_an_unknown_anchor_is_refused():
    with pytest.raises(SettingError, match="anchor='vov' has no point; choose one of x265"):
        bd_rates(curve("x265", "bus"), METRICS)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(SettingError, match=r"'bjontegaard': pip install \"vov_lightning\[eval\]\""):
        bd_rates(curve("vov", "bus") + curve("x265", "bus"), METRICS)
