"""An evaluation in W&B: a table with videos, curves, and the files as an artifact."""

import tempfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import wandb
from torch import Tensor

from vov_lightning.fitting.tracking import RunLogger, media_of
from vov_lightning.video import Signal, side_by_side

COLUMNS = ("clip", "method", "rate", "bytes", "bpp")
MEDIA = {"source and decoded": wandb.Video, "source and decoded, still": wandb.Image}
"""Columns of the pictures: W&B takes one kind in each."""


def log_evaluation(
    logger: RunLogger,
    results: dict[str, Any],
    frames: Mapping[int, Tensor],
    sources: Mapping[str, Tensor],
    files: list[Path],
) -> None:
    """Log ``results``.

    Args:
        logger: Where to; without ``media`` neither videos nor files are logged.
        results: The tree of ``results.json``.
        frames: Decoded frames ``[T, 3, H, W]`` uint8 by the points' numbers.
        sources: Frames of the clips by their names.
        files: What goes into the artifact.
    """
    run, metrics = logger.experiment, results["metrics"]
    with tempfile.TemporaryDirectory() as folder:
        made: list[Any] = []
        for point in results["points"] if logger.media else ():
            pair = (sources[point["clip"]], frames[point["id"]])
            shown = side_by_side(*(Signal(clip, Fraction(point["fps"]), point["clip"]) for clip in pair))
            made.append(media_of(shown, Path(folder) / f"{point['id']}.mp4"))
        kinds = {name: kind for name, kind in MEDIA.items() if any(isinstance(one, kind) for one in made)}
        table = wandb.Table(columns=[*COLUMNS, *metrics, *kinds])
        for number, point in enumerate(results["points"]):
            row = [point[key] for key in COLUMNS] + [point["figures"].get(key) for key in metrics]
            table.add_data(*row, *(made[number] if isinstance(made[number], kind) else None for kind in kinds.values()))
        run.log({"evaluation/points": table, **curves(results)})
    if logger.media:
        artifact = wandb.Artifact("evaluation", type="evaluation")
        for path in files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)


def curves(results: dict[str, Any]) -> dict[str, Any]:
    """A chart for every metric that has values: means over clips against bits per pixel, a line a method.

    Means over fewer clips than others have at the same rate are left out.
    """
    most: dict[str, int] = {}
    for mean in results["sets"]:
        most[mean["rate"]] = max(most.get(mean["rate"], 0), mean["clips"])
    charts = {}
    for key, metric in results["metrics"].items():
        lines: dict[str, list[tuple[float, float]]] = {}
        for mean in results["sets"]:
            if mean["figures"].get(key) is not None and mean["clips"] == most[mean["rate"]]:
                lines.setdefault(mean["method"], []).append((mean["bpp"], mean["figures"][key]))
        if lines:
            points = [sorted(line) for line in lines.values()]
            charts[f"evaluation/{key}"] = wandb.plot.line_series(
                xs=[[bpp for bpp, _ in line] for line in points],
                ys=[[value for _, value in line] for line in points],
                keys=[results["methods"][name]["label"] for name in lines],
                title=metric["label"],
                xname="bits per pixel",
            )
    return charts
