"""The course of a fit as a small file in its run folder, for curves: ``history.jsonl``, one JSON object a line.

A row says after which step, in which stage and after how many seconds of
training it was taken, the mean training distortion since the row before and,
where a validation ran, its figures:

    {"step": 120, "stage": 1, "title": "stage 1", "train/distortion": 0.41, "val/psnr_db": 21.3, ..., "elapsed_s": 9.1}

Validations are few (two under ``nano.yaml``), so there are rows between them:
every ``trainer.log_every_n_steps`` steps, or less often so that a fit has about
`MOST_ROWS` of them, 20 kB. The last row is a validation where ``val_check_interval``
divides the number of batches, as in every shipped configuration.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from vov_lightning.errors import RunError
from vov_lightning.files import atomic_write
from vov_lightning.fitting.checkpoints import validates_after
from vov_lightning.fitting.stages import stage_at, stages_of, total_iterations
from vov_lightning.runs.figures import finite

MOST_ROWS = 100
"""Rows of a fit without a validation, at most."""
DISTORTION = "train/distortion"
FIGURES = ("val/psnr_db", "val/bpp", "val/flow_loss")
"""What a row holds of a validation, under the names of the logged metrics; a clip of several windows has no PSNR."""


class History(L.Callback):
    """Writes the history of a fit.

    Rows travel in the checkpoints, and the file is written anew whenever one is added. A fit that goes on from a
    checkpoint therefore ends with the file of an uninterrupted one, but for the seconds.

    Args:
        path: The file; one that is there is replaced when the fit starts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = []
        self._sum, self._count = 0.0, 0
        self._writes = True

    @property
    def state_key(self) -> str:
        return "vov_lightning.History"

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sum": self._sum, "count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self._sum, self._count = list(state_dict["rows"]), state_dict["sum"], state_dict["count"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._writes = trainer.is_global_zero
        self._write()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # float64 sums of what a step logged: the same ones after a resume
        self._sum += float(trainer.callback_metrics[DISTORTION])
        self._count += 1
        step = trainer.global_step
        known = self.rows[-1]["step"] if self.rows else 0
        often = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Lightning's connector
        every = max(often, math.ceil(total_iterations(trainer) / MOST_ROWS))
        if step > known and step % every == 0 and not validates_after(trainer, batch_idx):
            self._add(trainer, {})

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            measured = trainer.callback_metrics
            figures = {name: finite(float(measured[name])) for name in FIGURES if name in measured}
            self._add(trainer, figures)

    def _add(self, trainer: L.Trainer, figures: Mapping[str, float | None]) -> None:
        step, stages = trainer.global_step, stages_of(trainer)
        stage = stage_at(trainer, max(step - 1, 0))
        assert stage is not None
        row = {"step": step, "stage": stages.index(stage) + 1, "title": stage.title}
        if self.rows and self.rows[-1]["step"] == step:  # validated again, or at a time of day: one row a step
            row = self.rows.pop() | row
        if self._count:
            row[DISTORTION] = self._sum / self._count
        elapsed_s = sum(stage.elapsed_s for stage in stages)
        self.rows.append({**row, **figures, "elapsed_s": round(elapsed_s, 3)})
        self._sum, self._count = 0.0, 0
        self._write()

    def _write(self) -> None:
        if not self._writes:
            return
        atomic_write(self.path, "".join(json.dumps(row) + "\n" for row in self.rows).encode(), error=RunError)
