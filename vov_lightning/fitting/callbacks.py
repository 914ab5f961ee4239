"""The callbacks of a trainer, which Lightning declares nowhere."""

import lightning as L
from lightning.pytorch.callbacks import Callback


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """The trainer's own list: what is put into it is called."""
    return trainer.callbacks  # type: ignore[attr-defined]  # set by Lightning's connector
