"""The README's sheets: what one vector shows of several sources, at other sizes, and merged with another one.

    python tools/studies/sheets.py joint runs/joint/news_cif+2/*/preview.mp4 --out docs/joint.png
    python tools/studies/sheets.py sizes runs/ed/*/*.vov --sources DIR --out docs/sizes.png
    python tools/studies/sheets.py merge A.vov B.vov --out docs/merge.png

The files of `sizes` and `merge` are fitted with editing.yaml.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vov_lightning.bases import ClipSize, load_base
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.edit import EditConfig, edit
from vov_lightning.evaluation.entries import SourceOptions, find_entries
from vov_lightning.runs.source import source_of
from vov_lightning.video import contact_sheet, read_signal, write_sheet

SIZES = {
    "64x64": ClipSize(9, 64, 64),
    "96x64": ClipSize(9, 64, 96),
    "96x96": ClipSize(9, 96, 96),
    "17 frames": ClipSize(17, 64, 64),
}
WEIGHTS = ((1, 0), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0, 1))
SIDE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", choices=("joint", "sizes", "merge"))
    parser.add_argument("files", type=Path, nargs="+", help=".vov files; for joint the previews of a joint run.")
    parser.add_argument("--sources", type=Path, help="Folder of the clips, for sizes.")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write.")
    options = parser.parse_args()
    if options.sheet == "joint":
        cells = [joint_row(read_signal(path).frames) for path in options.files]
        names, columns, scale = [path.parent.name for path in options.files], ["source", "decoded"], 2
    elif options.sheet == "sizes":
        entries, _ = find_entries(options.files, SourceOptions(options.sources))
        cells = [sizes_row(VovFile.open(entry.file), str(entry.source)) for entry in entries]
        names, columns, scale = [entry.clip for entry in entries], ["source", *SIZES], 1
    else:
        files = [VovFile.open(path) for path in options.files]
        cells = [merge_row(files, file.caption) for file in files]
        names = [f"caption of {path.stem}" for path in options.files]
        columns, scale = [", ".join(f"{weight:g}" for weight in weights) for weights in WEIGHTS], 1
    write_sheet(contact_sheet(cells, names, columns, scale), options.out)


def joint_row(preview: Tensor) -> list[Tensor]:
    """First, middle and last frame of either half of ``preview`` [T, 3, H, 2 W]."""
    shown = preview[[0, len(preview) // 2, len(preview) - 1]]
    return [torch.cat(list(half), dim=2) for half in shown.chunk(2, dim=3)]


def sizes_row(file: VovFile, source: str) -> list[Tensor]:
    """Middle frames of the source and of the file at every size, on white."""
    base = load_base(file.header.base_name)
    clips = [edit(file, base, file.caption, EditConfig(size=size)).frames for size in SIZES.values()]
    return [on_white(clip[len(clip) // 2]) for clip in (source_of(file, base, source).target.frames, *clips)]


def merge_row(files: list[VovFile], caption: str) -> list[Tensor]:
    """Middle frames under ``caption`` of the two files' vectors with every pair of weights, on white."""
    base = load_base(files[0].header.base_name)
    clips = [edit(files, base, caption, weights=weights).frames for weights in WEIGHTS]
    return [on_white(clip[len(clip) // 2]) for clip in clips]


def on_white(frame: Tensor) -> Tensor:
    """``frame`` [3, h, w] in the corner of a white square."""
    square = torch.full((3, SIDE, SIDE), 255, dtype=torch.uint8)
    square[:, : frame.shape[1], : frame.shape[2]] = frame
    return square


if __name__ == "__main__":
    main()
