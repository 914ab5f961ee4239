"""``history.jsonl``: rows where they are wanted, and the same ones however often the fit was stopped."""

import json
from pathlib import Path

import pytest

from vov_lightning.cli import fit
from vov_lightning.fitting import run as run_module
from vov_lightning.fitting.history import FIGURES, MOST_ROWS
from vov_lightning.runs.history import read_history

ITERATIONS = 6
LOG = "--trainer.log_every_n_steps=2"


def untimed(folder: Path) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "elapsed_s"} for row in read_history(folder)]


@pytest.fixture
def cut_fit(run_fit, power_cut):
    """``cut_fit(step, hook)``: a fit named ``cut`` that loses power in ``hook`` after ``step`` steps."""

    def run(step: int, hook: str, *more: str) -> None:
        with power_cut(step, hook):
            run_fit("--name=cut", LOG, *more)

    return run


def test_rows_of_a_fit(run_fit, tmp_path):
    assert run_fit(LOG) == 0
    folder = tmp_path / "runs" / "ramp"
    rows = read_history(folder)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [(row["stage"], row["title"]) for row in rows] == [(1, "stage 1")] * 3 + [(2, "stage 2")] * 3
    assert [row["step"] for row in rows if set(FIGURES) <= set(row)] == [6, 12]
    assert all(0 < row["train/distortion"] < 10 for row in rows)
    seconds = [row["elapsed_s"] for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert rows[-1]["val/psnr_db"] <= metrics["autoencoder_psnr_db"] + 1
    assert rows[-1]["val/bpp"] <= metrics["bpp"]  # which has the indices too


def test_distortion_is_the_mean_since_the_row_before(run_fit, tmp_path):
    assert run_fit("--name=each", "--trainer.log_every_n_steps=1") == 0
    assert run_fit("--name=some", "--trainer.log_every_n_steps=3") == 0
    each, some = (
        [row["train/distortion"] for row in read_history(tmp_path / "runs" / name)] for name in ("each", "some")
    )
    assert len(each) == 2 * ITERATIONS
    assert some == pytest.approx([sum(each[start : start + 3]) / 3 for start in range(0, len(each), 3)], rel=1e-6)


@pytest.mark.parametrize(
    ("step", "hook", "every"),
    [
        (0, "on_train_batch_start", 1),
        (5, "on_train_batch_start", 3),  # the mean since row 4 began before the checkpoint
        (ITERATIONS, "on_validation_start", 3),  # Lightning alone would leave this validation out
        (ITERATIONS, "on_train_batch_start", 3),
        (2 * ITERATIONS, "on_validation_start", 1),
        (2 * ITERATIONS, "on_train_end", 3),
    ],
)
def test_an_interrupted_fit_ends_with_the_same_rows(step, hook, every, run_fit, cut_fit, tmp_path, monkeypatch):
    assert run_fit("--name=whole", LOG) == 0
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", every)
    cut_fit(step, hook)
    assert run_fit("--name=cut", LOG) == 0
    whole, cut = tmp_path / "runs" / "whole", tmp_path / "runs" / "cut"
    assert untimed(cut) == untimed(whole)
    assert (cut / "ramp.vov").read_bytes() == (whole / "ramp.vov").read_bytes()


def test_rows_beyond_the_checkpoint_are_dropped(cut_fit, run_fit, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 5)
    cut_fit(2 * ITERATIONS - 3, "on_train_batch_start")
    folder = tmp_path / "runs" / "cut"
    assert read_history(folder)[-1]["step"] == 8
    seen = []
    train = fit.train_and_finish

    def look(trainer, *rest):
        seen.append(rest[-1])
        return train(trainer, *rest)

    monkeypatch.setattr(fit, "train_and_finish", look)
    assert run_fit("--name=cut", LOG) == 0
    assert seen == [folder / "checkpoints" / "last.ckpt"]  # of step 5
    assert [row["step"] for row in read_history(folder)] == [2, 4, 6, 8, 10, 12]


def test_accumulated_batches_make_one_row_a_step(run_fit, tmp_path):
    more = ["--trainer.accumulate_grad_batches=2", f"--trainer.val_check_interval={2 * ITERATIONS}"]
    assert run_fit(LOG, *more) == 0
    rows = read_history(tmp_path / "runs" / "ramp")
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows if "val/bpp" in row] == [6, 12]


@pytest.mark.parametrize("interval", ["2", "00:00:00:00"])
def test_many_validations_leave_one_row_a_step(interval, run_fit, tmp_path):
    """Of several within one accumulated step the last one counts; one by the clock joins the row that is there."""
    assert run_fit(LOG, "--trainer.accumulate_grad_batches=4", f"--trainer.val_check_interval={interval}") == 0
    rows = read_history(tmp_path / "runs" / "ramp")
    steps = [row["step"] for row in rows]
    assert steps[0] in (0, 1)
    assert steps[-1] == 2 * ITERATIONS
    assert len(steps) == len(set(steps))
    assert "val/bpp" in rows[-1]
    assert "train/distortion" in rows[-1]


def test_long_fits_have_few_rows(run_fit, tmp_path):
    more = ["--stage1.iterations=160", "--stage2.iterations=0", "--trainer.val_check_interval=160"]
    assert run_fit("--trainer.log_every_n_steps=1", *more) == 0
    rows = read_history(tmp_path / "runs" / "ramp")
    assert len(rows) == 80 < MOST_ROWS
    assert "val/psnr_db" in rows[-1]


def test_a_run_without_vector_has_no_history(run_fit, tmp_path):
    more = ["--model.adapter.k=0", "--model.sampler.steps=5"]
    assert run_fit(*more) == 0
    assert read_history(tmp_path / "runs" / "ramp") == []
