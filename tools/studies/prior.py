"""Gain from the pretrained transformer: the same clip in about the same number of bytes, by several means.

For every clip of a folder: `window.yaml` (a small vector and indices), the same on a transformer that was never
trained,
`vector.yaml` (no indices), indices alone in as many bytes, the unadapted model under both samplers, a SIREN of as many
coded bytes, a thumbnail, and the autoencoder alone.
LPIPS (AlexNet) and DISTS are computed on the frames as they are, without enlargement; torch hub has their backbones.

Clips that are already measured under the same conditions are not measured again.

    python tools/studies/prior.py --clips DIR --out runs/prior [--limit 4] [-- more vov-fit arguments]
"""

import argparse
from pathlib import Path

import torch
from quality import Row, cached, distances, markdown, means
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bases.nano.model import Nano, build_transformer
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import fit
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import scale
from vov_lightning.codec.settings import sampler_of
from vov_lightning.evaluation.baselines.siren import fit_siren
from vov_lightning.fitting.data import SignalData
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
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
    rows: list[Row] = []
    for path in sorted(options.clips.glob("*.mp4"))[: options.limit]:
        conditions = {"base": Nano().fingerprint().hex(), "more": options.more}

        def measured(path: Path = path) -> list[Row]:
            return measure(path, options.out, random_weights, options.more)

        rows += cached(options.out / f"{path.stem}.json", conditions, measured)
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
    runs = {
        "vector and indices": ("window.yaml", []),
        "vector and indices, random transformer": ("window.yaml", [f"--model.base.weights={random_weights}"]),
        "vector": ("vector.yaml", []),
    }
    files, base = {}, Nano()
    for name, (config, extra) in runs.items():
        folder = out / name.replace(", ", "_").replace(" ", "_")
        arguments = [f"--config={config}", f"--data.path={path}", "--trainer.logger=false", *more, *extra]
        if fit.main([*arguments, f"--runs={folder}"]):
            raise SystemExit(1)
        files[name] = VovFile.open(folder / path.stem / f"{path.stem}.vov")
    header = files["vector and indices"].header
    loaded = SignalData(
        str(path), frames=header.frames, height=header.height, width=header.width, caption=files["vector"].caption
    ).load(base)
    source, caption = loaded.clip.first, loaded.caption

    def plain(sampler: SamplerConfig) -> VovFile:
        return build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(k=0), sampler)

    for name in ("vector and indices", "vector"):
        sampler = sampler_of(files[name].header)
        files[f"unadapted, {sampler.steps} steps"] = plain(sampler)
    num_bytes = len(files["vector and indices"].to_bytes())
    bpp = 8 * num_bytes / source.signal.num_pixels
    unadapted = plain(sampler_of(header))
    files["indices"] = scale(unadapted, base, source, ScalingConfig(target_bpp=bpp))

    models = dict.fromkeys(files, base) | {"vector and indices, random transformer": Nano(str(random_weights))}
    shown = {name: (decode(file, models[name]).frames, len(file.to_bytes())) for name, file in files.items()}
    shown["SIREN"] = fit_siren(source.signal.frames, num_bytes)
    shown["8 x 8 thumbnail of the first frame"] = (thumbnail(source.signal.frames), 0)
    autoencoded = base.decode(base.encode(source.signal.frames), len(source.signal.frames))
    shown["autoencoder alone"] = (autoencoded, 0)
    return [
        {"clip": path.stem, "method": name, "bpp": 8 * num_bytes / source.signal.num_pixels}
        | distances(frames, source.signal)
        for name, (frames, num_bytes) in shown.items()
    ]


def thumbnail(frames: Tensor) -> Tensor:
    """The first of ``frames`` [T, 3, H, W], averaged to 8 x 8, enlarged again and held still."""
    small = F.interpolate(frames[:1].float(), size=(8, 8), mode="area")
    return F.interpolate(small, size=frames.shape[2:], mode="bicubic").clamp(0, 255).byte().expand_as(frames)


def print_tables(rows: list[Row]) -> None:
    """Means of every method, then every clip's PSNR."""
    table = means(rows, ("method",), ("bpp", "psnr_db", "lpips", "dists"))
    print("\n" + markdown(table))
    methods = [row["method"] for row in table]
    print("\n| PSNR, dB (bpp) | " + " | ".join(methods) + " |\n" + "| --- " * (1 + len(methods)) + "|")
    for clip in dict.fromkeys(row["clip"] for row in rows):
        own = [row for row in rows if row["clip"] == clip]
        print(f"| {clip} | " + " | ".join(f"{row['psnr_db']:.2f} ({row['bpp']:.3f})" for row in own) + " |")


if __name__ == "__main__":
    main()
