"""When a checkpoint is written: after the validation of its step, where there is one.

Lightning writes it before, and a run that goes on from it never makes up for a
validation that was cut short; its figures would be missing for good.
"""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoints(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, every so many optimizer steps."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not validates_after(trainer, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module, None, None, 0)


def validates_after(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether a validation follows batch ``batch_idx`` (from 0); False where the time of day decides that."""
    every = trainer.val_check_batch
    return trainer.enable_validation and every is not None and (batch_idx + 1) % every == 0
