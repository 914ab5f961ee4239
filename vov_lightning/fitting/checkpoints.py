"""When a checkpoint is written: after the validation of its step, where there is one.

Lightning writes it before, and a run that goes on from it never makes up for a
validation that was cut short; its figures would be missing for good. For the
same reason there is one of the step before: a signal in the middle of a
validation costs one iteration.

Signals wait from the first step to the last, but for validations. All processes
take them at the end of the same step: what comes while its checkpoint is
written waits for the end of the next one.

A fit that stops early is saved before the validation that Lightning adds then,
so that the fit that goes on knows nothing of the stop.
"""

import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer

from vov_lightning.errors import RunError
from vov_lightning.fitting.callbacks import callbacks_of
from vov_lightning.fitting.interruption import SIGNALS, Interrupted
from vov_lightning.fitting.processes import agreed_signal


class Checkpoints(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, every so many optimizer steps, and whenever the fit stops before its end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.saved_step: int | None = None
        """Optimizer step of the newest checkpoint of this fit; None before the first."""
        self._said: set[str] = set()
        self._stop: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.saved_step = trainer.global_step if Path(self.path).exists() else None  # there, if a fit goes on

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if completes_step(trainer, batch_idx):
            self._stop = agreed_signal(trainer)
        if not validates_after(trainer, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self._save_before_a_cut(trainer, batch_idx)
        self._stop_if_agreed()  # and this callback comes last

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_validation_start(trainer, pl_module)
        if trainer.is_global_zero:  # which ends the other processes with itself
            SIGNALS.release()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        SIGNALS.hold()
        self._stop = agreed_signal(trainer)
        super().on_validation_end(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module, None, None, 0)
        self._save_before_a_cut(trainer, trainer.fit_loop.epoch_loop.batch_idx)
        self._stop_if_agreed()

    def _stop_if_agreed(self) -> None:
        if self._stop is not None:
            raise Interrupted(self._stop)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        SIGNALS.forget()
        super().on_exception(trainer, pl_module, exception)

    def _save_before_a_cut(self, trainer: L.Trainer, batch_idx: int) -> None:
        """Save if the fit stops here, or a validation that may be cut short follows the next batch."""
        stops = trainer.should_stop or self._stop is not None
        followed = validates_after(trainer, batch_idx + trainer.accumulate_grad_batches)
        if completes_step(trainer, batch_idx) and (stops or followed):
            self._save_checkpoint(trainer, self.path)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave out what a fit must not or cannot go on with: time that was spent, and values that are not plain."""
        states = checkpoint["callbacks"]
        for timer in timers_of(trainer):  # a limit of time is of one run of the command
            states.pop(timer.state_key, None)
        for key in [key for key, state in states.items() if not is_plain(state)]:
            del states[key]
            if key not in self._said:
                self._said.add(key)
                print(f"state of callback {key} is not plain values and is not saved", file=sys.stderr)

    @property
    def path(self) -> str:
        """Where the checkpoint lies."""
        return str(Path(str(self.dirpath)) / f"{self.filename}{self.FILE_EXTENSION}")

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        if trainer.global_step != self.saved_step:
            super()._save_checkpoint(trainer, filepath)
            self.saved_step = trainer.global_step

    @classmethod
    def of(cls, trainer: L.Trainer) -> "Checkpoints":
        """The one of ``trainer``."""
        return next(one for one in trainer.checkpoint_callbacks if isinstance(one, cls))


def completes_step(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether batch ``batch_idx`` (from 0) is the last one of an optimizer step."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def validates_after(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether a validation follows batch ``batch_idx`` (from 0); False where the time of day decides that."""
    every = trainer.val_check_batch
    return trainer.enable_validation and every is not None and (batch_idx + 1) % every == 0


def timers_of(trainer: L.Trainer) -> list[Timer]:
    """Limits of time of ``trainer``: ``max_time`` is one of them."""
    return [one for one in callbacks_of(trainer) if isinstance(one, Timer)]


def is_plain(value: Any) -> bool:
    """Whether ``value`` is made of tensors, numbers, text, bytes, None and containers of them alone.

    Example:
        >>> is_plain({"rows": [1, 2.5, None]}), is_plain({"path": Path("a")})
        (True, False)
    """
    if isinstance(value, dict):
        return type(value) is dict and all(is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set):
        return type(value) in (list, tuple, set) and all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes, torch.Tensor)


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Contents of a fit's checkpoint: tensors and plain values alone, since anything else would run code when loaded.

    Raises:
        RunError: If ``path`` is such a file, cannot be read, or is no checkpoint of a fit.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows itself as almost anything
        reason = " ".join(str(error).split()).partition(".")[0]
        raise RunError(
            f"checkpoint {path} is damaged, or holds more than tensors and plain values ({type(error).__name__}: "
            f"{reason[:120]}); nothing of it was run; start again with --overwrite true"
        ) from error
    if not isinstance(found, dict) or "fitted_to" not in found:
        raise RunError(f"checkpoint {path} is not of a fit; give the last.ckpt of a run, or leave --ckpt_path out")
    return found
