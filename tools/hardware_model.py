"""What every registered base model costs by the operations counted: the data of the documentation's hardware table.

Distilled siblings are left out: an evaluation costs as much as one of the model that they were distilled from.

    python tools/hardware_model.py --out results/hardware_model.json

Nothing is measured: operations are counted on tensors without memory, times assume 40 % of the makers' peak, as
``vov-info --base NAME`` says.
"""

import argparse
import json
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from vov_lightning.bases import BaseModel, class_of
from vov_lightning.bases.estimate import GPUS, UTILISATION, choose_checkpointing, estimate
from vov_lightning.cli.costs import duration

SHOWN = ("H100 80 GB", "RTX 4090 24 GB")
DRAWS = {"preset": 600 * 4, "paper": 2000 * 64}
"""Draws of a fit: iterations of the shipped presets and of the paper, and draws in each."""
STEPS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/hardware_model.json"))
    options = parser.parse_args()
    names = sorted(entry.name for entry in entry_points(group="vov_lightning.bases") if entry.name != "nano")
    classes = {name: class_of(name) for name in names}
    rows = [row for name in names if not derived(classes[name], classes.values()) for row in rows_of(name)]
    about = {"model": f"operations counted, {UTILISATION:.0%} of the peak assumed; not measured"}
    columns = [{"name": name} for name in rows[0]]
    content = {**about, "command": "python tools/hardware_model.py", "columns": columns, "rows": rows}
    options.out.write_text(json.dumps(content, indent=1) + "\n")


def derived(base: type[BaseModel], classes: Iterable[type[BaseModel]]) -> bool:
    """Whether ``base`` is another of ``classes`` under its own name and weights."""
    return any(issubclass(base, other) and base is not other for other in classes)


def rows_of(name: str) -> list[dict[str, str]]:
    """A row for each GPU that has room for a draw of the base model ``name``."""
    base = class_of(name).skeleton()
    size = base.default_size
    costs = estimate(base, size, rank=1)
    rows = []
    for gpu in SHOWN:
        flops, gigabytes = GPUS[gpu]
        room = gigabytes * 1e9 - costs.weight_bytes
        if room <= costs.block_bytes:
            continue
        _, draw_flops = costs.draw(choose_checkpointing(room, costs, evaluations=1))
        draw_s = draw_flops / (UTILISATION * flops)
        rows.append(
            {
                "base model": name,
                "clip": f"{size.frames} x {size.width}x{size.height}",
                "weights": f"{costs.weight_bytes / 1e9:.0f} GB",
                "GPU": gpu,
                **{f"fit, {label}": duration(draw_s * draws) for label, draws in DRAWS.items()},
                "decode, without the autoencoder": duration(costs.forward_flops * STEPS / (UTILISATION * flops)),
            }
        )
    return rows


if __name__ == "__main__":
    main()
