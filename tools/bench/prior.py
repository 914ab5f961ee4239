"""What the pretrained transformer is worth: the same fit on `nano`, and on `nano` with random transformer weights.

For every clip of a folder: PSNR of the unadapted model, of the fit, of the same fit
(same k, draws and lambda, so about the same bytes) on a transformer that was never trained, and the autoencoder's.

    python tools/bench/prior.py --clips DIR --out runs/prior [--limit 4] [-- more vov-fit arguments]
"""

import argparse
import json
from pathlib import Path

import torch

from vov_lightning.bases.nano import Nano, build_transformer
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import fit
from vov_lightning.codec import build_file, decode, sampler_of
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import psnr_db
from vov_lightning.vector.adapter import AdapterConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--out", type=Path, default=Path("runs/prior"), help="Folder of the runs.")
    parser.add_argument("--limit", type=int, default=None, help="How many clips, in order of their names.")
    parser.add_argument("more", nargs="*", help="Arguments of vov-fit, after --.")
    options = parser.parse_args()

    random_weights = options.out / "random_weights"
    if not random_weights.exists():
        save_random_transformer(random_weights)
    rows = [
        measure(path, options.out, random_weights, options.more)
        for path in sorted(options.clips.glob("*.mp4"))[: options.limit]
    ]
    rows.append({"clip": "mean"} | {key: sum(row[key] for row in rows) / len(rows) for key in rows[0] if key != "clip"})
    (options.out / "prior.json").write_text(json.dumps(rows, indent=2) + "\n")
    columns = list(rows[0])
    print("\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(f"{row[key]:.4g}" if key != "clip" else row[key] for key in columns) + " |")


def save_random_transformer(folder: Path) -> None:
    """`nano` with its own autoencoder and word table, and a transformer as PyTorch initialises it."""
    model = Nano()
    torch.manual_seed(0)
    model._transformer = build_transformer(model.config)
    model.revision = "random-transformer"
    model.save(folder)


def measure(path: Path, out: Path, random_weights: Path, more: list[str]) -> dict[str, float | str]:
    """One row of the table; finished fits are not repeated."""
    common = ["--config=nano.yaml", f"--data.path={path}", "--trainer.logger=false", *more]
    for name, extra in (("nano", []), ("random", [f"--model.base.weights={random_weights}"])):
        if fit.main([*common, f"--runs={out / name}", *extra]):
            raise SystemExit(1)
    fitted, random = (json.loads((out / name / path.stem / "metrics.json").read_text()) for name in ("nano", "random"))
    base = Nano()
    file = VovFile.open(out / "nano" / path.stem / f"{path.stem}.vov")
    header = file.header
    data = SignalData(str(path), height=header.height, width=header.width, frames=header.frames, caption=file.caption)
    source, caption = data.load(base)
    plain = build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(), sampler_of(header))
    return {
        "clip": path.stem,
        "bpp": fitted["bpp"],
        "unadapted_db": psnr_db(decode(plain, base), source.signal),
        "nano_db": fitted["psnr_db"],
        "random_bpp": random["bpp"],
        "random_db": random["psnr_db"],
        "bound_db": fitted["autoencoder_psnr_db"],
        "fit_s": fitted["seconds"]["stage 1"] + fitted["seconds"]["stage 2"],
    }


if __name__ == "__main__":
    main()
