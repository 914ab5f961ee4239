"""Draws the plots of the docs from the results of the studies in this folder.

python tools/studies/plot.py --scaling runs/scaling --mixture runs/mixture --adapters runs/adapters --out docs
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from quality import Row, means

DISTANCES = {"psnr_db": "PSNR, dB", "lpips": "LPIPS", "dists": "DISTS"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scaling", type=Path, help="Results of scaling.py.")
    parser.add_argument("--mixture", type=Path, help="Results of mixture.py.")
    parser.add_argument("--adapters", type=Path, help="Results of adapters.py.")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="Folder of the plots.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plt.rcParams |= {"axes.grid": True, "grid.alpha": 0.3, "lines.marker": "o", "lines.markersize": 4, "font.size": 9}
    if options.scaling:
        draw_steps(rows_in(options.scaling / "steps"), options.out / "steps.png")
        draw_rate(rows_in(options.scaling / "rate"), options.out / "rate.png")
    if options.mixture:
        draw_mixture(rows_in(options.mixture), options.out / "mixture.png")
    if options.adapters:
        draw_adapters(options.adapters, options.out / "adapters.png")


def rows_in(folder: Path) -> list[Row]:
    """All rows of a study."""
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())["rows"]]


def draw_steps(rows: list[Row], path: Path) -> None:
    """The paper's figure 6: quality against steps, a line for each number of candidates."""
    figure, all_axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    colours = {"none": "black", "2^0": "C7", "2^10": "C0", "2^14": "C1", "2^18": "C2"}
    names = {"none": "ODE, no noise", "2^0": "noise, no choice"}
    for axes, distance in zip(all_axes, ("psnr_db", "lpips"), strict=True):
        for candidates, colour in colours.items():
            for kernel, style in {"ode": "-", "ancestral": "-", "euler_maruyama": "--"}.items():
                own = [row for row in rows if (row["candidates"], row["kernel"]) == (candidates, kernel)]
                name = names.get(candidates, f"{candidates} candidates")
                label = name if kernel == "ode" else f"{name}, {kernel.replace('_', '-')}"
                line(axes, own, "steps", distance, color=colour, linestyle=style, label=label)
        axes.set(xlabel="steps", ylabel=DISTANCES[distance], xscale="log", xticks=[5, 10, 25, 50])
        axes.set_xticks([5, 10, 25, 50], labels=["5", "10", "25", "50"])
        axes.minorticks_off()
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right center")
    save(figure, path)


def draw_rate(rows: list[Row], path: Path) -> None:
    """Quality against bits per pixel."""
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axes, distance in zip(all_axes, DISTANCES, strict=True):
        for steps, colour in {25: "C0", 50: "C1"}.items():
            for selection, style in {"argmax": "-", "importance": "--"}.items():
                own = [row for row in rows if (row["steps"], row["selection"]) == (steps, selection)]
                line(axes, own, "bpp", distance, color=colour, linestyle=style, label=f"{steps} steps, {selection}")
        axes.set(xlabel="bits per pixel, whole file", ylabel=DISTANCES[distance])
    all_axes[0].legend()
    save(figure, path)


def draw_mixture(rows: list[Row], path: Path) -> None:
    """Quality against the indices' share of the file, a line for each size."""
    rows = [row for row in rows if row["shift"] == 6.0]  # the others are of the study of times
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    table = means(rows, ("total_bpp", "index_share"), tuple(DISTANCES))
    for axes, distance in zip(all_axes, DISTANCES, strict=True):
        for number, total in enumerate(sorted({row["total_bpp"] for row in table})):
            own = [row for row in table if row["total_bpp"] == total]
            line(axes, own, "index_share", distance, color=f"C{number}", label=f"{total} bpp")
        axes.set(xlabel="indices' share of the bytes", ylabel=DISTANCES[distance])
    all_axes[0].legend()
    save(figure, path)


def draw_adapters(folder: Path, path: Path) -> None:
    """The paper's figure 3: PSNR of plain LoRA by iterations and rank, of hashed vectors by length and by rank."""
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
    panels = (
        ("lora", "iterations", "rank", "plain LoRA, rank {}"),
        ("length", "k", "iterations", "{} iterations"),
        ("rank", "rank", "iterations", "{} iterations"),
    )
    words = {"k": "length of the vector, rank 2", "rank": "rank, k = 2048"}
    for axes, (study, x, by, label) in zip(all_axes, panels, strict=True):
        rows = rows_in(folder / study)
        table = means(rows, ("scheme", "rank", "k", "iterations"), ("psnr_db", "autoencoder_psnr_db"))
        for number, value in enumerate(sorted({row[by] for row in table})):
            own = [row for row in table if row[by] == value]
            line(axes, own, x, "psnr_db", color=f"C{number}", label=label.format(value))
        for row in table[:1]:
            axes.axhline(row["autoencoder_psnr_db"], color="black", linestyle="--", marker="", label="autoencoder")
        ticks = sorted({row[x] for row in table})
        axes.set(xlabel=words.get(x, x), xscale="log")
        axes.set_xticks(ticks, labels=map(str, ticks))
        axes.minorticks_off()
        if table:
            axes.legend()
    all_axes[0].set_ylabel(DISTANCES["psnr_db"])
    save(figure, path)


def line(axes: Axes, rows: list[Row], x: str, y: str, **style: Any) -> None:
    """``y`` against ``x`` of ``rows``, if there are any."""
    points = sorted((row[x], row[y]) for row in rows)
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()
