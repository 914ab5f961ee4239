"""What represents a clip best: LoRA entries of their own, or fewer numbers that a hash spreads over them.

    python tools/studies/adapters.py lora --clips DIR --names A B     the paper's figure 3(a): plain LoRA by rank
    python tools/studies/adapters.py length --clips DIR --names A B   3(b): hashed vectors by length
    python tools/studies/adapters.py rank --clips DIR --names A B     3(c): hashed vectors by rank

Each setting is fitted once to each clip, as stage 1 of `vector.yaml`, and decoded at several iterations. Vectors are
quantised so finely that the figures are the representation's own; the rate is reported, but it is not what a rate-
constrained second stage would leave. Rows are kept: an interrupted study goes on where it was.

An entry is a number of the vector divided by the square root of its uses: the more entries share it, the less a step of
the vector moves them. By default the learning rate grows with that root, and entries move alike in every setting;
``--vector_rate`` keeps the vector's own rate, as the paper does.
"""

import argparse
import math
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
from quality import Row, cached, distances, markdown, means

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.decode import decode
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import Objective
from vov_lightning.vector.hashing import HashScheme
from vov_lightning.vector.quantizer import NoiseQuantizer
from vov_lightning.video import remove_padding

FIGURES = ("bpp", "psnr_db", "lpips", "dists", "autoencoder_psnr_db")
STEPS_PER_STD = 16.0
"""About six bits an entry; eight times finer shows 0.01 dB more."""
ENTRY_RATE = 0.01
"""1.5 times that of `vector.yaml`. At 0.02 a hashed vector gains 1.3 dB at 50 iterations and 0.3 at 400, but plain
LoRA of rank 8 diverges."""


@dataclass(frozen=True)
class Setting:
    """One representation."""

    scheme: HashScheme
    rank: int
    k: int | None = None


OBJECTIVES: dict[str, tuple[type[Objective], int]] = {
    "reconstruction": (vov.Reconstruction, 2),
    "flow_matching": (vov.FlowMatching, 8),
}
"""With the decoder's steps."""
STUDIES = {
    "lora": [Setting("lora", rank) for rank in (1, 2, 4, 8)],
    "length": [Setting("v1", 2, k) for k in (256, 1024, 4096, 16384)],
    "rank": [Setting("v1", rank, 2048) for rank in (1, 2, 4, 8)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES, help="What to vary.")
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", required=True, help="Clips to take, without .mp4.")
    parser.add_argument("--out", type=Path, default=Path("runs/adapters"), help="Folder of the results.")
    parser.add_argument("--iterations", type=int, nargs="+", default=[50, 100, 200, 400], help="When to decode.")
    parser.add_argument("--entry_rate", type=float, default=ENTRY_RATE, help="Learning rate of a LoRA entry.")
    parser.add_argument(
        "--vector_rate", type=float, default=None, help="Learning rate of the vector, in place of --entry_rate."
    )
    parser.add_argument("--objective", choices=OBJECTIVES, default="reconstruction", help="What is minimised.")
    options = parser.parse_args()
    conditions = {
        "base": Nano().fingerprint().hex(),
        "iterations": sorted(options.iterations),
        "entry_rate": options.entry_rate,
        "vector_rate": options.vector_rate,
        "objective": options.objective,
        "steps_per_std": STEPS_PER_STD,
    }
    rate = f"{options.objective}_{options.vector_rate or 'entry'}"
    rows: list[Row] = []
    for name, setting in product(options.names, STUDIES[options.study]):
        path = options.out / options.study / f"{name}_{setting.scheme}_{setting.rank}_{setting.k or 'all'}_{rate}.json"

        def measured(clip: Path = options.clips / f"{name}.mp4", setting: Setting = setting) -> list[Row]:
            return measure(clip, setting, options)

        rows += cached(path, conditions | asdict(setting), measured)
        print(markdown(rows).splitlines()[-1], flush=True)
    print("\n" + markdown(means(rows, ("scheme", "rank", "k", "iterations"), FIGURES)))


def measure(clip: Path, setting: Setting, options: argparse.Namespace) -> list[Row]:
    """What the file shows at each of ``options.iterations`` of one fit."""
    iterations, (objective, steps) = sorted(options.iterations), OBJECTIVES[options.objective]
    module = vov.VOVModule(
        Nano(),
        vov.AdapterConfig(setting.k, setting.rank, scheme=setting.scheme),
        NoiseQuantizer(steps_per_std=STEPS_PER_STD),
        objective(),
        vov.SamplerConfig(steps=steps),
    )
    k, num_entries = len(module.vector), module.adapter.num_entries
    # The hash divides a number by the square root of its uses; this way the entries of every setting move alike.
    rate = options.vector_rate or options.entry_rate * math.sqrt(num_entries / k)
    stage = vov.Unconstrained(iterations[-1], rate, warmup=5)
    decodes = Decodes(iterations)
    with TemporaryDirectory() as folder:
        quiet: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}
        result = vov.fit(
            vov.SignalData(str(clip), frames=9, height=64, width=64),
            module,
            [stage],
            folder,
            callbacks=[decodes],
            **quiet,
        )
    label = {"clip": clip.stem} | asdict(setting) | {"k": k, "entries": num_entries, "rate": rate}
    bound = {"autoencoder_psnr_db": result.metrics["autoencoder_psnr_db"]}
    return [label | row | bound for row in decodes.rows]


class Decodes(L.Callback):
    """Measures what the file shows at some iterations of a fit."""

    def __init__(self, iterations: list[int]) -> None:
        self.iterations = iterations
        self.rows: list[Row] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        assert isinstance(pl_module, VOVModule)
        if trainer.global_step not in self.iterations:
            return
        pl_module.adapter.detach()  # the module's own turn comes after its callbacks'
        file, first = pl_module.to_file(), pl_module.sources[0].clip.first
        target = remove_padding(first.signal, first.padding)
        row: Row = {"iterations": trainer.global_step, "bpp": 8 * len(file.to_bytes()) / target.num_pixels}
        self.rows.append(row | distances(decode(file, pl_module.base).frames, target))


if __name__ == "__main__":
    main()
