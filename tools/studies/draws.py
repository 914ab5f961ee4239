"""How few draws of (t, eps) a vector needs: the paper's recipe, an eighth of its draws, and what makes up for the rest.

    python tools/studies/draws.py --clips DIR --names A B
    python tools/studies/draws.py --clips DIR --names A --recipes eighth soap

A window of the bundled model, both stages, no index bits. The last column is what the fit minimises, on the fixed grid
of (t, eps) that validation has: flow loss of the rounded vector plus lmbda times its bits per entry. Rows are kept: an
interrupted study goes on where it was. Recipe ``soap`` wants ``pip install pytorch-optimizer``.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from machine import about
from quality import Row, cached, distances, markdown, means
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.decode import decode
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import FlowMatching
from vov_lightning.fitting.stages import Stage
from vov_lightning.fitting.times import ShiftedTime, UniformTime
from vov_lightning.video import remove_padding

K = 2048
LMBDA = 3e-3
FIGURES = ("bytes", "psnr_db", "lpips", "flow_loss", "objective")
"""Of a recipe, means over the clips."""


@dataclass(frozen=True)
class Recipe:
    """How a vector is fitted; the defaults are the paper's."""

    batch_size: int = 64
    iterations: tuple[int, int] = (250, 250)
    """Of the two stages; no first one: with the rate from the start."""
    learning_rate: float = 1.5e-3
    decay: Literal["constant", "cosine"] = "constant"
    stratified: bool = False
    shift: float = 1.0
    """Of the times that are drawn; 1 draws them evenly."""
    antithetic: bool = False
    """Every noise is drawn with its negative."""
    averaging: float = 0.0
    """Decay of an exponential average of the vector in stage 2, which is what the file gets; 0 takes the last one."""
    soap: bool = False
    """SOAP (Vyas et al. 2024) in place of AdamW: Adam in the eigenbasis of the gradients' second moments, [k, k]."""


PAPER = Recipe()
EIGHTH = replace(PAPER, batch_size=8)
RECIPES = {"paper": PAPER, "eighth": EIGHTH}


class Antithetic(FlowMatching):
    """Draws in pairs: the second noise is the first one's negative."""

    def draw(self, decoder_noise: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        t, eps = super().draw(decoder_noise, generator)
        half = len(eps) // 2
        return t, torch.stack([eps[:half], -eps[:half]], dim=1).flatten(0, 1)


class Fitted(VOVModule):
    """A vector by a `Recipe`."""

    def __init__(self, recipe: Recipe, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.recipe = recipe
        average = get_ema_multi_avg_fn(recipe.averaging)
        self.mean = AveragedModel(torch.nn.ParameterList([self.vector]), multi_avg_fn=average)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        adam = super().configure_optimizers()
        if not self.recipe.soap:
            return adam
        from pytorch_optimizer import SOAP

        return SOAP(adam.param_groups, lr=1.0, betas=(0.9, 0.99), shampoo_beta=0.99, precondition_1d=True)

    def on_train_batch_end(self, *arguments: Any) -> None:
        super().on_train_batch_end(*arguments)
        if self.recipe.averaging and self.rate_constrained:
            self.mean.update_parameters(torch.nn.ParameterList([self.vector]))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the vector is its average, where there is one."""
        last = self.vector.data
        if self.recipe.averaging:
            self.vector.data = self.mean.module[0].data
        yield
        self.vector.data = last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", required=True, help="Clips to take, without .mp4.")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="What is compared.")
    parser.add_argument("--runs", type=Path, default=Path("runs/draws"), help="Folder of the rows.")
    parser.add_argument("--out", type=Path, default=Path("results/draws.json"), help="File of the results.")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.recipes:
        for clip in options.names:
            recipe, path = RECIPES[name], options.clips / f"{clip}.mp4"
            label = {"recipe": name, "draws": recipe.batch_size * sum(recipe.iterations)}

            def measured(path: Path = path, recipe: Recipe = recipe, label: Row = label) -> list[Row]:
                return [label | {"clip": path.stem} | measure(path, recipe)]

            rows += cached(options.runs / f"{clip}_{name}.json", asdict(recipe), measured)
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    shown = means(rows, ("recipe", "draws"), FIGURES)
    print("\n" + markdown(shown))
    options.out.write_text(json.dumps(about(torch.get_num_threads()) | {"rows": shown, "clips": rows}, indent=2) + "\n")


def measure(clip: Path, recipe: Recipe) -> Row:
    """Bytes of the file, what it shows, and what its fit was to minimise."""
    kind = Antithetic if recipe.antithetic else FlowMatching
    density = ShiftedTime(recipe.shift) if recipe.shift != 1 else UniformTime()
    objective = kind(density, recipe.batch_size, recipe.stratified)
    module = Fitted(recipe, Nano(), vov.AdapterConfig(K), objective=objective, betas=(0.9, 0.999))
    first, second = recipe.iterations
    stages: list[Stage] = [vov.Unconstrained(first, recipe.learning_rate)] if first else []
    stages.append(
        vov.RateConstrained(second, recipe.learning_rate, recipe.decay, lmbda=LMBDA, lmbda_warmup=second // 2)
    )
    quiet: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}
    data = vov.SignalData(str(clip), frames=9, height=64, width=64)
    with TemporaryDirectory() as folder:
        vov.fit(data, module, stages, folder, **quiet)
    with module.averaged(), torch.no_grad():
        file, source = module.to_file(), module.sources[0].clip.first
        module._attach(module._decoded_vector(file))
        loss = float(module._validation_loss(module._targets[0]))
        module._detach()
        bits_per_entry = module.estimated_bits() / K
        shown = distances(decode(file, module.base).frames, remove_padding(source.signal, source.padding))
    found = {"bytes": len(file.to_bytes()), "bits_per_entry": bits_per_entry, "flow_loss": loss}
    return found | {"objective": loss + LMBDA * bits_per_entry} | shown


if __name__ == "__main__":
    main()
