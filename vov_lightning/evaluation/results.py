"""Every figure of an evaluation in one tree, and the files that it is written to."""

import csv
import io
import json
import shlex
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from vov_lightning.errors import RunError
from vov_lightning.evaluation.module import BOUND, EvaluationModule
from vov_lightning.evaluation.report import bd_rates
from vov_lightning.evaluation.report.build import SCHEMA
from vov_lightning.files import atomic_write
from vov_lightning.runs.history import read_history

COLUMNS = ("clip", "method", "rate", "bytes", "bpp", "frames", "height", "width", "fps")
"""Columns of the table before the metrics."""

CURVES = {
    "train/distortion": "distortion",
    "val/psnr_db": "psnr_db",
    "val/bpp": "bpp",
    "val/flow_loss": "flow_loss",
}
"""What a run's history logs, and the names in the tree."""

Record = dict[str, Any]


def about(settings: Record, environment: Record) -> Record:
    """Command, date, versions, machine and settings, to repeat the evaluation."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **environment,
        "settings": settings,
    }


def assemble(found: EvaluationModule, about: Record) -> Record:
    """Tree of all results that ``found`` holds after its test, points in the order of tables.

    Args:
        found: An evaluation that has run.
        about: See `about`.
    """
    order = list(found.methods)
    tell_apart(found.points, found.unreachable, found.diagnostics)
    bounds = autoencoder_bounds(found.points)
    coded = [point for point in found.points if point["method"] != BOUND]
    coded.sort(key=lambda point: (point["rate"], point["clip"], order.index(point["method"])))
    coded = [{"id": number, **point} for number, point in enumerate(coded)]
    sets = set_means(coded)
    for mean in sets:
        whole = found.set_figures.get((mean["method"], mean["rate"]), {"figures": {}, "reasons": {}})
        mean["figures"] |= whole["figures"]
        reasons = mean["reasons"] | whole["reasons"]
        mean["reasons"] = {key: why for key, why in reasons.items() if mean["figures"][key] is None}
    sets.sort(key=lambda mean: (mean["rate"], order.index(mean["method"])))
    return {
        "schema": SCHEMA,
        "about": about,
        "metrics": found.infos,
        "methods": found.methods,
        "points": coded,
        "bounds": bounds,
        "unreachable": found.unreachable,
        "failures": found.failures,
        "sets": sets,
        "bd_rate": bd_rates(coded, found.infos),
        "fits": fit_curves(coded),
        "diagnostics": found.diagnostics,
    }


def autoencoder_bounds(points: Iterable[Record]) -> dict[str, Record]:
    """Figures of the autoencoder alone by clip; none for a clip whose files have different autoencoders."""
    bounds: dict[str, dict[str, Record]] = {}
    for point in points:
        if point["method"] == BOUND:
            bounds.setdefault(point["clip"], {})[point["coded"]] = point["figures"]
    return {clip: next(iter(found.values())) for clip, found in bounds.items() if len(found) == 1}


def tell_apart(points: list[Record], *others: list[Record]) -> None:
    """Rename clips that share a name but have different sources, or one source at different sizes.

    Args:
        points: Records of files.
        *others: Records of the same clips that are renamed with them.
    """
    sources: dict[str, set[str]] = {}
    for point in points:
        sources.setdefault(point["clip"], set()).add(point["source"])
    for record in chain(points, *others):
        if len(sources[record["clip"]]) > 1:
            record["clip"] = f"{record['clip']} ({record['source'][:6]})"


def fit_curves(points: Iterable[Record]) -> list[Record]:
    """The course of each file's fit, where its run folder holds it; None between validations."""
    curves = []
    for point in points:
        try:
            rows = course_of(Path(point["file"])) if point["file"] else []
        except RunError as error:
            print(f"no curve of {point['file']}: {error}", file=sys.stderr)
            rows = []
        if rows:
            series = {name: [row.get(key) for row in rows] for key, name in CURVES.items()}
            steps = [row["step"] for row in rows]
            curves.append({"clip": point["clip"], "rate": point["rate"], "steps": steps, "curves": series})
    return curves


def course_of(file: Path) -> list[Record]:
    """History of the fit of ``file``, which for a joint fit lies a folder higher; empty without one."""
    return read_history(file.parent) or read_history(file.parents[1])


def set_means(points: Iterable[Record]) -> list[Record]:
    """Means over the clips of each method at each rate.

    A figure that one of the clips lacks has no mean: over the others it would be of another set.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for point in points:
        groups.setdefault((point["method"], point["rate"]), []).append(point)
    means = []
    for (method, rate), group in groups.items():
        figures, reasons = {}, {}
        for key in group[0]["figures"]:
            values = {point["clip"]: point["figures"][key] for point in group}
            lacking = [clip for clip, value in values.items() if value is None]
            figures[key] = None if lacking else fmean(values.values())
            if lacking:
                first = next(point for point in group if point["clip"] == lacking[0])
                reasons[key] = f"{lacking[0]}: {first['reasons'].get(key, 'no value')}"
        mean = {"method": method, "rate": rate, "clips": len(group)}
        mean |= {key: fmean(point[key] for point in group) for key in ("bytes", "bpp")}
        means.append({**mean, "figures": figures, "reasons": reasons})
    return means


def to_csv(results: Record) -> str:
    """A line a point, a column a metric; empty where there is no value."""
    metrics = list(results["metrics"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *metrics, "encode_s", "decode_s", "file"])
    for point in results["points"]:
        row = [point[key] for key in COLUMNS] + [point["figures"].get(key) for key in metrics]
        writer.writerow([*row, point["encode_s"], point["decode_s"], point["file"]])
    return text.getvalue()


def write_results(folder: Path, results: Record) -> list[Path]:
    """Write ``results.json`` and ``results.csv``; their paths."""
    tree = json.dumps(results, indent=2, allow_nan=False) + "\n"
    texts = {"results.json": tree, "results.csv": to_csv(results)}
    for name, text in texts.items():
        atomic_write(folder / name, text.encode())
    return [folder / name for name in texts]


def format_results(results: Record) -> str:
    """The table that ends an evaluation: a line for each method at each rate, and what is missing."""
    metrics = results["metrics"]
    rows = [["rate", "method", "clips", "bytes", "bpp", *metrics]]
    for mean in results["sets"]:
        figures = (_shown(mean["figures"].get(key), info["digits"]) for key, info in metrics.items())
        size = (str(mean["clips"]), _shown(mean["bytes"], 0), _shown(mean["bpp"], 4))
        rows.append([mean["rate"], mean["method"], *size, *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"{lost['clip']} at {lost['rate']}: {lost['reason']}" for lost in results["unreachable"]]
    return "\n".join(lines)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
