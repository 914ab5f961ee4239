"""Lightning's progress bars on standard error, like the sampler's: standard output is for results."""

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from vov_lightning.fitting.stages import stage_at


class ProgressOnStderr(TQDMProgressBar):
    """Lightning's bar with the time left, on standard error."""

    def init_test_tqdm(self) -> Tqdm:
        """Bar over the files under test."""
        return self._bar("evaluation", int(sum(self.trainer.num_test_batches)), leave=True)

    def _bar(self, title: str, total: int, **options: Any) -> Tqdm:
        return Tqdm(
            desc=title,
            total=total,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0,
            bar_format=self.BAR_FORMAT,
            **options,
        )


class FitProgress(ProgressOnStderr):
    """One bar over all iterations with time left, labelled with the running stage."""

    def init_train_tqdm(self) -> Tqdm:
        """Bar over the fit; one that goes on starts where it stopped."""
        done = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return self._bar("fit", int(self.trainer.num_training_batches), initial=done, leave=True)

    def init_validation_tqdm(self) -> Tqdm:
        """Bar over the sources, below that of the fit."""
        return self._bar("validation", int(sum(self.trainer.num_val_batches)), position=1, leave=False)

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_batch_start(trainer, *args)
        stage = stage_at(trainer, trainer.global_step)
        if stage is not None:
            self.train_progress_bar.set_description(stage.title, refresh=False)

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Do nothing: the only epoch is the fit, which has its bar."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
