"""Joins of blocks and of segments against what lies between them: steps in brightness, change of frames, tLP.

    python tools/studies/joins.py runs/whole_clips/evaluation

It takes the frames that `vov-eval` kept. A pair of successive frames is a join of segments, a join of blocks, or
inside; every figure is a mean over pairs of that kind, of the source and of what the file decodes to. A seam would show
as a quotient of join and inside that the decoded clip has and its source has not.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean

import torch
from machine import about
from quality import Row, lpips, markdown
from torch import Tensor

from vov_lightning.bases import load_base
from vov_lightning.bitstream import VovFile
from vov_lightning.evaluation.cache import Cache
from vov_lightning.evaluation.module import VOV

KINDS = ("inside", "join of blocks", "join of segments")
FIGURES = {"brightness": "step of mean brightness", "change": "frame difference", "tlp": "tLP x 100"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", type=Path, nargs="+", help="Folders that vov-eval wrote.")
    parser.add_argument("--out", type=Path, default=Path("results/joins.json"), help="File of the results.")
    options = parser.parse_args()
    pairs = [pair for folder in options.evaluations for pair in pairs_of(folder)]
    rows = table(pairs)
    print(markdown(rows))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(about() | {"rows": rows}, indent=2) + "\n")


def pairs_of(folder: Path) -> list[Row]:
    """A row for every pair of successive frames of every file that was evaluated."""
    cache, rows = Cache(folder / "cache"), []
    for point in json.loads((folder / "results.json").read_text())["points"]:
        if point["method"] != VOV:
            continue
        kinds = kinds_of(VovFile.open(point["file"]))
        source, decoded = (changes(cache.frames(point[name])) for name in ("source", "coded"))
        for number, (kind, before, after) in enumerate(zip(kinds, source, decoded, strict=True), start=1):
            row: Row = {"clip": point["clip"], "rate": point["rate"], "frame": number, "kind": kind}
            row |= {f"source_{key}": before[key] for key in ("brightness", "change")}
            row |= {f"decoded_{key}": after[key] for key in ("brightness", "change")}
            rows.append(row | {"tlp": 100 * abs(after["lpips"] - before["lpips"])})
        print(f"{point['clip']} at {point['rate']}", file=sys.stderr, flush=True)
    return rows


def kinds_of(file: VovFile) -> list[str]:
    """One of `KINDS` for each frame of ``file`` but the first: what lies between it and the frame before."""
    block = load_base(file.header.base_name).block_frames
    lengths = [segment.frames for segment in file.segments]
    kinds = []
    for length, start in zip(lengths, accumulate(lengths, initial=0), strict=False):
        if start:
            kinds.append("join of segments")
        kinds += ["inside" if number % block else "join of blocks" for number in range(1, length)]
    return kinds


def changes(frames: Tensor) -> list[dict[str, float]]:
    """What changes from each frame of [T, 3, H, W] uint8 to the next: of 255, and in LPIPS (AlexNet)."""
    found = []
    for before, after in pairwise(frames):
        step = after.float() - before.float()
        with torch.no_grad():
            distance = lpips(after[None], before[None])
        found.append({"brightness": abs(float(step.mean())), "change": float(step.abs().mean()), "lpips": distance})
    return found


def table(pairs: Iterable[Row]) -> list[Row]:
    """A row a figure and kind of pair, and the quotient of a join to the inside."""
    pairs, rows = list(pairs), []
    for figure, label in FIGURES.items():
        names = [figure] if figure == "tlp" else [f"source_{figure}", f"decoded_{figure}"]
        for name in names:
            found = {kind: [row[name] for row in pairs if row["kind"] == kind] for kind in KINDS}
            shown = label if figure == "tlp" else f"{label}, {name.split('_')[0]}"
            row: Row = {"figure": shown, "inside": fmean(found["inside"])}
            for kind in KINDS[1:]:
                row[kind] = fmean(found[kind]) if found[kind] else "none"
                row[f"{kind} / inside"] = row[kind] / row["inside"] if found[kind] else "none"
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
