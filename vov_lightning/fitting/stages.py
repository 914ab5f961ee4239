"""The two-stage schedule as Lightning callbacks (paper, section 3.2).

First the vector is fitted freely; then, from there, under a price on its bits.
Stages run in the order of the list and each lasts its own number of
iterations; every setting at a step is a function of the step, so a resumed fit
needs nothing but the step.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import lightning as L

from vov_lightning.errors import RunError, SettingError
from vov_lightning.fitting.callbacks import callbacks_of


class RateControlled(L.LightningModule):
    """Values that a stage sets on the module that it trains."""

    lmbda: float = 0.0
    """Weight of the rate in the loss."""
    rate_constrained: bool = False
    """Whether the vector goes through the quantiser."""

    def begin_rate_constraint(self) -> None:
        """Called once, when the rate-constrained stage begins."""
        raise NotImplementedError  # abstract

    def exchange_rate(self) -> float:
        """``lmbda`` that asks of a bit of vector to save `MARGIN` bits of indices (`vov_lightning.fitting.worth`)."""
        raise NotImplementedError  # abstract


class Stage(L.Callback):
    """A part of the fit with its own length and learning rate; a schedule holds each kind of stage at most once.

    Args:
        iterations: Optimizer steps; 0 leaves the stage out.
        learning_rate: AdamW's learning rate of the vector after the warm-up.
        decay: ``constant``, or ``cosine`` to zero at the stage's end.
        warmup: Steps over which the learning rate rises from zero.
    """

    title: str

    def __init__(
        self,
        iterations: int = 1000,
        learning_rate: float = 1.5e-3,
        decay: Literal["constant", "cosine"] = "constant",
        warmup: int = 0,
    ) -> None:
        if iterations < 0:
            raise SettingError(f"iterations={iterations} is below 0; use 0 to leave the stage out")
        self.iterations, self.learning_rate, self.decay, self.warmup = iterations, learning_rate, decay, warmup
        self.elapsed_s = 0.0
        self._started_s = 0.0

    @property
    def state_key(self) -> str:
        return f"vov_lightning.{type(self).__name__}"

    @property
    def settings(self) -> dict[str, Any]:
        """What the schedule of the stage depends on, by the names of its arguments."""
        names = ("iterations", "learning_rate", "decay", "warmup")
        return {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed_s": self.elapsed_s, "settings": self.settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.elapsed_s = state_dict["elapsed_s"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, RateControlled)
        step = self._own_step(trainer)
        if step is None:
            return
        self._started_s = time.perf_counter()
        self.apply(pl_module, step)
        learning_rate = self.rate_at(step)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate * group["lr_factor"]

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self._started_s:
            self.elapsed_s += time.perf_counter() - self._started_s
            self._started_s = 0.0

    def apply(self, module: "RateControlled", step: int) -> None:
        """Set up ``module`` for ``step`` of this stage."""
        raise NotImplementedError  # abstract

    def rate_at(self, step: int) -> float:
        """Learning rate at ``step`` of this stage."""
        rate = self.learning_rate * min(1.0, (step + 1) / (self.warmup + 1))
        if self.decay == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * step / self.iterations))
        return rate

    def _own_step(self, trainer: L.Trainer) -> int | None:
        """Step within this stage, or None outside of it."""
        step = trainer.global_step
        for stage in stages_of(trainer):
            if stage is self:
                return step if 0 <= step < self.iterations else None
            step -= stage.iterations
        return None


class Unconstrained(Stage):
    """Stage 1: the distortion alone."""

    title = "stage 1"

    def apply(self, module: "RateControlled", step: int) -> None:
        module.lmbda, module.rate_constrained = 0.0, False


class RateConstrained(Stage):
    """Stage 2: adds ``lmbda`` times bits per vector entry, through the quantiser.

    Args:
        *args: As for every stage.
        lmbda: Weight of the rate in ``L = distortion + lmbda * bits / k``; larger makes smaller vectors. ``budget``:
            so that a bit of vector is spent where it saves two bits of indices (`vov_lightning.fitting.worth`).
        lmbda_warmup: Steps over which ``lmbda`` rises from zero.
        **options: As for every stage.
    """

    title = "stage 2"

    def __init__(
        self, *args: Any, lmbda: float | Literal["budget"] = 3e-3, lmbda_warmup: int = 500, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        if lmbda != "budget" and lmbda < 0:
            raise SettingError(f"lmbda={lmbda} is below 0; it is the price of a bit per entry, e.g. 3e-3")
        self.lmbda, self.lmbda_warmup = lmbda, lmbda_warmup

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "lmbda": self.lmbda, "lmbda_warmup": self.lmbda_warmup}

    def apply(self, module: "RateControlled", step: int) -> None:
        if step == 0:
            module.begin_rate_constraint()
        lmbda = module.exchange_rate() if self.lmbda == "budget" else self.lmbda
        module.lmbda = lmbda * min(1.0, (step + 1) / (self.lmbda_warmup + 1))
        module.rate_constrained = True


def check_same_stages(states: dict[str, Any], stages: Sequence[Stage]) -> None:
    """Raise if a fit would go on with other stages than it began with.

    Args:
        states: What a checkpoint holds of its callbacks, by `Stage.state_key`, in the order of the stages.
        stages: The stages to go on with.

    Raises:
        RunError: If a stage is new, missing, at another place, or has other settings.
    """
    found = {key: state["settings"] for key, state in states.items() if "settings" in state}
    wanted = {stage.state_key: stage.settings for stage in stages}
    remedy = "give the stages that the fit began with, or resume=False to start it again"
    if list(found) != list(wanted):
        before, now = ([key.rpartition(".")[2] for key in keys] for keys in (found, wanted))
        raise RunError(f"stages={now} differ from {before}, with which the fit began; {remedy}")
    for stage in stages:
        for name, value in stage.settings.items():
            before = found[stage.state_key][name]
            if value != before:
                raise RunError(
                    f"{name}={value} of {stage.title} differs from {before}, with which the fit began; {remedy}"
                )


def stages_of(trainer: L.Trainer) -> list[Stage]:
    """Stages of ``trainer``, in the order in which they run."""
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, Stage)]


def stage_at(trainer: L.Trainer, step: int) -> Stage | None:
    """The stage that takes optimizer step ``step``, counted from 0; None beyond the last."""
    for stage in stages_of(trainer):
        if step < stage.iterations:
            return stage
        step -= stage.iterations
    return None


def total_iterations(trainer: L.Trainer) -> int:
    """Optimizer steps of all stages."""
    return sum(stage.iterations for stage in stages_of(trainer))
