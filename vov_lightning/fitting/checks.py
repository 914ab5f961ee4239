"""What a fit asks of Lightning's trainer: one process, one device, weights that stay as they are, and checkpoints."""

import lightning as L
from lightning.pytorch.strategies import SingleDeviceStrategy

from vov_lightning.errors import RunError
from vov_lightning.fitting.checkpoints import Checkpoints


def check_trainer(trainer: L.Trainer) -> None:
    """Refuse a trainer that cannot fit a vector.

    Raises:
        RunError: If it has several processes, a strategy for them, or a precision that changes weights.
    """
    if trainer.world_size > 1:
        raise RunError(
            f"trainer.devices gives {trainer.world_size} processes, a vector is fitted by one; set --trainer.devices 1,"
            " and --part for a set on several GPUs"
        )
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise RunError(
            f"trainer.strategy={type(trainer.strategy).__name__} is for several processes, a vector is fitted by one; "
            "leave --trainer.strategy at auto"
        )
    if trainer.precision.endswith("-true") and trainer.precision != "32-true":
        raise RunError(
            f"trainer.precision={trainer.precision} would change the vector or the base model's weights; "
            "use bf16-mixed, 16-mixed or 32-true"
        )


def check_checkpointing(trainer: L.Trainer) -> None:
    """Refuse a trainer that saves no checkpoint of the fit.

    Raises:
        RunError: If it has no `Checkpoints`.
    """
    if not any(isinstance(one, Checkpoints) for one in trainer.checkpoint_callbacks):
        raise RunError("the trainer has no Checkpoints callback; add that of fitting.run.checkpoint_callback")
