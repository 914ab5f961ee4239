"""What a vector is worth on whole clips: the trials of `nano.yaml`, which codes a segment with the vector and without.

    python tools/studies/vector.py --clips DIR --frames 54 --bpp 0.01 0.02 0.04

Clips are coded as in `whole_clips.py`. For each clip and rate: bytes of the vector, and the PSNR that it gained in the
same bytes; a vector whose account was bad had no trial. With at most 90 frames the trial is of the whole clip. What is
finished is verified and skipped, so the same command goes on where it was interrupted.
"""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

from machine import about
from whole_clips import code, study


def main() -> None:
    options, sources = study(__doc__, "vector")
    if status := code(options, sources, "nano.yaml", options.runs):
        sys.exit(status)
    result = {
        **about(threads=1),
        **comparison(options.runs, sorted(path.stem for path in sources.iterdir()), options.bpp),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


def comparison(runs: Path, clips: list[str], rates: list[float]) -> dict[str, Any]:
    """Columns and rows of a table, a row a clip and rate."""
    rows: list[dict[str, Any]] = []
    for clip, rate in product(clips, rates):
        metrics = json.loads((runs / f"target_bpp-{rate}" / clip / "metrics.json").read_text())
        account, seconds = metrics["vector"], metrics["seconds"]
        rows.append(
            {
                "clip": clip,
                "bpp": rate,
                "vector, bytes": account["vector_bytes"],
                "indices by the account, bytes": account["saved_bytes"],
                "gained, dB": account["trial_gain_db"],
                "written": "yes" if account["written"] else "no",
                "fit, s": seconds["stage 1"] + seconds["stage 2"],
            }
        )
    digits = {"vector, bytes": 0, "indices by the account, bytes": 0, "gained, dB": 2, "fit, s": 0}
    columns = [{"name": name, **({"digits": digits[name]} if name in digits else {})} for name in rows[0]]
    return {"columns": columns, "rows": rows}


if __name__ == "__main__":
    main()
