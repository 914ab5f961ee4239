"""``vov-eval``: .vov files against their sources, in real metrics, beside other codecs at the same bytes."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import lightning as L
from jsonargparse import ActionConfigFile, Namespace

from vov_lightning.bases import BaseModel
from vov_lightning.cli.bases import PARSER_MODE, with_class_paths
from vov_lightning.cli.common import add_base_arguments, add_flag, class_path, command, given_base, made
from vov_lightning.cli.configs import find_configs
from vov_lightning.cli.devices import check_accelerator
from vov_lightning.cli.eval_on_ray import evaluate_on_ray
from vov_lightning.cli.parser import CommandParser, command_parser
from vov_lightning.cli.settings import EVAL
from vov_lightning.cli.words import with_flags
from vov_lightning.errors import SettingError
from vov_lightning.evaluation.baselines import BASELINES, make_baselines
from vov_lightning.evaluation.cache import Cache, Frames
from vov_lightning.evaluation.entries import Entry, SourceOptions, find_entries
from vov_lightning.evaluation.metrics import METRICS
from vov_lightning.evaluation.module import VOV, EvaluationModule
from vov_lightning.evaluation.report import build_report
from vov_lightning.evaluation.results import about, assemble, format_results, write_results
from vov_lightning.evaluation.tracking import log_evaluation
from vov_lightning.files import atomic_write, check_folder
from vov_lightning.fitting.progress import ProgressOnStderr
from vov_lightning.fitting.tracking import RunLogger, end_tracking
from vov_lightning.launch.config import LaunchConfig
from vov_lightning.video.source import Fit


@command
def main(args: list[str] | None = None) -> int:
    parser = parser_of()
    given = with_flags(sys.argv[1:] if args is None else args, ("--diagnostics",))
    parsed = parser.parse_args(with_class_paths(find_configs(given)))
    if isinstance(parsed.logger, Namespace) and parsed.logger.init_args.save_dir == ".":
        parsed.logger.init_args.save_dir = parsed.out
    quiet = parsed.clone()
    quiet.logger = False  # it speaks up and may ask a server: made once everything else is checked
    options = parser.instantiate(quiet)

    folder = Path(options.out)
    check_folder(folder, replaceable=lambda _: True, error=SettingError)
    check_accelerator(options.accelerator, options.devices)
    sources = None if options.sources is None else Path(options.sources)
    entries, missing = find_entries(map(Path, options.paths), SourceOptions(sources, options.start, options.fit))
    on_ray = options.launcher == "ray"
    module = module_of(options, entries, folder, None if on_ray else given_base(options))
    trainer, logger = trainer_of(options, folder), made(parsed.logger)
    folder.mkdir(parents=True, exist_ok=True)  # W&B does not make it
    for file, error in missing.items():
        print(f"{file} failed: {error}", file=sys.stderr)
    if entries and on_ray:
        found = evaluate_on_ray(parser.dump(quiet), options, entries, folder)
        for name, value in found.items():
            setattr(module, name, value)
    elif entries:
        trainer.test(module, verbose=False)
    module.failures += [{"file": file, "method": VOV, "error": error} for file, error in missing.items()]
    if trainer.is_global_zero:
        settings = json.loads(parser.dump(parsed, format="json"))
        report_on(module, settings, folder, logger)
    return 1 if module.failures else 0


def parser_of() -> CommandParser:
    """The command's parser."""
    parser = command_parser(EVAL, parser_mode=PARSER_MODE)
    parser.add_argument("paths", type=str, nargs="*", default=["runs"], help=EVAL.text_of("paths"))
    parser.add_argument("--config", action=ActionConfigFile, help=EVAL.text_of("--config"))
    parser.add_argument("--sources", type=str | None, default=None, help=EVAL.text_of("--sources"))
    parser.add_argument("--start", type=int, default=0, help=EVAL.text_of("--start"))
    parser.add_argument("--fit", type=Fit | None, default=None, help=EVAL.text_of("--fit"))
    parser.add_argument("--out", type=str, default="runs/evaluation", help=EVAL.text_of("--out"))
    parser.add_argument(
        "--metrics", type=list[str] | None, default=None, help=f"Some of: {', '.join(METRICS)}; empty for all."
    )
    parser.add_argument(
        "--baselines",
        type=list[str],
        default=["x265", "svtav1", "vvenc"],
        help=f"Some of: {', '.join(BASELINES)}; [] for none. They code every clip at the bytes of its file.",
    )
    parser.add_argument(
        "--baseline_settings",
        type=dict[str, dict[str, Any]],
        default={},
        help=EVAL.text_of("--baseline_settings"),
    )
    parser.add_argument("--weights_dir", type=str | None, default=None, help=EVAL.text_of("--weights_dir"))
    add_flag(parser, "diagnostics", EVAL.text_of("--diagnostics"))
    parser.add_argument("--accelerator", type=str, default="auto", help=EVAL.text_of("--accelerator"))
    parser.add_argument("--devices", type=int | str, default=1, help=EVAL.text_of("--devices"))
    parser.add_argument(
        "--logger",
        type=RunLogger | Literal[False],
        default={"class_path": class_path(RunLogger)},
        help=EVAL.text_of("--logger"),
    )
    parser.add_argument("--launcher", type=Literal["ray"] | None, default=None, help=EVAL.text_of("--launcher"))
    parser.add_class_arguments(LaunchConfig, "launch")
    add_base_arguments(parser)
    return parser


def module_of(options: Namespace, entries: list[Entry], folder: Path, base: BaseModel | None) -> EvaluationModule:
    """Module that evaluates ``entries`` under ``options``, with its cache in ``folder``.

    Args:
        options: Of the command.
        entries: What to evaluate.
        folder: Of the results.
        base: That of ``--base``, in place of the one that each file names.

    Raises:
        SettingError: If a metric or a baseline is unknown, or its settings do not suit.
    """
    return EvaluationModule(
        entries,
        options.metrics,
        make_baselines(options.baselines, options.baseline_settings),
        Cache(folder / "cache"),
        None if options.weights_dir is None else Path(options.weights_dir),
        base,
        options.limits,
        options.diagnostics,
    )


def trainer_of(options: Namespace, folder: Path) -> L.Trainer:
    """Lightning's trainer, which shares the files among ``--devices`` processes."""
    return L.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        logger=False,
        callbacks=[ProgressOnStderr()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_model_summary=False,
        inference_mode=False,  # some baselines are fitted
        use_distributed_sampler=False,  # it would repeat clips to give every process as many
    )


def report_on(
    module: EvaluationModule, settings: dict[str, Any], folder: Path, logger: RunLogger | Literal[False]
) -> None:
    """Write, print and log what ``module`` has found.

    Raises:
        SettingError: If no file could be evaluated.
    """
    if not module.points:
        raise SettingError("none of the files could be evaluated; what is wrong with each is said above")
    results = assemble(module, about(settings, module.environment))
    files = write_results(folder, results)
    frames = Frames(module.cache, {point["id"]: point["coded"] for point in results["points"]})
    sources = Frames(module.cache, {point["clip"]: point["source"] for point in results["points"]})
    report = folder / "report.html"
    atomic_write(report, build_report(results, frames, sources).encode())
    print(format_results(results))
    print(f"report   {report}")
    if isinstance(logger, RunLogger):
        log_evaluation(logger, results, frames, sources, [*files, report])
        end_tracking()
