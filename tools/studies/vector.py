"""What a vector is worth on whole clips: `nano.yaml` beside `instant.yaml` at the same bytes.

    python tools/studies/vector.py --clips DIR --frames 96 --bpp 0.01 0.02 0.04

Clips are coded as in `whole_clips.py`. For each clip: the BD-rate of the PSNR, and at each rate the vector's account
and the time of encoding relative to that without a vector. What is finished is verified and skipped, so the same
command goes on where it was interrupted.
"""

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from machine import about
from whole_clips import code, study

from vov_lightning.evaluation.report.bd_rate import bd_rates

CONFIGS = ("instant", "nano")
METRICS = {"psnr_db": {"higher_is_better": True}}


def main() -> None:
    options, sources = study(__doc__, "vector")
    for config in CONFIGS:
        if status := code(options, sources, f"{config}.yaml", options.runs / config):
            sys.exit(status)
    result = {
        **about(threads=1),
        "frames": options.frames,
        "height": options.height,
        **comparison(options.runs, sorted(path.stem for path in sources.iterdir()), options.bpp),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["rows"][-1], indent=2))


def comparison(runs: Path, clips: list[str], rates: list[float]) -> dict[str, Any]:
    """Columns and rows of a table, a row a clip and one of means; and all points."""
    points: list[dict[str, Any]] = [
        {"clip": clip, "method": config, "rate": rate} | figures(runs / config / f"target_bpp-{rate}" / clip)
        for clip in clips
        for config in CONFIGS
        for rate in rates
    ]
    (gains,) = bd_rates(points, METRICS, anchor=CONFIGS[0])
    found = {(point["clip"], point["method"], point["rate"]): point for point in points}
    rows = []
    for clip in clips:
        row: dict[str, Any] = {"clip": clip, "BD-rate, %": gains["clips"][clip]}
        for rate in rates:
            plain, fitted = (found[clip, config, rate] for config in CONFIGS)
            account = fitted["vector"]
            row[f"vector at {rate} bpp, bytes"] = account["vector_bytes"] if account["written"] else 0
            row[f"PSNR gained at {rate} bpp, dB"] = fitted["figures"]["psnr_db"] - plain["figures"]["psnr_db"]
        row["time, ratio"] = mean(
            found[clip, "nano", rate]["seconds"] / found[clip, "instant", rate]["seconds"] for rate in rates
        )
        rows.append(row)
    names = [name for name in rows[0] if name != "clip"]
    known = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    means = {name: mean(values) if values else None for name, values in known.items()}
    columns = [{"name": "clip"}, *({"name": name, "digits": 0 if "bytes" in name else 2} for name in names)]
    return {"columns": columns, "rows": [*rows, {"clip": "mean"} | means], "points": points}


def figures(run: Path) -> dict[str, Any]:
    """Of a finished run: bits per pixel, PSNR, the vector's account where there is one, seconds in all."""
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "bpp": metrics["bpp"],
        "figures": {"psnr_db": metrics["psnr_db"]},
        "vector": metrics.get("vector"),
        "seconds": sum(metrics["seconds"].values()),
    }


if __name__ == "__main__":
    main()
