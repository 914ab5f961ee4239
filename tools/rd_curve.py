"""A rate-distortion curve in one command: a set of clips, fitted at every combination of lambda, k and index bits.

    python tools/rd_curve.py --set DIR --config nano.yaml --lmbda 1e-2 2e-2 4e-2 --k 256 --bits 1000 4000 --runs runs/rd

Every combination is a set of its own below --runs, named by its settings (lmbda-0.02_k-256_bits-4000/<clip>/), as
`vov-fit --set` makes it; all of them are one W&B group. What is finished is verified and skipped, so the same command
goes on where it was interrupted, and longer lists add to the curve. An error in one combination does not stop the
others. A table of means over the clips ends it, and --eval measures everything with `vov-eval`.

Options that are not named below go to vov-fit as they are: --model.sampler.steps=50 --trainer.accelerator=gpu ...
"""

import argparse
import json
import math
import sys
import traceback
from itertools import product
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from vov_lightning.cli import fit
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.configs import find_configs
from vov_lightning.cli.stopping import UNFINISHED
from vov_lightning.errors import SettingError

SETTINGS = {"lmbda": "stage2.lmbda", "k": "model.adapter.k", "bits": "scaling.bits", "target_bpp": "scaling.target_bpp"}
"""Options of the sweep, and what they set."""
Combination = dict[str, float | int]


def main(args: list[str] | None = None) -> int:
    """The exit status: 0, 1 if anything failed or stopped early, 128 and its number if a signal stopped it."""
    options, more = parse(args)
    swept = [name for name in SETTINGS if getattr(options, name) is not None]
    combinations = [
        dict(zip(swept, chosen, strict=True)) for chosen in product(*(getattr(options, name) for name in swept))
    ]
    shared, group = shared_arguments(options, more)
    outcomes: dict[str, int] = {}
    for number, combination in enumerate(combinations, start=1):
        name = name_of(combination)
        print(f"[{number}/{len(combinations)}] {name}", flush=True)
        outcomes[name] = run([*shared, *arguments_of(combination), f"--name={name}"])
        if outcomes[name] > 128:  # a signal
            return outcomes[name]
    rows = [row_of(options.runs, combination, outcomes[name_of(combination)]) for combination in combinations]
    print(table(rows))
    folders = [str(options.runs / name_of(row)) for row in combinations if (options.runs / name_of(row)).is_dir()]
    command = [*folders, "--sources", str(options.set), "--out", str(options.runs / "evaluation")]
    command.append("--logger=false" if group is None else f"--logger.init_args.group={group}")
    if options.eval_config:
        command.insert(0, f"--config={options.eval_config}")
    failed = any(outcomes.values())
    if options.eval and folders:
        failed = bool(evaluate_all(command)) or failed
    elif folders:
        print(f"measure them:  vov-eval {' '.join(command)}")
    return 1 if failed else 0


def parse(args: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Options of this script, and the arguments that are left for vov-fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--set", "--clips", type=Path, required=True, help="Folder of clips, as for vov-fit.")
    parser.add_argument(
        "--config", action="append", required=True, help="Configuration of vov-fit; may be given several times."
    )
    parser.add_argument("--lmbda", type=float, nargs="+", help="Prices of the vector's bits (stage2.lmbda).")
    parser.add_argument("--k", type=int, nargs="+", help="Lengths of the vector (model.adapter.k).")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--bits", type=int, nargs="+", help="Index bits of a clip (scaling.bits).")
    budget.add_argument("--target_bpp", type=float, nargs="+", help="Bits per pixel to fill up with indices.")
    parser.add_argument("--runs", type=Path, default=Path("runs/rd"), help="Folder of the combinations.")
    parser.add_argument("--group", help="W&B group; the name of the --runs folder if left out.")
    parser.add_argument("--eval", action="store_true", help="Measure the finished runs with vov-eval at the end.")
    parser.add_argument("--eval_config", help="Configuration of vov-eval, e.g. eval/nano.yaml.")
    options, more = parser.parse_known_args(args)
    if not any(getattr(options, name) for name in SETTINGS):
        parser.error("nothing to sweep; give --lmbda, --k, --bits or --target_bpp, each with one value or more")
    if options.eval_config:
        try:
            find_configs([f"--config={options.eval_config}"])
        except SettingError as error:
            parser.error(str(error).replace("--config", "--eval_config", 1))
    return options, more


def name_of(combination: Combination) -> str:
    """Folder of a combination.

    Example:
        >>> name_of({"lmbda": 3e-3, "bits": 4000})
        'lmbda-0.003_bits-4000'
    """
    return "_".join(f"{name}-{value}" for name, value in combination.items())


def shared_arguments(options: argparse.Namespace, more: list[str]) -> tuple[list[str], str | None]:
    """What every command line of `vov-fit` begins with, and W&B's group, where there is a logger that takes one."""
    configs = [f"--config={config}" for config in options.config]
    shared = [*configs, *more, f"--set={options.set}", f"--runs={options.runs}"]
    logger = fit.FitCLI(with_class_paths(find_configs(shared))).config.trainer.logger
    if not isinstance(logger, Namespace) or "group" not in (logger.get("init_args") or {}):
        return shared, None  # none, Lightning's own, or a list that has its own groups
    group = options.group or options.runs.resolve().name
    return [*shared, f"--trainer.logger.init_args.group={group}"], group


def arguments_of(combination: Combination) -> list[str]:
    """Options of `vov-fit` for the settings of one combination."""
    return [f"--{SETTINGS[name]}={value}" for name, value in combination.items()]


def run(arguments: list[str]) -> int:
    """Exit status of `vov-fit`, whatever goes wrong in it."""
    try:
        return fit.main(arguments)
    except SystemExit:  # a setting that does not parse
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def row_of(runs: Path, combination: Combination, outcome: int) -> dict[str, Any]:
    """A line of the table: the combination, and means over its finished clips."""
    try:
        summary = json.loads((runs / name_of(combination) / "summary.json").read_text())
    except FileNotFoundError:
        summary = {"clips": [], "mean": {}}
    figures = {key: summary["mean"].get(key, math.nan) for key in ("bytes", "bpp", "psnr_db")}
    if figures["psnr_db"] is None:  # no loss
        figures["psnr_db"] = math.inf
    state = {0: "ok", UNFINISHED: "unfinished"}.get(outcome, "failed")
    return {**combination, "clips": len(summary["clips"]), **figures, "state": state}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of the same keys in columns."""
    digits = {"bytes": ".0f", "bpp": ".4f", "psnr_db": ".2f"}
    cells = [list(rows[0]), *([format(value, digits.get(key, "")) for key, value in row.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def evaluate_all(arguments: list[str]) -> int:
    """Exit status of `vov-eval`."""
    from vov_lightning.cli import eval as evaluate  # its metrics take seconds to import

    return evaluate.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
