"""Weights & Biases: the default logger of a fit, and what it gets beside the scalar metrics.

wandb itself is silent. A run that is logged online has one line, with its
address; one that could not be, one line with the reason.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.wandb_server import INIT_S, UPLOAD_S, reason_for_offline
from vov_lightning.runs.result import FitResult
from vov_lightning.video import Signal, side_by_side, viewing_ending, write_signal


class RunLogger(WandbLogger):
    """Lightning's `WandbLogger`, which falls back to offline where there is no account or no server.

    Args:
        project: W&B project.
        name: Name of the W&B run.
        save_dir: Folder of W&B's files; the run's own folder when left at its default.
        offline: Write to disk only; ``wandb sync`` uploads later.
        media: Log preview videos and the ``.vov`` file.
        group: W&B group.
        tags: W&B tags.
        id: W&B's id of the run; empty for that of ``WANDB_RUN_ID``, or a new one. Each clip of a set gets its own.
    """

    def __init__(
        self,
        project: str = "vov_lightning",
        name: str | None = None,
        save_dir: str = ".",
        offline: bool = False,
        media: bool = True,
        group: str | None = None,
        tags: list[str] | None = None,
        id: str | None = None,
    ) -> None:
        wandb.setup(wandb.Settings(silent=True))
        if not offline and (reason := reason_for_offline()) is not None:
            _say(f"W&B: {reason}")
            offline = True
        super().__init__(
            name=name,
            save_dir=save_dir,
            offline=offline,
            project=project,
            group=group,
            tags=tags,
            id=id,
            settings=wandb.Settings(
                silent=True, init_timeout=INIT_S, finish_timeout=UPLOAD_S, finish_timeout_raises=True
            ),
            # Lightning's own `offline` sets an environment variable, to which the login above has made wandb deaf.
            mode="offline" if offline else None,
        )
        self._wandb_init.pop("anonymous")  # Lightning gives it, and wandb warns of it
        self.media = media

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, which begins here; offline where the server does not begin one in time."""
        begun = self._experiment is not None
        try:
            run = super().experiment
        except (wandb.errors.CommError, wandb.errors.AuthenticationError) as error:
            _say(f"W&B: {' '.join(str(error).split())[:200]}; logging offline, `wandb sync` uploads the run later")
            self._offline, self._wandb_init["mode"] = True, "offline"
            run = super().experiment
        if not begun and getattr(run, "url", None):
            _say(f"W&B: {run.url}")
        return run

    def log_clip(self, key: str, clip: Signal) -> None:
        """Log a clip in the form of `media_of`."""
        with tempfile.TemporaryDirectory() as folder:
            self.experiment.log({key: media_of(clip, Path(folder) / "clip.mp4")})

    def log_result(self, result: FitResult) -> None:
        """Log the final table and, with ``media``, the file as an artifact; of a joint fit, one each."""
        for one in result.parts:
            self._log_figures(one, f"result/{one.metrics['name']}")
        self._log_figures(result, "result")

    def _log_figures(self, result: FitResult, key: str) -> None:
        figures = {name: value for name, value in result.metrics.items() if isinstance(value, int | float | str)}
        self.experiment.log({key: wandb.Table(columns=list(figures), data=[list(figures.values())])})
        self.experiment.summary.update({f"{key}/{name}": value for name, value in figures.items()})
        if self.media and not result.parts:
            name = re.sub(r"[^\w.-]", "_", result.metrics["name"], flags=re.ASCII)[:128]
            artifact = wandb.Artifact(name, type="vov", metadata=figures)
            artifact.add_file(str(result.path))
            self.experiment.log_artifact(artifact)


def media_of(clip: Signal, path: Path) -> Any:
    """``clip`` for W&B: H.264 in ``path``, which must stay until it is logged, or else the first frame."""
    if viewing_ending(clip) != ".mp4":
        return wandb.Image(clip.frames[0].permute(1, 2, 0).numpy())
    write_signal(clip, path)
    return wandb.Video(str(path), format="mp4")


def end_tracking() -> None:
    """Close the W&B run of this process, if there is one, so that the next fit begins its own."""
    try:
        wandb.finish()
    except TimeoutError:
        _say(f"W&B: not everything was uploaded in {UPLOAD_S:.0f} s; `wandb sync` uploads the rest")


@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)


class TrackFit(L.Callback):
    """Logs a preview (source | decoded) to every `RunLogger` after each validation."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, VOVModule)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger) and logger.media and trainer.is_global_zero:
                for source, preview in zip(
                    pl_module.sources, pl_module.previews, strict=False
                ):  # or fewer were validated
                    key = f"val/preview/{source.name}" if pl_module.sources[1:] else "val/preview"
                    logger.log_clip(key, side_by_side(source.clip.target, preview))
