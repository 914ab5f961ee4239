"""``vov-fit``: compress one video or image, or a set of them one after the other."""

import sys
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from jsonargparse import ActionConfigFile
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from vov_lightning.bases import BaseModel
from vov_lightning.captioners.text import read_caption
from vov_lightning.cli.bases import PARSER_MODE, SharedBase, with_class_paths
from vov_lightning.cli.common import add_flag, class_path, command
from vov_lightning.cli.configs import find_configs
from vov_lightning.cli.launching import launch_set
from vov_lightning.cli.parser import CommandParser, HelpFormatter
from vov_lightning.cli.rehearsal import shortest, work_of
from vov_lightning.cli.sets import fit_set, show_status
from vov_lightning.cli.settings import FIT
from vov_lightning.cli.stopping import stoppable
from vov_lightning.cli.trainers import one_line_errors, place_loggers, shows_progress, spell_enums
from vov_lightning.cli.values import check_values
from vov_lightning.cli.words import with_clip, with_flags
from vov_lightning.errors import RunError, SettingError
from vov_lightning.files import sha256_of
from vov_lightning.fitting.checks import check_arithmetic
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.figures import format_metrics
from vov_lightning.fitting.history import History
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import FlowMatching
from vov_lightning.fitting.processes import hold_if_started, starts_first
from vov_lightning.fitting.progress import FitProgress
from vov_lightning.fitting.rehearsal import check_clips, check_disk, scratch_folder
from vov_lightning.fitting.run import checkpoint_callback, fit_defaults, train_and_finish
from vov_lightning.fitting.stages import RateConstrained, Unconstrained
from vov_lightning.fitting.tracking import RunLogger, TrackFit, end_tracking
from vov_lightning.launch.config import LaunchConfig
from vov_lightning.runs.claims import Claim
from vov_lightning.runs.costs import format_costs
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.joint import contents_of, source_name
from vov_lightning.runs.plan import describe_plan
from vov_lightning.runs.source import SAMPLE
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.vector.quantizer import NoiseQuantizer

FLAGS = ("--overwrite", "--dry_run", "--status")
NOT_OF_THE_RESULT = ("config", "ckpt_path", "overwrite", "name", "runs", "set", "part", "dry_run", "status", "launcher")
"""Settings that a result does not depend on."""

Launcher = Literal["ray", "slurm"]


