"""The distortion-perception trade-off of one and the same file (paper, appendices B.1 and B.2): stop sampling early.

Every file is decoded with several ``--stop_at``; means over files are printed and drawn.

    python tools/studies/early_stop.py runs/*/*.vov --sources DIR --out early_stop.png

A file's source is DIR/<name of the file>.mp4, read from its first frame on. Files are of one segment.
"""

import argparse
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
from quality import Row, distances, markdown, means

from vov_lightning.bases import BaseModel, load_base
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import decode
from vov_lightning.runs.source import source_of
from vov_lightning.video import remove_padding

STOPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
FIGURES = ("psnr_db", "lpips", "dists")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help=".vov files.")
    parser.add_argument("--sources", type=Path, required=True, help="Folder of the clips.")
    parser.add_argument("--out", type=Path, default=Path("early_stop.png"), help="The plot to write.")
    options = parser.parse_args()
    load = lru_cache(load_base)
    rows = []
    for path in options.files:
        rows += measure(path, load(VovFile.open(path).header.base_name), options.sources)
    table = means(rows, ("stop_at",), ("bpp", *FIGURES))
    print(markdown(table))
    draw(table, options.out)


def measure(path: Path, base: BaseModel, sources: Path) -> list[Row]:
    """One row a stop."""
    file = VovFile.open(path)
    first = source_of(file, base, str(sources / f"{path.stem}.mp4")).first
    target = remove_padding(first.signal, first.padding)
    bpp = 8 * len(file.to_bytes()) / target.num_pixels
    return [
        {"stop_at": stop, "bpp": bpp, **distances(decode(file, base, stop_at=stop).frames, target)} for stop in STOPS
    ]


def draw(table: list[Row], path: Path) -> None:
    """Perceptual distances against PSNR, a point a stop."""
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for distance in ("lpips", "dists"):
        axes.plot([row["psnr_db"] for row in table], [row[distance] for row in table], "o-", label=distance.upper())
        for row in table:
            axes.annotate(
                f"{row['stop_at']:g}",
                (row["psnr_db"], row[distance]),
                fontsize=7,
                xytext=(3, 3),
                textcoords="offset points",
            )
    axes.set(xlabel="PSNR, dB", ylabel="distance to the source", title=f"{table[0]['bpp']:.3f} bpp, stopped at t")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()
