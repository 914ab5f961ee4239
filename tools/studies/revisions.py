"""Whole clips by `instant.yaml` on both bundled revisions of nano: PSNR at equal bytes, without and with the past.

    python tools/studies/revisions.py --clips DIR --names akiyo_cif foreman_cif --frames 45 --bpp 0.02 0.08

Clips are coded as in `whole_clips.py`. What is finished is verified and skipped, so the same command goes on where it
was interrupted.
"""

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from machine import about
from whole_clips import code, study

REVISIONS = ("2", "3")


def main() -> None:
    options, sources = study(__doc__, "revisions")
    for revision in REVISIONS:
        named = ["--model.base=nano", f"--model.base.revision={revision}"]
        chosen = [] if revision == REVISIONS[-1] else named  # that is the default
        if status := code(options, sources, "instant.yaml", options.runs / revision, *chosen):
            sys.exit(status)
    result = {
        **about(threads=1),
        **comparison(options.runs, [member.name for member in sorted(sources.iterdir())], options.bpp),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


def comparison(runs: Path, names: list[str], rates: list[float]) -> dict[str, Any]:
    """Columns and rows of a table: PSNR of each clip and in the mean, a column a rate and revision."""
    clips = [Path(name).stem for name in names]
    keys = {f"{rate} bpp, revision {revision}": (revision, rate) for rate in rates for revision in REVISIONS}
    rows: list[dict[str, Any]] = [
        {
            "clip": clip,
            **{key: psnr_db(runs / revision / f"target_bpp-{rate}" / clip) for key, (revision, rate) in keys.items()},
        }
        for clip in clips
    ]
    rows.append({"clip": "mean", **{key: mean(row[key] for row in rows) for key in keys}})
    return {"columns": [{"name": "clip"}, *({"name": key, "digits": 2} for key in keys)], "rows": rows}


def psnr_db(run: Path) -> float:
    return json.loads((run / "metrics.json").read_text())["psnr_db"]


if __name__ == "__main__":
    main()