class FitParser(CommandParser, LightningArgumentParser):
    """Lightning's parser with errors of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if message.endswith("required: model.base"):
            message = "no base model is given; add --config nano.yaml, another shipped configuration, or --model.base"
        super().error(message, ex)


class FitCLI(LightningCLI):
    """Lightning's command line over `VOVModule` and `SignalData`, the stages as groups ``stage1`` and ``stage2``.

    Only `fit` makes what the configuration names: a set has one configuration, and a fit for every clip.
    """

    def __init__(self, args: list[str], parser: LightningArgumentParser | None = None) -> None:
        """
        Args:
            args: The command line.
            parser: Of another one, which saves building it.
        """
        self._built = parser
        super().__init__(
            VOVModule,
            SignalData,
            run=False,
            args=args,
            seed_everything_default=0,
            save_config_callback=None,
            auto_configure_optimizers=False,
            trainer_defaults={**fit_defaults(), "logger": {"class_path": class_path(RunLogger)}},
            parser_kwargs={
                "description": FIT.description,
                "prog": FIT.name,
                "parser_mode": PARSER_MODE,
                "formatter_class": HelpFormatter,
            },
        )

    def setup_parser(self, *args: Any) -> None:
        if self._built is None:
            super().setup_parser(*args)
        else:
            self.parser = self._built

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        parser = FitParser(**options)
        parser.speak_for(FIT)
        parser.add_argument("-c", "--config", action=ActionConfigFile, help=FIT.text_of("--config"))
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        assert isinstance(args, list)
        self.config = parser.parse_args(args)
        seed = self.config.seed_everything
        if not 0 <= int(seed or 0) < 2**32:
            raise SettingError(f"seed_everything={seed} is outside 0 .. 2^32 - 1")
        spell_enums(self.config.trainer.callbacks)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(Unconstrained, "stage1")
        parser.add_lightning_class_args(RateConstrained, "stage2")
        parser.add_class_arguments(ScalingConfig, "scaling")
        parser.add_class_arguments(DriftMonitor, "drift")
        parser.set_defaults(
            {
                "model.quantizer": {"class_path": class_path(NoiseQuantizer)},
                "model.objective": {"class_path": class_path(FlowMatching)},
            }
        )
        parser.add_argument("--name", type=str | None, default=None, help="Name of the run; empty for the source's.")
        parser.add_argument("--runs", type=str, default="runs", help="Folder that holds the runs.")
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to go on from: a path; empty or 'last': the newest.",
        )
        add_flag(parser, "overwrite", "Start a run again that exists already.")
        parser.add_argument(
            "--set",
            type=str | None,
            default=None,
            help="Folder of clips, images or folders of images to fit in place of data.path, or a set from "
            "tools/prepare_dataset.py. A text file <clip>.txt beside a clip is its caption. What is finished is "
            "skipped, and an error in one clip does not stop the others.",
        )
        parser.add_argument(
            "--part",
            type=str | None,
            default=None,
            help="Of the set: 2/8 takes every 8th clip from the 2nd on; empty in a task of a SLURM array for its part.",
        )
        add_flag(parser, "status", "Say where every clip of the set is, and do nothing else.")
        parser.add_argument("--launcher", type=Launcher | None, default=None, help=FIT.text_of("--launcher"))
        parser.add_class_arguments(LaunchConfig, "launch")
        add_flag(
            parser,
            "dry_run",
            "Check settings, clips, captions and disk, and run everything once at tiny sizes with a stand-in for "
            "the base model; nothing is kept.",
        )

    def _dump_config(self) -> None:
        """Collect no hyperparameters, which nothing saves and which take a fifth of the time around a fit."""
        self.config_dump: dict[str, Any] = {}

    def instantiate_classes(self) -> None:
        """Do nothing yet: `fit` makes the classes."""

    def _open_folder(self, member: bool) -> None:
        config = self.config
        source = source_name(config.data.path, config.data.paths)
        name = config.name or source
        given = config.ckpt_path not in (None, "last")
        if given and (config.overwrite or not Path(config.ckpt_path).is_file()):
            raise RunError(
                f"--ckpt_path {config.ckpt_path} is no file, or --overwrite would delete it; give one of them"
            )
        self.checkpoint = Path(config.ckpt_path) if given else None
        self.folder = RunFolder(Path(config.runs) / name, source)
        if config.dry_run:
            kept = RunFolder(Path(config.runs).parent / name, source)  # the scratch folder lies in --runs
            kept.inspect(self._identity(), config.overwrite)
            self.asked = work_of(config)
            self.full_size = AdapterConfig(**config.model.adapter), SamplerConfig(**config.model.sampler)
            self.config = config = shortest(config)
        self.identity = self._identity()
        # The first process has begun the run when it starts the others.
        self.finished = self.folder.inspect(self.identity, config.overwrite) if starts_first() else None
        config.trainer.default_root_dir = str(self.folder.path)
        place_loggers(config.trainer, self.folder.path, name, member)
        if config.trainer.enable_checkpointing is False:
            raise SettingError("trainer.enable_checkpointing=false would lose a fit that is stopped; leave it out")

    def fit(self, bases: SharedBase, member: bool = False) -> dict[str, Any]:
        """Figures of the finished run; of a dry run also ``cost``, a `ClipCost`.

        Args:
            bases: Where the base model comes from.
            member: Whether the run is one of a set.

        Raises:
            ClaimedError: If another command works on it.
        """
        hold_if_started()
        self._open_folder(member)
        if self.finished is None and (self.config.dry_run or not starts_first()):
            return self._work(bases, member)
        if self.finished is None:
            with Claim(self.folder.claim, str(self.folder.path)):
                self.finished = self.folder.inspect(self.identity, self.config.overwrite)  # it may be by now
                if self.finished is None:
                    return self._work(bases, member)
        print(f"{self.folder.path} is finished and intact; nothing to do")
        return self.finished

    def _work(self, bases: SharedBase, member: bool) -> dict[str, Any]:
        self.parser.add_instantiator(bases, BaseModel, subclasses=True)
        with one_line_errors(self.config.trainer):
            super().instantiate_classes()
        more = {}
        if self.config.dry_run:
            self.datamodule, more["cost"] = check_clips(self.datamodule, self.model.base, *self.full_size, self.asked)
        self.reuse_caption()
        self.check_devices(member)
        self.model.base.text_device = self.trainer.strategy.root_device
        self.model.prepare(self.datamodule)
        self.config_init.drift.embed(self.model.base)
        captions = {source.name: source.caption for source in self.model.sources}
        if self.trainer.is_global_zero:
            self.say_plan()
            self.folder.begin(self.identity, captions, self.config.overwrite)
        checkpoint = self.checkpoint
        if checkpoint is None and self.folder.last_checkpoint.exists():
            checkpoint = self.folder.last_checkpoint
        scaling = self.config_init.scaling
        result = train_and_finish(self.trainer, self.model, self.datamodule, self.folder, scaling, checkpoint)
        for logger in self.trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.log_result(result)
        return result.metrics | more

    def instantiate_trainer(self, **kwargs: Any):
        callbacks = [checkpoint_callback(self.folder), History(self.folder.history), TrackFit()]
        if self.config_init.drift.enabled:
            callbacks.append(self.config_init.drift)
        if self.config.trainer.enable_progress_bar is not False and not shows_progress(self.config_init.trainer):
            callbacks.append(FitProgress())
        self.trainer_defaults["callbacks"] = callbacks
        with one_line_errors(self.config.trainer, of_trainer=True):
            return super().instantiate_trainer(**kwargs)

    def check_devices(self, member: bool) -> None:
        """Refuse what one vector on several devices cannot be.

        Raises:
            RunError: If the run is one of a set, or watches drift.
        """
        if self.trainer.world_size == 1:
            return
        if member:
            raise RunError(
                f"trainer.devices gives {self.trainer.world_size} processes, which fit one clip together; for a set "
                "give each GPU its own clips with --part, and --trainer.devices 1"
            )
        if self.config_init.drift.enabled:
            raise RunError("drift is watched by one process; leave --drift out, or give --trainer.devices 1")

    def say_plan(self) -> None:
        """Print the source, the expected result and the time; nothing in a dry run, whose sizes differ."""
        if self.config.dry_run:
            return
        device = self.trainer.strategy.root_device
        check_arithmetic(self.model.sampler.compute_dtype, self.model.base.dtype, device)
        timed = device.type == "cpu"
        for source, member in zip(self.model.sources, self.datamodule.members, strict=True):
            print(describe_plan(source, member.file, self.model.base, self.model.sampler, timed), flush=True)

    def reuse_caption(self) -> None:
        """Take captions from the folder of a run that goes on, so that its captioner is not asked again."""
        folder = self.folder if self.checkpoint is None else RunFolder(self.checkpoint.resolve().parents[1], "")
        members = self.datamodule.members
        for member, part in zip(members, folder.parts([member.source_name for member in members]), strict=True):
            if member.captioner is not None and not self.config.overwrite and part.caption.is_file():
                member.caption = read_caption(part.caption)

    def _identity(self) -> dict[str, Any]:
        """Every setting that the result depends on."""
        settings = yaml.safe_load(self.parser.dump(self.config))
        for key in (*NOT_OF_THE_RESULT, "launch"):
            settings.pop(key, None)
        if self.config.drift.every_n_iterations is None:  # nothing depends on a monitor that is off
            del settings["drift"]
        data = self.config.data
        settings["data"]["path"] = str(Path(data.path))  # a folder is the same with a slash behind it
        if data.paths is not None:
            settings |= contents_of(data.paths, data.captions)
        source = Path(data.path)
        if data.path != SAMPLE and (source.is_file() or source.is_dir()):
            settings["source_sha256"] = sha256_of(source)
        if data.caption_file is not None:
            settings["caption_in_file"] = read_caption(data.caption_file)
        return settings


@command
@stoppable
def main(args: list[str] | None = None) -> int:
    given = sys.argv[1:] if args is None else args
    args = with_class_paths(find_configs(with_clip(with_flags(given, FLAGS))))
    if "--status=true" in args:  # the state of a folder depends on no model
        args = ["--model.base=vov_lightning.bases.nano.Nano", *args]
    cli = FitCLI(args)
    if cli.config.status:
        return show_status(cli.config)
    check_values(cli.config)
    if cli.config.launcher is not None and cli.config.set is None:
        raise SettingError(f"--launcher {cli.config.launcher} shares a set; give --set FOLDER, or leave it out")
    if cli.config.launcher == "slurm" or (cli.config.launcher == "ray" and not cli.config.dry_run):
        return launch_set(cli)
    if not cli.config.dry_run:
        return fit_set(cli, args) if cli.config.set is not None else fit_clip(cli)
    with scratch_folder(Path(cli.config.runs)) as scratch:
        cli.config.runs = str(scratch)
        return fit_set(cli, args) if cli.config.set is not None else fit_clip(cli)


def fit_clip(cli: FitCLI) -> int:
    """Fit ``data.path``, or ``data.paths`` jointly; the exit status."""
    config = cli.config
    if config.part is not None:
        raise SettingError(f"--part {config.part} is a part of a set; give --set FOLDER, or leave --part out")
    metrics = cli.fit(SharedBase(stand_in=config.dry_run))
    end_tracking()
    if config.dry_run:
        cost = metrics["cost"]
        print(format_costs({cli.folder.name: cost}))
        print(f"dry run passed: {check_disk(cli.folder.path, cost.disk_bytes)}")
    else:
        print(f"{format_metrics(metrics)}\n{'files':<8} {cli.folder.path}")
    return 0
