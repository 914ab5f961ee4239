"""Joins of blocks and of segments against what lies between them, without deblocking and with it.

    python tools/studies/joins.py runs/whole_clips/target_bpp-0.0[12]/*/*.vov --sources TEST

A pair of successive frames is a join of segments, a join of blocks, or inside; a figure is a mean over pairs of that
kind: the step in mean brightness, the change of pixels, and tLP. A seam shows as a quotient of join and inside that the
decoded clip has and its source has not. Beside them PSNR and LPIPS of all frames. Rows are kept: an interrupted study
goes on where it was.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean

import torch
from machine import about
from quality import Row, cached, lpips, markdown, means
from torch import Tensor

from vov_lightning.bases import BaseModel, load_revision
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.deblock import deblock
from vov_lightning.codec.decode import decode
from vov_lightning.files import sha256_of
from vov_lightning.runs.source import source_of
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

KINDS = ("inside", "join of blocks", "join of segments")
SHOWN = ("source", "without", "with")
FIGURES = {"brightness": "step of mean brightness", "change": "frame difference", "tlp": "tLP x 100"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="Files, in folders of rates.")
    parser.add_argument("--sources", type=Path, required=True, help="Folder of their sources.")
    parser.add_argument("--runs", type=Path, default=Path("runs/joins"), help="Folder of the rows.")
    parser.add_argument("--out", type=Path, default=Path("results/joins.json"), help="File of the results.")
    options = parser.parse_args()
    rows: list[Row] = []
    for path in options.files:
        rate = path.parents[1].name
        identity = {"sha256": sha256_of(path)}

        def measured(path: Path = path, rate: str = rate) -> list[Row]:
            return [{"clip": path.stem, "rate": rate} | row for row in measure(path, options.sources)]

        rows += cached(options.runs / f"{rate}_{path.stem}.json", identity, measured)
        print(f"{path.stem} at {rate}", file=sys.stderr, flush=True)
    quality = [row for row in rows if row["kind"] == "clip"]
    found = {"rows": table(row for row in rows if row["kind"] != "clip")}
    found["quality"] = means(quality, ("rate", "deblocking"), ("psnr_db", "lpips"))
    print(markdown(found["rows"]), markdown(found["quality"]), sep="\n\n")
    options.out.write_text(json.dumps(about() | found, indent=2) + "\n")


@torch.no_grad()
def measure(path: Path, sources: Path) -> list[Row]:
    """A row for every pair of successive frames of ``path``, and one for all frames, without deblocking and with it."""
    file = VovFile.open(path)
    file = replace(file, header=replace(file.header, deblock=False))
    base = load_revision(file.header.base_name, file.header.base_revision)
    source = source_of(file, base, next(sources.glob(f"{path.stem}.*"))).target
    plain = decode(file, base).frames
    shown = {"source": source.frames, "without": plain, "with": deblocked(plain, file, base)}
    changed = {name: changes(frames) for name, frames in shown.items()}
    rows: list[Row] = []
    for number, kind in enumerate(kinds_of(file, base)):
        row: Row = {"kind": kind}
        for name in SHOWN:
            found = changed[name][number]
            row |= {f"{figure} {name}": found[figure] for figure in ("brightness", "change")}
            row |= {f"tlp {name}": 100 * abs(found["lpips"] - changed["source"][number]["lpips"])}
        rows.append(row)
    for name in SHOWN[1:]:
        decoded = Signal(shown[name], source.fps, name)
        figures = {"psnr_db": psnr_db(decoded, source), "lpips": lpips(shown[name], source.frames)}
        rows.append({"kind": "clip", "deblocking": name} | figures)
    return rows


def deblocked(frames: Tensor, file: VovFile, base: BaseModel) -> Tensor:
    """``frames`` of ``file``, each segment deblocked as its decoder does."""
    parts = frames.split([segment.frames for segment in file.segments])
    return torch.cat([deblock(part, base.block_frames) for part in parts])


def kinds_of(file: VovFile, base: BaseModel) -> list[str]:
    """One of `KINDS` for each frame of ``file`` but the first: what lies between it and the frame before."""
    lengths = [segment.frames for segment in file.segments]
    kinds = []
    for length, start in zip(lengths, accumulate(lengths, initial=0), strict=False):
        if start:
            kinds.append("join of segments")
        kinds += ["inside" if number % base.block_frames else "join of blocks" for number in range(1, length)]
    return kinds


def changes(frames: Tensor) -> list[dict[str, float]]:
    """What changes from each frame of [T, 3, H, W] uint8 to the next: of 255, and in LPIPS (AlexNet)."""
    found = []
    for before, after in pairwise(frames):
        step = after.float() - before.float()
        distance = lpips(after[None], before[None])
        found.append({"brightness": abs(float(step.mean())), "change": float(step.abs().mean()), "lpips": distance})
    return found


def table(pairs: Iterable[Row]) -> list[Row]:
    """A row a figure and what is shown, and the quotient of a join to the inside."""
    pairs, rows = list(pairs), []
    for figure, label in FIGURES.items():
        for name in SHOWN[1:] if figure == "tlp" else SHOWN:
            found = {kind: [row[f"{figure} {name}"] for row in pairs if row["kind"] == kind] for kind in KINDS}
            shown = name if name == "source" else f"{name} deblocking"
            row: Row = {"figure": f"{label}, {shown}", "inside": fmean(found["inside"])}
            for kind in KINDS[1:]:
                row[kind] = fmean(found[kind]) if found[kind] else "none"
                row[f"{kind} / inside"] = row[kind] / row["inside"] if found[kind] else "none"
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
