"""Bits for the first block of a segment: PSNR against its share of the index bits; and what counts cost.

A first block has no past, and is the past of those after it. For each clip, rate and value of `KEY_BLOCK`: PSNR of the
first segment, and the bits a block that the number of indices of each step takes: as files code it, and by the
difference to the step before, and to the same step of the block before. The value of the best mean PSNR is the constant
to keep in ``vov_lightning/sampling/steering.py``.

    python tools/studies/key_block.py --clips DIR --weights FOLDER --bpp 0.01 0.02 --factors 1 2 3
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream.indices import count_bits, likely_count
from vov_lightning.codec.build import build_file
from vov_lightning.codec.scale import code_clip
from vov_lightning.sampling import steering
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import fit_signal, read_signal
from vov_lightning.video.compare import psnr_db

RULES = ("as files do", "step before", "block before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--only", nargs="*", default=[], help="Clips to measure; all when left out.")
    parser.add_argument("--weights", default="", help="Folder of a nano with context; the bundled one when left out.")
    parser.add_argument("--rows", type=int, default=144, help="Rows to which clips are shrunk.")
    parser.add_argument("--columns", type=int, default=176, help="Columns to which they are shrunk.")
    parser.add_argument("--frames", type=int, default=36, help="First frames, one segment.")
    parser.add_argument("--steps", type=int, default=25, help="Denoising steps.")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.01, 0.02], help="Bits per pixel.")
    parser.add_argument("--factors", type=float, nargs="+", default=[1, 1.5, 2, 3], help="Values of KEY_BLOCK.")
    options = parser.parse_args()
    base = Nano(options.weights)
    paths = [path for path in sorted(options.clips.glob("*.mp4")) if not options.only or path.stem in options.only]
    found: dict[tuple[float, float], list[float]] = {}
    for path in paths:
        for bpp in options.bpp:
            for factor in options.factors:
                steering.KEY_BLOCK = factor
                psnr, bits = code(base, path, bpp, options)
                found.setdefault((bpp, factor), []).append(psnr)
                counts = ", ".join(f"{rule} {value:.1f}" for rule, value in zip(RULES, bits, strict=True))
                print(
                    f"{path.stem:20s} {bpp} bpp, factor {factor}: {psnr:.2f} dB; bits of counts: {counts}", flush=True
                )
    for (bpp, factor), values in sorted(found.items()):
        print(f"mean of {len(values)} at {bpp} bpp, factor {factor}: {mean(values):.2f} dB")


@torch.no_grad()
def code(base: Nano, path: Path, bpp: float, options: argparse.Namespace) -> tuple[float, list[float]]:
    """PSNR of the clip, and the bits a block of each of `RULES`."""
    signal = read_signal(path, max_frames=options.frames)
    source = fit_signal(
        signal,
        height=options.rows,
        width=options.columns,
        multiple=base.size_multiple,
        temporal_factor=base.temporal_factor,
    )
    sampler = SamplerConfig(steps=options.steps, compute_dtype="bfloat16")
    plain = build_file(base, source, "", torch.zeros(0, dtype=torch.int32), 1.0, AdapterConfig(k=0), sampler)
    (coded,) = code_clip(plain, base, [source], ScalingConfig(target_bpp=bpp))
    counts = [len(step) for step in coded.part.indices]
    counts += [0] * (-len(counts) % options.steps)
    rows = [counts[start : start + options.steps] for start in range(0, len(counts), options.steps)]
    return psnr_db(coded.decoded, source.signal), [
        sum(costs) / len(rows) for costs in zip(*count_costs(rows), strict=True)
    ]


def count_costs(rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Bits of each count by each of `RULES`."""
    for above, row in zip([None, *rows], rows, strict=False):
        for number, count in enumerate(row[:-1]):
            before = row[number - 1] if number else 0
            same = before if above is None else above[number]
            yield tuple(count_bits(count, likely) for likely in (likely_count(row[:number], above), before, same))


if __name__ == "__main__":
    main()
