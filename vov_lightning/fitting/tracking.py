"""Weights & Biases: the default logger of a fit, and what it gets beside the scalar metrics."""

import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.run import FitResult
from vov_lightning.video import Signal, side_by_side, viewing_ending, write_signal


class RunLogger(WandbLogger):
    """Lightning's `WandbLogger`, which falls back to offline where there is no account.

    Args:
        project: W&B project.
        name: Name of the W&B run.
        save_dir: Folder of W&B's files; the run's own folder when left at its default.
        offline: Write to disk only; ``wandb sync`` uploads later.
        media: Log preview videos and the ``.vov`` file.
        group: W&B group.
        tags: W&B tags.
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
    ) -> None:
        if not offline and not wandb.login(prompt=False, verify=False):
            _say("W&B: no API key found, logging offline; run `wandb login` to log online")
            offline = True
        super().__init__(
            name=name,
            save_dir=save_dir,
            offline=offline,
            project=project,
            group=group,
            tags=tags,
            # Lightning's own `offline` sets an environment variable, to which the login above has made wandb deaf.
            mode="offline" if offline else None,
        )
        self.media = media

    def log_clip(self, key: str, clip: Signal) -> None:
        """Log a clip as `media_of` has it."""
        with tempfile.TemporaryDirectory() as folder:
            self.experiment.log({key: media_of(clip, Path(folder) / "clip.mp4")})

    def log_result(self, result: FitResult) -> None:
        """Log the final table and, with ``media``, the file as an artifact; of a joint fit, one each."""
        for one in result.parts:
            self._log_figures(one, f"result/{one.metrics['name']}")
        self._log_figures(result, "result")

    def _log_figures(self, result: FitResult, key: str) -> None:
        figures = {name: value for name, value in result.metrics.items() if isinstance(value, int | float | str)}
        figures |= {name: str(value) for name, value in figures.items() if value in (math.inf, -math.inf)}  # no JSON
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
    wandb.finish()


@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)


class TrackFit(L.Callback):
    """Logs a preview (source | decoded) to every `RunLogger` after each validation."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, VOVModule)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger) and logger.media:
                for source, preview in zip(
                    pl_module.sources, pl_module.previews, strict=False
                ):  # or fewer were validated
                    key = f"val/preview/{source.name}" if pl_module.sources[1:] else "val/preview"
                    logger.log_clip(key, side_by_side(source.clip.target, preview))
