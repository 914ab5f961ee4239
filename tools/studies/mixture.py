"""How to share a file between vector and indices: the same total, from all vector to all indices.

For every clip, total and share, vectors are fitted as `window.yaml` does, of lengths that give the wanted bytes;
indices
fill the file up to the total. Fits are kept: a second run measures only what is new.

    python tools/studies/mixture.py --clips DIR --names news_cif container_cif soccer_cif --out runs/mixture
"""

import argparse
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quality import Row, cached, distances, markdown, means

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import scale
from vov_lightning.fitting.times import ShiftedTime
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.vector.quantizer import NoiseQuantizer

FIXED_BYTES = 84
"""Container, header and caption, about."""
BITS_PER_ENTRY = 2.1
"""What a fit under such a price needs, about."""
FIGURES = ("vector_bytes", "bpp", "psnr_db", "lpips", "dists")


@dataclass(frozen=True)
class Mixture:
    """One way to fill a file."""

    total_bpp: float
    index_share: float
    """Of the bytes after header and caption."""
    lmbda: float = 0.02
    shift: float = 6.0
    """Of the fit's density of times: 1 is uniform, above it prefers noisy times, below it late ones."""
    objective: str = "FlowMatching"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", required=True, help="Clips to take, without .mp4.")
    parser.add_argument("--out", type=Path, default=Path("runs/mixture"), help="Folder of the results.")
    parser.add_argument("--study", choices=STUDIES, default="shares", help="What to vary.")
    options = parser.parse_args()
    rows: list[Row] = []
    for name, mixture in product(options.names, STUDIES[options.study]):
        values = "_".join(str(value) for value in vars(mixture).values())
        path = options.out / f"{name}_{values}.json"
        conditions = {"base": Nano().fingerprint().hex()} | vars(mixture)

        def measured(clip: Path = options.clips / f"{name}.mp4", mixture: Mixture = mixture) -> list[Row]:
            return [measure(clip, mixture)]

        rows += cached(path, conditions, measured)
        print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    print(markdown(means(rows, tuple(vars(Mixture(0, 0))), FIGURES)))


def measure(clip: Path, mixture: Mixture) -> Row:
    """Figures of the file of ``mixture`` and of its decoded clip."""
    base, data = Nano(), window_of(clip)
    source = data.load(base).clip.whole()
    total_bytes = mixture.total_bpp * source.signal.num_pixels / 8
    wanted = (total_bytes - FIXED_BYTES) * (1 - mixture.index_share)
    file = fit(clip, mixture, wanted)
    if 8 * len(file.to_bytes()) < mixture.total_bpp * source.signal.num_pixels and mixture.index_share:
        file = scale(file, base, source, ScalingConfig(target_bpp=mixture.total_bpp))
    sections, num_bytes = file.section_bytes(), len(file.to_bytes())
    bpp = 8 * num_bytes / source.signal.num_pixels
    return (
        {"clip": clip.stem}
        | vars(mixture)
        | {
            "vector_bytes": sections["vector"] + sections["count_table"],
            "bpp": bpp,
        }
        | distances(decode(file, base).frames, source.signal)
    )


def fit(clip: Path, mixture: Mixture, wanted_bytes: float) -> VovFile:
    """A file whose vector takes ``wanted_bytes`` to 15 %; its length is corrected once if need be."""
    k = round(8 * wanted_bytes / BITS_PER_ENTRY)
    for _ in range(2):
        file = fit_length(clip, mixture, k)
        found = file.section_bytes()["vector"] + file.section_bytes()["count_table"]
        if not k or abs(found / wanted_bytes - 1) < 0.15:
            break
        k = round(k * wanted_bytes / found)
    return file


def fit_length(clip: Path, mixture: Mixture, k: int) -> VovFile:
    """The file of a vector of ``k`` numbers."""
    plain = mixture.objective == "Reconstruction"
    objective = vov.Reconstruction() if plain else vov.FlowMatching(ShiftedTime(mixture.shift))
    module = vov.VOVModule(
        Nano(),
        vov.AdapterConfig(k=k, rank=2 if k > 1000 else 1),
        NoiseQuantizer(steps_per_std=0.5),
        objective,
        vov.SamplerConfig(steps=2 if plain else 25),
        rate_learning_rate=3.0,
    )
    if not k:
        module.prepare(window_of(clip))
        return module.to_file()
    length, rate = (400, 4e-2) if plain else (120, 2e-2)
    first = vov.Unconstrained(length, rate, warmup=5)
    last = vov.RateConstrained(length, 0.75 * rate, "cosine", lmbda=mixture.lmbda, lmbda_warmup=length // 4)
    with TemporaryDirectory() as folder:
        options: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}
        return vov.fit(window_of(clip), module, [first, last], folder, **options).file


def window_of(clip: Path) -> vov.SignalData:
    """The first 9 frames of ``clip``, 64 x 64 pixels."""
    return vov.SignalData(str(clip), frames=9, height=64, width=64)


TOTALS = (0.07, 0.13, 0.25)
SHARES = [Mixture(total, share) for total in TOTALS for share in (0.333, 0.667)]
STUDIES = {
    "shares": [
        *(Mixture(total, 1.0) for total in TOTALS),
        *SHARES,
        *(Mixture(total, 0.0, 0.4, objective="Reconstruction") for total in TOTALS),
    ],
    "times": [replace(SHARES[2], shift=shift) for shift in (6.0, 3.0, 1.0, 0.33)],
}


if __name__ == "__main__":
    main()
