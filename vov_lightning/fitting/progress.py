"""The progress bar of a fit."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from vov_lightning.fitting.stages import stage_at


class FitProgress(TQDMProgressBar):
    """One bar over all iterations with time left, labelled with the running stage."""

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_batch_start(trainer, *args)
        stage = stage_at(trainer, trainer.global_step)
        if stage is not None:
            self.train_progress_bar.set_description(stage.title, refresh=False)

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description("fit")

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
