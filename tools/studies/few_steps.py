"""A vector for a decoder of few steps: what to fit it through, and what a distilled sibling is worth.

For every clip, one window of it, vectors of about as many bytes are fitted by flow matching on `nano`, by
reconstruction through its few steps, and by reconstruction through those of a few-step sibling. Each is decoded by the
models that can use it, alone and with indices up to --bpp; beside them no vector, alone and with as many bytes of
indices. Fits and figures are kept: a second run measures only what is new.

    python tools/studies/few_steps.py --clips DIR --names akiyo_cif foreman_cif --sibling runs/nano_few_steps/export
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from machine import about
from quality import Row, cached, distances, markdown, means

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import scale
from vov_lightning.fitting.times import ShiftedTime
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.quantizer import NoiseQuantizer
from vov_lightning.video import Fitted

MANY = 25
"""Steps of the decoder to compare with."""
FIGURES = ("bpp", "psnr_db", "lpips", "dists")


@dataclass(frozen=True)
class Way:
    """What a vector is fitted through."""

    label: str
    through: str
    reconstruction: bool
    """Through the decoder's few steps, in place of flow matching on `nano`."""
    through_sibling: bool
    iterations: int
    """Of each stage."""
    lmbda: float
    decoders: tuple[tuple[bool, bool], ...]
    """Whether each decoder is the sibling, and whether it takes few steps."""


WAYS = (
    Way("none", "", False, False, 0, 0.0, ((False, False), (False, True), (True, True))),
    Way("flow matching", "nano", False, False, 120, 0.02, ((False, False), (False, True), (True, True))),
    Way("reconstruction", "few steps of nano", True, False, 200, 0.4, ((False, True),)),
    Way("reconstruction", "few steps of the sibling", True, True, 200, 0.4, ((True, True),)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", required=True, help="Clips to take, without .mp4.")
    parser.add_argument("--sibling", type=Path, required=True, help="Folder of the few-step sibling.")
    parser.add_argument("--steps", type=int, default=4, help="Steps that the sibling was distilled to.")
    parser.add_argument("--k", type=int, default=600, help="Length of the vectors.")
    parser.add_argument("--bpp", type=float, default=0.08, help="Bits per pixel with indices.")
    parser.add_argument("--runs", type=Path, default=Path("runs/few_steps"), help="Folder of the fits.")
    parser.add_argument("--out", type=Path, default=Path("results/few_steps.json"), help="File of the results.")
    options = parser.parse_args()

    rows: list[Row] = []
    models = {False: Nano(), True: Nano(str(options.sibling))}
    prints = {sibling: model.fingerprint().hex() for sibling, model in models.items()}
    for name in options.names:
        for number, way in enumerate(WAYS):
            needed = {way.through_sibling, *(sibling for sibling, _ in way.decoders)}
            conditions = {key: str(getattr(options, key)) for key in ("clips", "steps", "k", "bpp")}
            conditions |= vars(way) | {"models": [prints[one] for one in sorted(needed)]}

            def measured(clip: Path = options.clips / f"{name}.mp4", way: Way = way) -> list[Row]:
                return measure(clip, way, models, options)

            rows += cached(options.runs / f"{name}_{number}.json", json.loads(json.dumps(conditions)), measured)
            print(markdown(rows[-2 * len(way.decoders) :]), flush=True)
    table = means(rows, ("vector", "fitted through", "decoder", "indices"), FIGURES)
    print(markdown(table))
    found = about(threads=1) | {"means": table, "rows": rows}
    options.out.write_text(json.dumps(found, indent=2) + "\n")


def measure(clip: Path, way: Way, models: dict[bool, Nano], options: argparse.Namespace) -> list[Row]:
    """Figures of the clip by every decoder of ``way``, without indices and with them."""
    loaded = vov.SignalData(str(clip), frames=9, height=64, width=64).load(models[False])
    source = loaded.clip.whole()
    fitted = fit(clip, way, models[way.through_sibling], options) if way.iterations else None
    rows: list[Row] = []
    for sibling, is_few in way.decoders:
        sampler = SamplerConfig(steps=options.steps if is_few else MANY)
        plain = with_vector(models[sibling], source, loaded.caption, fitted, sampler)
        filled = scale(plain, models[sibling], source, ScalingConfig(target_bpp=options.bpp))
        for file in (plain, filled):
            frames = decode(file, models[sibling]).frames
            rows.append(
                {
                    "clip": clip.stem,
                    "vector": way.label,
                    "fitted through": way.through,
                    "decoder": f"{'sibling' if sibling else 'nano'}, {sampler.steps} steps",
                    "indices": "with" if file is filled else "without",
                    "bpp": 8 * len(file.to_bytes()) / source.signal.num_pixels,
                }
                | distances(frames, source.signal)
            )
    return rows


def fit(clip: Path, way: Way, base: Nano, options: argparse.Namespace) -> VovFile:
    """The file of a vector that is fitted in that way."""
    module = vov.VOVModule(
        base,
        vov.AdapterConfig(k=options.k, rank=2),
        NoiseQuantizer(steps_per_std=0.5),
        vov.Reconstruction() if way.reconstruction else vov.FlowMatching(ShiftedTime(3.0)),
        SamplerConfig(steps=options.steps if way.reconstruction else MANY),
        rate_learning_rate=3.0,
    )
    rate = 4e-2 if way.reconstruction else 2e-2
    first = vov.Unconstrained(way.iterations, rate, warmup=5)
    last = vov.RateConstrained(way.iterations, 0.75 * rate, "cosine", lmbda=way.lmbda, lmbda_warmup=way.iterations // 4)
    with TemporaryDirectory() as folder:
        trainer: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}
        data = vov.SignalData(str(clip), frames=9, height=64, width=64)
        return vov.fit(data, module, [first, last], folder, **trainer).file


def with_vector(base: Nano, source: Fitted, caption: str, fitted: VovFile | None, sampler: SamplerConfig) -> VovFile:
    """The file that ``base`` decodes by ``sampler`` under the vector of ``fitted``, if there is one."""
    symbols, step, adapter = torch.zeros(0), 1.0, vov.AdapterConfig(k=0)
    if fitted is not None:
        header = fitted.header
        symbols, step = torch.tensor(fitted.symbols), header.step
        adapter = vov.AdapterConfig(k=header.k, rank=header.rank, seed=header.hash_seed)
    return build_file(base, source, caption, symbols, step, adapter, sampler)


if __name__ == "__main__":
    main()
