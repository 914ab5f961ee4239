"""How a fit ends: at the end of its schedule, or before it by one of Lightning's many ways.

The stages say how long a fit is, and one epoch is the whole of it. Lightning's
own limits (``max_steps``, ``max_epochs``, ``limit_train_batches``,
``overfit_batches``, ``fast_dev_run``) are all turned into one: the iteration at
which the fit stops. A fit that stops before the end of its schedule, by a limit
or because a callback says so, is unfinished: the same command without the limit
goes on with it, and ends with the bytes of a fit that was never stopped.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping

from vov_lightning.fitting.callbacks import callbacks_of
from vov_lightning.fitting.checkpoints import Checkpoints, timers_of
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.interruption import SIGNALS
from vov_lightning.fitting.stages import total_iterations


@dataclass(frozen=True)
class Limit:
    """The iteration at which a setting of the trainer stops the fit."""

    iteration: int
    setting: str
    """Name and value, such as ``trainer.max_steps=100``."""


def take_limits(trainer: L.Trainer) -> Limit | None:
    """The first limit of ``trainer`` before the end of its schedule, None without one; the trainer forgets them all."""
    loop, total = trainer.fit_loop, total_iterations(trainer)
    fast, overfit = trainer.fast_dev_run, trainer.overfit_batches  # type: ignore[attr-defined]  # set by its init
    limit = trainer.limit_train_batches
    accumulated = trainer.accumulate_grad_batches
    share = isinstance(limit, float) and limit <= 1
    iterations = (math.floor(limit * total * accumulated) if share else int(limit)) // accumulated
    name, value = ("overfit_batches", overfit) if overfit else ("limit_train_batches", limit)
    if fast:
        name, value, iterations = "fast_dev_run", fast, max(1, iterations)
    limits = [Limit(iterations, f"trainer.{name}={value}")]
    if loop.max_steps >= 0 and not fast:
        limits.append(Limit(loop.max_steps, f"trainer.max_steps={loop.max_steps}"))
    if loop.max_epochs == 0:
        limits.append(Limit(0, "trainer.max_epochs=0"))
    loop.max_epochs, loop.min_epochs = 1, None
    loop.epoch_loop.max_steps, loop.epoch_loop.min_steps = -1, None
    trainer.limit_train_batches, trainer.overfit_batches = 1.0, 0  # type: ignore[attr-defined]  # set by Lightning's connector
    if overfit:  # Lightning had set it too
        trainer.limit_val_batches = 1.0
    nearest = min(limits, key=lambda one: one.iteration)
    return nearest if nearest.iteration < total else None


class Ending(Callback):
    """Stops the fit at its limit, and says afterwards whether it came to its end. It comes before other callbacks.

    Args:
        trainer: Whose limits are taken over.
    """

    def __init__(self, trainer: L.Trainer) -> None:
        self.limit = take_limits(trainer)
        callbacks_of(trainer).insert(0, self)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_at_limit(trainer)

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        SIGNALS.hold()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._stop_at_limit(trainer)

    def _stop_at_limit(self, trainer: L.Trainer) -> None:
        if self.limit is not None and trainer.global_step >= self.limit.iteration:
            trainer.should_stop = True

    def early(self, trainer: L.Trainer) -> dict[str, Any] | None:
        """What ``unfinished.json`` says of a fit that stopped early; None where it came to its end.

        The limit of the drift ends a fit on purpose.
        """
        iteration, total = trainer.global_step, total_iterations(trainer)
        monitor = DriftMonitor.of(trainer)
        if iteration >= total or (monitor is not None and monitor.stopped(trainer)):
            return None
        reason, suspects = self._reason(trainer)
        checkpoint = Checkpoints.of(trainer).saved_step or 0
        return {
            "iteration": iteration,
            "iterations": total,
            "stopped": reason,
            "callbacks": suspects,
            "checkpoint": checkpoint,
        }

    def _reason(self, trainer: L.Trainer) -> tuple[str, list[str]]:
        """What stopped the fit, and names of the callbacks that it may have been."""
        if self.limit is not None and trainer.global_step >= self.limit.iteration:
            return self.limit.setting, []
        for timer in timers_of(trainer):
            left_s = timer.time_remaining()
            if left_s is not None and left_s <= 0:
                assert timer._duration is not None
                return f"trainer.max_time, or a Timer, of {timedelta(seconds=timer._duration)}", ["Timer"]
        for one in callbacks_of(trainer):
            if isinstance(one, EarlyStopping) and one.stopping_reason_message:
                said = " ".join(one.stopping_reason_message.split()).partition(". ")[0].rstrip(".")
                return f"{type(one).__name__} ({said})", [type(one).__name__]
        others = [type(one).__name__ for one in callbacks_of(trainer) if not type(one).__module__.startswith(OWN)]
        return f"trainer.should_stop, set by a callback ({', '.join(others) or 'or the module'})", others


OWN = ("vov_lightning.", "lightning.", "pytorch_lightning.")
"""Packages whose callbacks stop no fit, other than those that are asked above."""


def format_early(early: dict[str, Any], folder: Path) -> str:
    """One line on a fit that stopped early.

    Args:
        early: What `Ending.early` found.
        folder: Of the run.
    """
    iteration, checkpoint = early["iteration"], early["checkpoint"]
    again = "" if checkpoint == iteration else f" from iteration {checkpoint}"
    return (
        f"stopped at iteration {iteration} of {early['iterations']} by {early['stopped']}; {folder} holds the vector "
        f"as it is, without index bits, and is not finished: the same command without that limit goes on{again}"
    )
