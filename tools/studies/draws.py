"""How few draws of (t, eps) a vector needs: the paper's recipe, the same with an eighth of its draws, and with fewer.

    python tools/studies/draws.py --clips DIR --names A B

A window of the bundled model, both stages, no index bits. ``objective`` is what the fit minimises, on the fixed grid of
(t, eps) that validation has: the flow loss of the rounded vector plus lmbda times its bits per entry. Rows are kept: an
interrupted study goes on where it was.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from machine import about
from quality import Row, cached, distances, markdown, means

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.decode import decode
from vov_lightning.fitting.objectives import FlowMatching, flow_losses
from vov_lightning.fitting.times import UniformTime
from vov_lightning.video import remove_padding

K, LMBDA, ITERATIONS = 2048, 3e-3, 250
"""Length of the vector, price of its bits, and iterations of each of the two stages."""
FIGURES = ("bytes", "flow loss", "objective", "LPIPS")
NOISES = 96
"""Draws of which the gradients are compared."""


@dataclass(frozen=True)
class Recipe:
    """How a vector is fitted; the defaults are the paper's."""

    batch_size: int = 64
    learning_rate: float = 1.5e-3
    decay: Literal["constant", "cosine"] = "constant"
    """Of the learning rate in the second stage."""

    @property
    def draws(self) -> int:
        """Of (t, eps) in both stages."""
        return 2 * ITERATIONS * self.batch_size


PAPER = Recipe()
FAST = replace(PAPER, learning_rate=0.04, decay="cosine")
RECIPES = {
    "the paper's": PAPER,
    "the paper's, batches of 8": replace(PAPER, batch_size=8),
    "27 times its learning rate, batches of 8": replace(FAST, batch_size=8),
    "27 times its learning rate, batches of 2": replace(FAST, batch_size=2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", required=True, help="Clips to take, without .mp4.")
    parser.add_argument("--runs", type=Path, default=Path("runs/draws"), help="Folder of the rows.")
    parser.add_argument("--out", type=Path, default=Path("results/draws.json"), help="File of the results.")
    options = parser.parse_args()
    rows: list[Row] = []
    for number, (name, recipe) in enumerate(RECIPES.items()):
        for clip in options.names:
            path = options.clips / f"{clip}.mp4"

            def measured(path: Path = path, recipe: Recipe = recipe) -> list[Row]:
                return [measure(path, recipe)]

            (row,) = cached(options.runs / f"{clip}_{number}.json", asdict(recipe), measured)
            rows.append({"recipe": name, "draws": recipe.draws, "clip": clip} | row)
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    found = about(torch.get_num_threads()) | {
        "columns": [
            *({"name": name} for name in ("recipe", "draws")),
            *({"name": name, "digits": digits} for name, digits in zip(FIGURES, (0, 3, 3, 3), strict=True)),
        ],
        "rows": means(rows, ("recipe", "draws"), FIGURES),
        "clips": rows,
        "signal_to_noise": {clip: signal_to_noise(options.clips / f"{clip}.mp4") for clip in options.names},
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found["signal_to_noise"]))


def fitted(clip: Path, recipe: Recipe) -> tuple[vov.VOVModule, vov.SignalData]:
    """Module and data of a fit of ``recipe``."""
    objective = FlowMatching(UniformTime(), recipe.batch_size, stratified=False)
    module = vov.VOVModule(Nano(), vov.AdapterConfig(K), objective=objective, betas=(0.9, 0.999))
    return module, vov.SignalData(str(clip), frames=9, height=64, width=64)


def measure(clip: Path, recipe: Recipe) -> Row:
    """Bytes of the file, what it shows, and what its fit was to minimise."""
    module, data = fitted(clip, recipe)
    stages = [
        vov.Unconstrained(ITERATIONS, recipe.learning_rate),
        vov.RateConstrained(ITERATIONS, recipe.learning_rate, recipe.decay, lmbda=LMBDA, lmbda_warmup=ITERATIONS // 2),
    ]
    quiet: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}
    with TemporaryDirectory() as folder:
        vov.fit(data, module, stages, folder, **quiet)
    file, source = module.to_file(), module.sources[0].clip.first
    with torch.no_grad():
        module._attach(module._decoded_vector(file))
        loss = float(module._validation_loss(module._targets[0]))
        module._detach()
        shown = distances(decode(file, module.base).frames, remove_padding(source.signal, source.padding))
    objective = loss + LMBDA * module.estimated_bits() / K
    return {"bytes": len(file.to_bytes()), "flow loss": loss, "objective": objective, "LPIPS": shown["lpips"]}


def signal_to_noise(clip: Path) -> float:
    """Size of a draw's mean gradient over its spread (root of the covariance's trace), where the fit begins."""
    module, data = fitted(clip, PAPER)
    module.prepare(data)
    module.on_fit_start()
    (target,) = module._targets
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(NOISES):
        module._attach(module.vector)
        t, eps = torch.rand(1, generator=generator), torch.randn(target.latents.shape, generator=generator)
        loss = flow_losses(target, t, eps, torch.zeros(1, dtype=torch.long), generator).mean()
        gradients.append(torch.autograd.grad(loss, module.vector)[0])
        module._detach()
    spread = torch.stack(gradients).var(0).sum()
    mean = torch.stack(gradients).mean(0).square().sum() - spread / NOISES  # without the noise that the mean has itself
    return float((mean / spread).clamp(min=0).sqrt())


if __name__ == "__main__":
    main()
