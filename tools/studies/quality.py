"""Helpers of the studies in this folder: distances of a decoded clip, tables, results that are kept."""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import deep_image_structure_and_texture_similarity as dists
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

Row = dict[str, Any]


@torch.no_grad()
def distances(frames: Tensor, source: Signal) -> Row:
    """PSNR over all frames; LPIPS (AlexNet) and DISTS without enlargement, means over frames."""
    x_hat, x = frames.float() / 255, source.frames.float() / 255
    return {
        "psnr_db": psnr_db(Signal(frames, source.fps, "decoded"), source),
        "lpips": lpips(frames, source.frames),
        "dists": float(dists(x_hat, x, reduction="mean")),
    }


@torch.no_grad()
def lpips(frames: Tensor, others: Tensor) -> float:
    """LPIPS (AlexNet) between frames [T, 3, H, W] uint8, without enlargement, a mean over them."""
    return float(_lpips()(frames.float() / 255, others.float() / 255))


@lru_cache
def _lpips() -> Callable[[Tensor, Tensor], Tensor]:
    network = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)

    def distance(x_hat: Tensor, x: Tensor) -> Tensor:
        network.reset()
        return network(x_hat, x)

    return distance


def means(rows: Iterable[Row], by: tuple[str, ...], of: tuple[str, ...]) -> list[Row]:
    """One row for each combination of ``by``, in order of appearance, with means of the columns ``of``."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    return [
        dict(zip(by, key, strict=True)) | {column: mean(row[column] for row in group) for column in of}
        for key, group in groups.items()
    ]


def markdown(rows: list[Row]) -> str:
    """A table with the rows' keys above it."""
    lines = ["| " + " | ".join(rows[0]) + " |", "| --- " * len(rows[0]) + "|"]
    for row in rows:
        cells = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cached(path: Path, conditions: dict, measure: Callable[[], list[Row]]) -> list[Row]:
    """Result of ``measure()``, kept from an earlier call under the same conditions."""
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("conditions") != conditions:
        known = {"conditions": conditions, "rows": measure()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=2) + "\n")
    return known["rows"]
