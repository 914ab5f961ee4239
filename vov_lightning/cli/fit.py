"""``vov-fit``: compress one video or image."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from vov_lightning.captioners.text import read_caption
from vov_lightning.cli.common import command, find_configs
from vov_lightning.errors import RunError
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.folder import RunFolder
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import FlowMatching
from vov_lightning.fitting.progress import FitProgress
from vov_lightning.fitting.run import checkpoint_callback, fit_defaults, format_metrics, train_and_finish
from vov_lightning.fitting.stages import RateConstrained, Unconstrained
from vov_lightning.fitting.tracking import RunLogger, TrackFit
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.vector.quantizer import NoiseQuantizer

DESCRIPTION = """Compress one video or image into a .vov file by fitting it with a frozen generative model.

  vov-fit --config nano.yaml                            the bundled clip with the bundled model, on a CPU
  vov-fit --config nano.yaml --data.path my_clip.mp4    your own clip
  vov-fit --config nano.yaml --stage2.lmbda 6e-3        a smaller file
  vov-fit --config nano.yaml --scaling.target_bpp 0.2   index bits up to that rate
  vov-fit --config nano.yaml --data.caption "dim, blue"  your own words; a file of them: --data.caption_file
  vov-fit --data.captioner.help EndpointCaptioner       a caption from a vision-language model; also LocalCaptioner
  vov-fit --config nano.yaml --print_config             every setting and its default

The result lies in runs/<name>/. The same command goes on with an interrupted run."""


class FitCLI(LightningCLI):
    """Lightning's command line over `VOVModule` and `SignalData`, the stages as groups ``stage1`` and ``stage2``."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        assert args is None or isinstance(args, list)
        self.config = parser.parse_args(find_configs(sys.argv[1:] if args is None else args))

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(Unconstrained, "stage1")
        parser.add_lightning_class_args(RateConstrained, "stage2")
        parser.add_class_arguments(ScalingConfig, "scaling")
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
        parser.add_argument("--overwrite", type=bool, default=False, help="Start a run again that exists already.")

    def before_instantiate_classes(self) -> None:
        config = self.config
        source = Path(config.data.path).resolve().stem
        name = config.name or source
        given = config.ckpt_path not in (None, "last")
        if given and (config.overwrite or not Path(config.ckpt_path).is_file()):
            raise RunError(
                f"--ckpt_path {config.ckpt_path} is no file, or --overwrite would delete it; give one of them"
            )
        self.checkpoint = Path(config.ckpt_path) if given else None
        self.folder = RunFolder(Path(config.runs) / name, source)
        self.identity = self._identity()
        self.finished = self.folder.inspect(self.identity, config.overwrite)
        config.trainer.default_root_dir = str(self.folder.path)
        logger = config.trainer.logger
        if logger and "save_dir" in (logger.get("init_args") or {}):
            logger.init_args.save_dir = str(self.folder.path)

    def instantiate_classes(self) -> None:
        if self.finished is None:
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any):
        callbacks = [checkpoint_callback(self.folder), TrackFit()]
        if self.config.trainer.enable_progress_bar is not False:
            callbacks.append(FitProgress())
        self.trainer_defaults["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def reuse_caption(self) -> None:
        """Where a run goes on, its captioner is not asked again: the folder has the first answer."""
        folder = self.folder if self.checkpoint is None else RunFolder(self.checkpoint.resolve().parents[1], "")
        if self.datamodule.captioner is not None and not self.config.overwrite and folder.caption.is_file():
            self.datamodule.caption = read_caption(folder.caption)

    def _identity(self) -> dict[str, Any]:
        """Every setting that the result depends on."""
        settings = yaml.safe_load(self.parser.dump(self.config))
        for key in ("config", "ckpt_path", "overwrite", "name", "runs"):
            settings.pop(key, None)
        source = Path(self.config.data.path)
        if source.is_file():
            settings["source_sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
        if self.config.data.caption_file is not None:
            settings["caption_in_file"] = read_caption(self.config.data.caption_file)
        return settings


def class_path(cls: type) -> str:
    """``cls`` as jsonargparse names it in a configuration."""
    return f"{cls.__module__}.{cls.__qualname__}"


@command
def main(args: list[str] | None = None) -> None:
    cli = FitCLI(
        VOVModule,
        SignalData,
        run=False,
        args=args,
        seed_everything_default=0,
        save_config_callback=None,
        auto_configure_optimizers=False,
        trainer_defaults={**fit_defaults(), "logger": {"class_path": class_path(RunLogger)}},
        parser_kwargs={"description": DESCRIPTION, "prog": "vov-fit"},
    )
    metrics = cli.finished
    if metrics is None:
        cli.reuse_caption()
        cli.model.prepare(cli.datamodule)
        cli.folder.begin(cli.identity, cli.model.caption, cli.config.overwrite)
        checkpoint = cli.checkpoint
        if checkpoint is None and cli.folder.last_checkpoint.exists():
            checkpoint = cli.folder.last_checkpoint
        scaling = cli.config_init.scaling
        result = train_and_finish(cli.trainer, cli.model, cli.datamodule, cli.folder, scaling, checkpoint)
        for logger in cli.trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.log_result(result)
        metrics = result.metrics
    else:
        print(f"{cli.folder.path} is finished and intact; nothing to do")
    print(format_metrics(metrics))
    print(f"{'files':<8} {cli.folder.path}")
