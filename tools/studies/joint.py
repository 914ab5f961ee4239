"""Whether sources that share one vector come back as themselves: LPIPS of every decoded source to every source.

Fits the clips jointly, decodes every file, and prints for each the distances (AlexNet's, without enlargement) to all
sources, of the fit and of the unadapted model under the same captions and sampler: a caption alone may tell two clips
apart. With ``--rotate`` each clip is given the next one's caption, so that captions alone lead to the wrong clip.
Torch hub has the backbone.

    python tools/studies/joint.py --clips A.mp4 B.mp4 --out runs/joint [--rotate] [-- more vov-fit arguments]
"""

import argparse
import json
from pathlib import Path

import torch
from quality import Row, distances, markdown

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import fit
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.settings import sampler_of
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.joint import source_name
from vov_lightning.vector.adapter import AdapterConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="The sources.")
    parser.add_argument("--config", default="vector.yaml", help="Configuration; one without index bits.")
    parser.add_argument("--out", type=Path, default=Path("runs/joint"), help="Folder of the runs.")
    parser.add_argument("--rotate", action="store_true", help="Give each clip the caption of the next.")
    parser.add_argument("more", nargs="*", help="Arguments of vov-fit, after --.")
    options = parser.parse_args()
    paths = [str(path) for path in options.clips]
    arguments = [f"--config={options.config}", f"--data.paths={json.dumps(paths)}", f"--runs={options.out}"]
    if options.rotate:
        captions = [SignalData(path, frames=9, height=64, width=64).load(Nano()).caption for path in paths]
        arguments.append(f"--data.captions={json.dumps(captions[1:] + captions[:1])}")
    if fit.main([*arguments, "--trainer.logger=false", *options.more]):
        raise SystemExit(1)
    rows = measure(options.out / source_name("", paths), paths)
    print(markdown(rows))
    for model in ("joint vector", "unadapted"):
        found = [row for row in rows if row["model"] == model]
        print(f"{model}: {sum(row['decoded'] == row['nearest'] for row in found)} of {len(found)} nearest to their own")


def measure(folder: Path, paths: list[str]) -> list[Row]:
    """A row for each source under the joint vector and under none: PSNR, LPIPS to every source, the nearest one."""
    base = Nano()
    files = {source_name(path): VovFile.open(folder / source_name(path) / f"{source_name(path)}.vov") for path in paths}
    header = next(iter(files.values())).header
    members = [
        SignalData(path, frames=header.frames, height=header.height, width=header.width, caption=file.caption)
        for path, file in zip(paths, files.values(), strict=True)
    ]
    sources = {source.name: source for source in SignalData.joint(members).load_all(base)}
    rows: list[Row] = []
    for model in ("joint vector", "unadapted"):
        for name, file in files.items():
            if model == "unadapted":
                fitted, sampler = sources[name].clip.first, sampler_of(file.header)
                file = build_file(base, fitted, file.caption, torch.zeros(0), 1.0, AdapterConfig(), sampler)
            frames = decode(file, base).frames
            found = {other: distances(frames, source.clip.target) for other, source in sources.items()}
            lpips = {f"LPIPS to {other}": row["lpips"] for other, row in found.items()}
            nearest = min(found, key=lambda other: float(found[other]["lpips"]))
            rows.append(
                {"model": model, "decoded": name, "psnr_db": found[name]["psnr_db"], **lpips} | {"nearest": nearest}
            )
    return rows


if __name__ == "__main__":
    main()
