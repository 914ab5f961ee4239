"""A page with the report's player alone: one clip, its source and what was decoded from it, to look at side by side."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vov_lightning.evaluation.report.build import fill
from vov_lightning.evaluation.report.frames import encode_frames

SCRIPTS = ("dom.js", "charts.js", "tables.js", "stage.js", "player.js", "compare.js")
METRIC = {"label": "PSNR", "unit": "dB", "higher_is_better": True, "digits": 2, "description": "Of the mean error."}


def build_comparison(source: Tensor, shown: Mapping[str, Tensor], fps: str, facts: Mapping[str, Any]) -> str:
    """The text of an HTML page that fetches nothing and plays ``source`` beside every clip of ``shown``.

    Args:
        source: Frames ``[T, 3, H, W]`` uint8.
        shown: Frames of the same size, by what they are called.
        fps: Frame rate as text, such as ``30000/1001``.
        facts: ``name``, ``bytes``, ``bpp`` of the file, and ``psnr_db`` by the names of ``shown``, where known.
    """
    points = [
        {
            "id": number,
            "clip": facts["name"],
            "method": label,
            "rate": f"{facts['bytes']} bytes",
            "bytes": facts["bytes"],
            "bpp": facts["bpp"],
            "fps": fps,
            "figures": {"psnr_db": facts["psnr_db"].get(label)},
            "reasons": {"psnr_db": "not meant to equal the source"},
            "per_frame": {},
        }
        for number, label in enumerate(shown)
    ]
    results = {
        "methods": {label: {"label": label} for label in shown},
        "points": points,
        "metrics": {"psnr_db": METRIC},
    }
    images = {
        "source": encode_frames(source),
        "points": {str(number): encode_frames(frames) for number, frames in enumerate(shown.values())},
    }
    return fill("compare.html", SCRIPTS, {"RESULTS": results, "FRAMES": images})
