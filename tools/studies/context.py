r"""Gain from the past: blocks of whole clips, coded by index bits alone and given the decoded blocks before.

For each clip and rate: PSNR without context and with it, and the flow-matching loss of the last block without and
with the exact past. Then the index bits that each model and context needs at equal PSNR, relative to the first two.

    python tools/studies/context.py --clips DIR --overlap 0 --blocks 3 --bpp 0.01 0.02 0.04 \
        --weights nano2=vov_lightning/assets/nano2 nano3=vov_lightning/assets/nano
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from machine import about
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bases.context import with_context
from vov_lightning.bases.nano.autoencoder import BLOCK_FRAMES
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.nano.vocabulary import measure
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.evaluation.report.bd_rate import bd_rates
from vov_lightning.flow import Velocity, interpolate
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise, integrate
from vov_lightning.sampling.steering import Search
from vov_lightning.video import read_signal

Point = dict[str, Any]
"""Clip, method, bits per pixel and PSNR, as `bd_rates` takes them."""


@dataclass(frozen=True)
class Method:
    """How blocks are coded."""

    label: str
    blocks_at_once: int = 1
    past_time: float | None = None
    """Time at which the decoded blocks before are declared; none: they are not given."""


RATIO = "loss given the past / alone"
TIMES = [0.05 + 0.1 * number for number in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--weights", nargs="+", required=True, help="NAME=FOLDER of each model.")
    parser.add_argument("--rows", type=int, default=144, help="Rows to which clips are shrunk.")
    parser.add_argument("--side", type=int, default=128, help="Side of the square cut from the middle, in pixels.")
    parser.add_argument("--blocks", type=int, default=4, help="Blocks of nine frames; each is coded by itself.")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.01, 0.02, 0.04, 0.08], help="Index bits a pixel.")
    parser.add_argument("--past_times", type=float, nargs="+", default=[0.0], help="Times at which past is declared.")
    parser.add_argument("--overlap", type=int, default=2, help="Latent positions that neighbouring windows share.")
    parser.add_argument("--stop_at", type=float, default=0.3, help="Time at which sampling stops.")
    parser.add_argument("--only", nargs="*", default=[], help="Clips to measure; all when left out.")
    parser.add_argument("--out", type=Path, default=Path("results/context.json"), help="File of the results.")
    options = parser.parse_args()

    windows = Windows(frames=options.blocks, rows=8, columns=8, overlap_space=options.overlap)
    models = {name: Nano(folder) for name, _, folder in (text.partition("=") for text in options.weights)}
    paths = [path for path in sorted(options.clips.glob("*.mp4")) if not options.only or path.stem in options.only]
    points: list[Point] = []
    ratios: dict[str, float] = {}
    for path in paths:
        frames = square(read_signal(path).frames[: BLOCK_FRAMES * options.blocks], options.rows, options.side)
        for name, base in models.items():
            velocity = windowed(base.velocity(""), windows)
            ratio = loss_ratio(name, path.stem, base, velocity, frames)
            ratios |= {} if ratio is None else {path.stem: ratio}
            methods = [Method(name)]
            if base.context:
                methods += [Method(f"{name}, past at {t}", past_time=t) for t in options.past_times]
                methods += [Method(f"{name}, {options.blocks} blocks at once", blocks_at_once=options.blocks)]
            for method in methods:
                psnr_db = [code(base, velocity, frames, bpp, method, options.stop_at) for bpp in options.bpp]
                points += [
                    {"clip": path.stem, "method": method.label, "bpp": bpp, "figures": {"psnr_db": value}}
                    for bpp, value in zip(options.bpp, psnr_db, strict=True)
                ]
                print(
                    f"{path.stem:20s} {method.label:24s} " + " ".join(f"{value:6.2f}" for value in psnr_db), flush=True
                )
    print_summary(points)
    result = {
        **about(torch.get_num_threads()),
        **comparison(points, ratios),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    for name, base in models.items():
        if base.context:
            print_directions(name, base, paths, options.rows)


def square(frames: Tensor, rows: int, side: int) -> Tensor:
    """The middle [T, 3, side, side] uint8 of frames shrunk to ``rows``."""
    height, width = frames.shape[-2:]
    size = (rows, round(width * rows / height))
    small = F.interpolate(frames.float(), size=size, mode="area").round().byte()
    top, left = (rows - side) // 2, (size[1] - side) // 2
    return small[..., top : top + side, left : left + side]


@torch.no_grad()
def code(base: Nano, velocity: Velocity, frames: Tensor, bpp: float, method: Method, stop_at: float) -> float:
    """PSNR in dB of ``frames`` after coding them with ``bpp`` index bits a pixel."""
    times = SamplerConfig(steps=25).times().tolist()
    decoded: list[Tensor] = []
    errors = []
    for number, block in enumerate(frames.split(BLOCK_FRAMES * method.blocks_at_once)):
        latents = base.encode(block)
        bits = round(bpp * block.numel() / 3)
        search = Search(ScalingConfig(bits=bits), latents, number, times)
        field = velocity
        if decoded and method.past_time is not None:
            field = with_context(velocity, torch.cat(decoded[-base.context :], dim=2), method.past_time)
        with torch.autocast("cpu", torch.bfloat16):
            decoded.append(integrate(field, initial_noise(number, latents.shape[1:]), times, stop_at, steering=search))
        errors.append((base.decode(decoded[-1], len(block)).float() - block.float()).square())
    return float(10 * torch.log10(255**2 / torch.cat(errors).mean()))


@torch.no_grad()
def loss_ratio(name: str, clip: str, base: Nano, velocity: Velocity, frames: Tensor) -> float | None:
    """Flow-matching loss of the last block given the exact blocks before, relative to that without; None where a model
    takes no past. Both are printed."""
    latents = base.encode(frames)
    past, present = latents[:, :, -1 - base.context : -1], latents[:, :, -1:]
    fields = {"alone": velocity}
    if base.context:
        fields["given the past"] = with_context(velocity, past)
    losses = {}
    for kind, field in fields.items():
        noise = torch.randn(present.shape, generator=torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16):
            losses[kind] = [
                float((field(interpolate(present, noise, t), t) - (noise - present)).square().mean())
                for t in torch.tensor(TIMES)[:, None]
            ]
    print(f"{clip:20s} {name:24s} loss " + ", ".join(f"{kind} {mean(x):.3f}" for kind, x in losses.items()))
    return mean(losses["given the past"]) / mean(losses["alone"]) if base.context else None


@torch.no_grad()
def print_directions(name: str, base: Nano, paths: Sequence[Path], rows: int) -> None:
    """Print how often a sampled block moves as the clip does: where the clip moves, alone and given the exact past."""
    length = BLOCK_FRAMES * (1 + base.context)
    crops = []
    for path in paths:
        frames = square(read_signal(path).frames[:length], rows, 128)
        crops += [frames[..., y : y + 64, x : x + 64] for y in (0, 32, 64) for x in (0, 32, 64)]
    crops = [crop for crop in crops if "direction" in measure(crop[-BLOCK_FRAMES:])]
    latents = torch.cat([base.encode(crop) for crop in crops])
    noise = torch.cat([initial_noise(seed, (latents.shape[1], 1, 8, 8)) for seed in range(len(crops))])
    velocity, times = base.velocity(""), SamplerConfig(steps=25).times().tolist()
    with torch.autocast("cpu", torch.bfloat16):
        sampled = {
            "alone": integrate(velocity, noise, times),
            "given the past": integrate(with_context(velocity, latents[:, :, :-1]), noise, times),
        }
    sampled["autoencoder"] = latents[:, :, -1:]
    for kind, blocks in sampled.items():
        words = [measure(base.decode(block[None], BLOCK_FRAMES)).get("direction") for block in blocks]
        hits = [word == measure(crop[-BLOCK_FRAMES:])["direction"] for word, crop in zip(words, crops, strict=True)]
        print(f"direction of {name}, {kind}: {mean(hits):.0%} of {len(hits)}")


def comparison(points: Sequence[Point], ratios: dict[str, float]) -> dict[str, Any]:
    """Columns and rows of a table: for each clip, and in the mean, bits at equal PSNR relative to the first methods."""
    methods = list(dict.fromkeys(point["method"] for point in points))
    rows: dict[str, dict[str, Any]] = {clip: {"clip": clip, RATIO: ratio} for clip, ratio in ratios.items()}
    rows["mean"] = {"clip": "mean", RATIO: mean(ratios.values())}
    columns: list[dict[str, Any]] = [{"name": "clip"}, {"name": RATIO, "digits": 2}]
    for anchor in methods[:2]:
        for entry in bd_rates(points, {"psnr_db": {"higher_is_better": True}}, anchor):
            if methods.index(entry["method"]) < methods.index(anchor):
                continue
            column = f"bits of {entry['method']} relative to {anchor}, %"
            columns.append({"name": column, "digits": 1})
            for clip, value in {**entry["clips"], "mean": entry["mean"]}.items():
                rows[clip][column] = value
    return {"columns": columns, "rows": list(rows.values())}


def print_summary(points: Sequence[Point]) -> None:
    """Print the mean PSNR of each method and rate, and the bits that each needs at equal PSNR."""
    rates = sorted({point["bpp"] for point in points})
    methods = list(dict.fromkeys(point["method"] for point in points))
    print("\n| method | " + " | ".join(f"{rate} bpp" for rate in rates) + " |\n|---|" + "---|" * len(rates))
    for method in methods:
        means = [
            mean(point["figures"]["psnr_db"] for point in points if (point["method"], point["bpp"]) == (method, rate))
            for rate in rates
        ]
        print(f"| {method} | " + " | ".join(f"{value:.2f}" for value in means) + " |")
    for anchor in methods[:2]:
        for entry in bd_rates(points, {"psnr_db": {"higher_is_better": True}}, anchor):
            print(f"\nbits of {entry['method']} relative to {anchor}, in percent: {entry['mean']}, {entry['clips']}")
            print(entry["reason"] or "")


if __name__ == "__main__":
    main()
