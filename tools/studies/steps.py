"""How few denoising steps serve: PSNR at equal bytes and time of encoding, for each number of steps.

python tools/studies/steps.py --clips DIR --steps 8 12 25 50 --bpp 0.01 0.02 0.04
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from machine import about

from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.build import build_file
from vov_lightning.codec.scale import code_clip
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import fit_signal, read_signal
from vov_lightning.video.compare import psnr_db


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--only", nargs="*", default=[], help="Clips to measure; all when left out.")
    parser.add_argument("--side", type=int, default=128, help="Rows and columns, cut from the middle.")
    parser.add_argument("--frames", type=int, default=27, help="First frames, one segment.")
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 12, 25], help="Numbers of steps.")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.01, 0.02, 0.04], help="Bits per pixel.")
    parser.add_argument("--out", type=Path, default=Path("results/steps.json"), help="File of the results.")
    options = parser.parse_args()
    base = Nano()
    paths = [path for path in sorted(options.clips.glob("*.mp4")) if not options.only or path.stem in options.only]
    rows = []
    for steps in options.steps:
        found = {bpp: [code(base, path, bpp, steps, options) for path in paths] for bpp in options.bpp}
        quality = {f"{bpp} bpp, dB": mean(psnr for psnr, _ in points) for bpp, points in found.items()}
        seconds = mean(seconds for points in found.values() for _, seconds in points) / options.frames
        rows.append({"steps": steps, **quality, "CPU seconds a frame": seconds})
        print(rows[-1], flush=True)
    columns: list[dict[str, Any]] = [{"name": name, "digits": 2} for name in rows[0] if name != "steps"]
    result = {
        **about(torch.get_num_threads()),
        "clips": [path.stem for path in paths],
        "columns": [{"name": "steps"}, *columns],
        "rows": rows,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


@torch.no_grad()
def code(base: Nano, path: Path, bpp: float, steps: int, options: argparse.Namespace) -> tuple[float, float]:
    """PSNR of a clip, and CPU seconds of its encoding."""
    source = fit_signal(
        read_signal(path, max_frames=options.frames),
        height=options.side,
        width=options.side,
        multiple=base.size_multiple,
        temporal_factor=base.temporal_factor,
    )
    caption = base.describe(source.signal.frames)
    nothing = torch.zeros(0, dtype=torch.int32)
    plain = build_file(base, source, caption, nothing, 1.0, AdapterConfig(k=0), SamplerConfig(steps=steps))
    started_s = time.process_time()
    (coded,) = code_clip(plain, base, [source], ScalingConfig(target_bpp=bpp))
    return psnr_db(coded.decoded, source.signal), time.process_time() - started_s


if __name__ == "__main__":
    main()
