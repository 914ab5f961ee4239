"""What the pretrained transformer is worth: three fits of the same clip to about the same number of bytes.

For every clip of a folder: the unadapted model, the fit on `nano`, the same fit (same k, evaluations and lambda) on a
transformer that was never trained, a SIREN with as many coded bytes as nano's whole file, and the autoencoder alone.
LPIPS (AlexNet) and DISTS are computed on the frames as they are, without enlargement; torch hub has their backbones.

Clips that are already measured under the same conditions are not measured again.

    python tools/bench/prior.py --clips DIR --out runs/prior [--limit 4] [-- more vov-fit arguments]
"""

import argparse
import json
from pathlib import Path
from statistics import mean

import torch
from implicit import fit_siren
from torch import Tensor
from torchmetrics.functional.image import deep_image_structure_and_texture_similarity as dists
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from vov_lightning.bases.nano import Nano, build_transformer
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import fit
from vov_lightning.codec import build_file, decode, sampler_of
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import psnr_db
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal

Row = dict[str, float | str]


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
    rows: list[Row] = []
    for path in sorted(options.clips.glob("*.mp4"))[: options.limit]:
        measured = options.out / f"{path.stem}.json"
        conditions = {"base": Nano().fingerprint().hex(), "more": options.more}
        known = json.loads(measured.read_text()) if measured.exists() else {}
        if known.get("conditions") != conditions:
            known = {"conditions": conditions, "rows": measure(path, options.out, random_weights, options.more)}
            measured.write_text(json.dumps(known, indent=2) + "\n")
        rows += known["rows"]
    print_tables(rows)


def save_random_transformer(folder: Path) -> None:
    """`nano` with its own autoencoder and word table, and a transformer as PyTorch initialises it."""
    model = Nano()
    torch.manual_seed(0)
    model._transformer = build_transformer(model.config)
    model.revision = "random-transformer"
    model.save(folder)


def measure(path: Path, out: Path, random_weights: Path, more: list[str]) -> list[Row]:
    """One row a method."""
    common = ["--config=nano.yaml", f"--data.path={path}", "--trainer.logger=false", *more]
    files = {}
    for name, extra in (("nano", []), ("random", [f"--model.base.weights={random_weights}"])):
        if fit.main([*common, f"--runs={out / name}", *extra]):
            raise SystemExit(1)
        files[name] = VovFile.open(out / name / path.stem / f"{path.stem}.vov")
    base = Nano()
    header = files["nano"].header
    size = {"height": header.height, "width": header.width, "frames": header.frames}
    source, caption = SignalData(str(path), **size, caption=files["nano"].caption).load(base)
    plain = build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(), sampler_of(header))
    siren, siren_bytes = fit_siren(source.signal.frames, len(files["nano"].to_bytes()))
    shown = {
        "unadapted": (decode(plain, base).frames, len(plain.to_bytes())),
        "nano": (decode(files["nano"], base).frames, len(files["nano"].to_bytes())),
        "random transformer": (
            decode(files["random"], Nano(str(random_weights))).frames,
            len(files["random"].to_bytes()),
        ),
        "SIREN": (siren, siren_bytes),
        "autoencoder alone": (base.decode(base.encode(source.signal.frames), len(source.signal.frames)), 0),
    }
    return [
        {"clip": path.stem, "method": name, "bpp": 8 * num_bytes / source.signal.num_pixels}
        | distances(frames, source.signal)
        for name, (frames, num_bytes) in shown.items()
    ]


@torch.no_grad()
def distances(frames: Tensor, source: Signal) -> Row:
    """PSNR over all frames; LPIPS and DISTS, means over frames."""
    x_hat, x = frames.float() / 255, source.frames.float() / 255
    lpips = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
    return {
        "psnr_db": psnr_db(Signal(frames, source.fps, "decoded"), source),
        "lpips": float(lpips(x_hat, x)),
        "dists": float(dists(x_hat, x, reduction="mean")),
    }


def print_tables(rows: list[Row]) -> None:
    """Means of every method, then every clip's PSNR."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    print(f"\n| mean of {len(clips)} clips | bpp | PSNR, dB | LPIPS | DISTS |\n| --- | --- | --- | --- | --- |")
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        figures = (mean(row[key] for row in own) for key in ("bpp", "psnr_db", "lpips", "dists"))
        print(f"| {method} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    print("\n| PSNR, dB (bpp) | " + " | ".join(methods) + " |\n" + "| --- " * (1 + len(methods)) + "|")
    for clip in clips:
        own = [row for row in rows if row["clip"] == clip]
        print(f"| {clip} | " + " | ".join(f"{row['psnr_db']:.2f} ({row['bpp']:.3f})" for row in own) + " |")


if __name__ == "__main__":
    main()
