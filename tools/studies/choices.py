"""A choice of the encoder's, value by value: PSNR and LPIPS at equal bytes, and the time of encoding where it differs.

    python tools/studies/choices.py steps 8 12 25 --clips DIR --bpp 0.01 0.02 0.04
    python tools/studies/choices.py index_bits 8 12 14 --clips DIR
    python tools/studies/choices.py weight_power 0 0.4 1 --clips DIR
    python tools/studies/choices.py spare 1 2 1e9 --clips DIR

The other choices are those of `instant.yaml`. LPIPS wants AlexNet's weights, which torchvision downloads.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from machine import about
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.build import build_file
from vov_lightning.codec.scale import code_clip
from vov_lightning.sampling import steering
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal, fit_signal, read_signal
from vov_lightning.video.compare import psnr_db

STEPS = 25
"""Of `instant.yaml`."""
TIMED = ("steps", "index_bits")
"""Choices that cost time."""
BATCH = 9
"""Frames at once through AlexNet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("choice", choices=["steps", "index_bits", "weight_power", "spare"], help="What is varied.")
    parser.add_argument("values", type=float, nargs="+", help="Its values.")
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--only", nargs="*", default=[], help="Clips to measure; all when left out.")
    parser.add_argument("--height", type=int, default=144, help="Rows.")
    parser.add_argument("--width", type=int, default=176, help="Columns, cut from the middle.")
    parser.add_argument("--frames", type=int, default=27, help="First frames, one segment.")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.01, 0.02, 0.04], help="Bits per pixel.")
    parser.add_argument("--out", type=Path, help="File of the results; results/CHOICE.json when left out.")
    options = parser.parse_args()
    base, lpips = Nano(), LearnedPerceptualImagePatchSimilarity(net_type="alex")
    paths = [path for path in sorted(options.clips.glob("*.mp4")) if not options.only or path.stem in options.only]
    rows = []
    for value in options.values:
        row: dict[str, Any] = {options.choice: f"{value:g}"}
        seconds = []
        for bpp in options.bpp:
            points = [code(base, path, bpp, value, options, lpips) for path in paths]
            row |= {f"{bpp} bpp, dB": mean(point[0] for point in points)}
            row |= {f"{bpp} bpp, LPIPS": mean(point[1] for point in points)}
            seconds += [point[2] / options.frames for point in points]
        if options.choice in TIMED:
            row["CPU seconds a frame"] = mean(seconds)
        rows.append(row)
        print(row, flush=True)
    columns = [{"name": name, "digits": 3 if "LPIPS" in name else 2} for name in rows[0] if name != options.choice]
    result = {
        **about(torch.get_num_threads()),
        "clips": [path.stem for path in paths],
        "columns": [{"name": options.choice}, *columns],
        "rows": rows,
    }
    (options.out or Path("results") / f"{options.choice}.json").write_text(json.dumps(result, indent=2) + "\n")


@torch.no_grad()
def code(
    base: Nano, path: Path, bpp: float, value: float, options: argparse.Namespace, lpips: Callable
) -> tuple[float, float, float]:
    """PSNR in dB and LPIPS of a clip, and CPU seconds of its encoding."""
    source = fit_signal(
        read_signal(path, max_frames=options.frames),
        height=options.height,
        width=options.width,
        multiple=base.size_multiple,
        temporal_factor=base.temporal_factor,
    )
    caption = base.describe(source.signal.frames)
    sampler = SamplerConfig(steps=int(value) if options.choice == "steps" else STEPS)
    scaling = ScalingConfig(target_bpp=bpp)
    if options.choice == "index_bits":
        scaling = replace(scaling, index_bits=int(value))
    if options.choice == "weight_power":
        steering.WEIGHT_POWER = value
    if options.choice == "spare":
        steering.SPARE = value
    plain = build_file(base, source, caption, torch.zeros(0, dtype=torch.int32), 1.0, AdapterConfig(k=0), sampler)
    started_s = time.process_time()
    (coded,) = code_clip(plain, base, [source], scaling)
    seconds = time.process_time() - started_s
    pairs = zip(scaled(coded.decoded), scaled(source.signal), strict=True)
    distances = [float(lpips(ours, theirs)) * len(ours) for ours, theirs in pairs]
    return psnr_db(coded.decoded, source.signal), sum(distances) / source.signal.num_frames, seconds


def scaled(signal: Signal) -> tuple[torch.Tensor, ...]:
    """Frames in [-1, 1], in batches."""
    return (signal.frames.float() / 127.5 - 1).split(BATCH)


if __name__ == "__main__":
    main()
