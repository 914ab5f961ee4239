"""A fit that Lightning ends early says so, is not finished, and goes on to the bytes of an uninterrupted one."""

import json

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.stopping import UNFINISHED

ITERATIONS = 6
CALLBACKS = "lightning.pytorch.callbacks"
EARLY = ["--trainer.val_check_interval=1", f"--trainer.callbacks={CALLBACKS}.EarlyStopping"]
EARLY += [f"--trainer.callbacks.{setting}" for setting in ("monitor=val/psnr_db", "patience=2", "min_delta=100")]


class StopAtFive(Callback):
    """Somebody's own."""

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= 5


@pytest.fixture(scope="module")
def whole():
    """Bytes of the uninterrupted fit, once made."""
    return {}


@pytest.fixture
def uninterrupted(run_fit, tmp_path, whole) -> bytes:
    if not whole:
        assert run_fit("--name=whole") == 0
        whole["bytes"] = (tmp_path / "runs" / "whole" / "ramp.vov").read_bytes()
    return whole["bytes"]


@pytest.mark.parametrize(
    ("limit", "iteration", "reason"),
    [
        (["--trainer.max_steps=6"], 6, "trainer.max_steps=6"),  # where a validation follows
        (["--trainer.max_epochs=0"], 0, "trainer.max_epochs=0"),
        (["--trainer.limit_train_batches=0.5", "--trainer.max_epochs=3"], 6, "trainer.limit_train_batches=0.5"),
        (["--trainer.overfit_batches=3"], 3, "trainer.overfit_batches=3"),
        (["--trainer.fast_dev_run=true"], 1, "trainer.fast_dev_run=True"),
        (["--trainer.max_time=00:00:00:00"], 0, "of 0:00:00"),
        (EARLY, 3, "EarlyStopping"),
        ([f"--trainer.callbacks={__name__}.StopAtFive"], 5, "set by a callback (StopAtFive)"),
    ],
)
def test_a_fit_that_stops_early_goes_on_without_the_limit(
    limit, iteration, reason, run_fit, uninterrupted, tmp_path, capsys
):
    assert run_fit("--name=cut", *limit) == UNFINISHED
    folder = tmp_path / "runs" / "cut"
    said = capsys.readouterr().err
    assert f"stopped at iteration {iteration} of {2 * ITERATIONS} by" in said
    assert reason in said
    assert not (folder / "metrics.json").exists()
    mark = json.loads((folder / "unfinished.json").read_text())
    assert (mark["iteration"], mark["iterations"], mark["checkpoint"]) == (iteration, 2 * ITERATIONS, iteration)
    assert VovFile.open(folder / "ramp.vov").header.k == 64
    if "StopAtFive" in reason:  # it does not count later either
        assert run_fit("--name=cut", "--trainer.max_steps=8") == UNFINISHED
    assert run_fit("--name=cut") == 0
    assert (folder / "ramp.vov").read_bytes() == uninterrupted
    assert (folder / "metrics.json").exists()
    assert not (folder / "unfinished.json").exists()


@pytest.mark.parametrize("epochs", [3, -1])
def test_one_epoch_is_the_whole_fit_however_many_are_asked_for(epochs, run_fit, uninterrupted, tmp_path):
    assert run_fit("--name=many", f"--trainer.max_epochs={epochs}", "--trainer.min_epochs=2") == 0
    assert (tmp_path / "runs" / "many" / "ramp.vov").read_bytes() == uninterrupted


def test_the_same_limit_of_time_is_given_to_every_run(run_fit, uninterrupted, tmp_path):
    """A job of a limited time, submitted again and again, gets on."""
    assert run_fit("--name=cut", "--trainer.max_steps=5", "--trainer.max_time=00:00:00:30") == UNFINISHED
    checkpoint = torch.load(tmp_path / "runs" / "cut" / "checkpoints" / "last.ckpt", weights_only=True)
    assert "Timer" not in checkpoint["callbacks"]
    assert run_fit("--name=cut", "--trainer.max_time=00:00:00:30") == 0
    assert (tmp_path / "runs" / "cut" / "ramp.vov").read_bytes() == uninterrupted


def test_an_iteration_is_whole_where_a_limit_cuts_its_batches(run_fit, tmp_path):
    more = ["--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=48"]
    assert run_fit("--name=whole", *more) == 0
    assert run_fit("--name=cut", *more, "--trainer.limit_train_batches=10") == UNFINISHED  # two iterations and a half
    assert json.loads((tmp_path / "runs" / "cut" / "unfinished.json").read_text())["iteration"] == 2
    assert run_fit("--name=cut", *more) == 0
    files = [(tmp_path / "runs" / name / "ramp.vov").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]


def test_settings_that_change_the_result_still_count(run_fit, capsys):
    assert run_fit("--trainer.max_steps=5") == UNFINISHED
    assert run_fit("--trainer.gradient_clip_val=0.5") == 1
    assert "trainer.gradient_clip_val: None -> 0.5" in capsys.readouterr().err


def test_an_unfinished_target_search_leaves_the_file_and_its_mark(run_fit, tmp_path):
    assert run_fit("--scaling.bits=0", "--scaling.target_psnr=99") == 1
    folder = tmp_path / "runs" / "ramp"
    assert VovFile.open(folder / "ramp.vov")
    assert "index bits" in (folder / "unfinished.json").read_text()
    assert not (folder / "metrics.json").exists()


def test_the_file_is_built_once(run_fit, monkeypatch):
    from vov_lightning.fitting.module import VOVModule

    built = []
    to_file = VOVModule.to_file
    monkeypatch.setattr(VOVModule, "to_file", lambda self, number=0: (built.append(number), to_file(self, number))[1])
    assert run_fit("--trainer.limit_val_batches=0") == 0
    assert len(built) == 2  # before anything is written, and at the end


def test_a_tampered_checkpoint_runs_nothing(run_fit, tmp_path, capsys):
    assert run_fit("--trainer.max_steps=5") == UNFINISHED
    path = tmp_path / "runs" / "ramp" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"payload": Payload(tmp_path / "ran")}, path)
    capsys.readouterr()
    assert run_fit() == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "more than tensors and plain values" in said[0]
    assert not (tmp_path / "ran").exists()
    path.write_bytes(path.read_bytes()[:1000])
    assert run_fit() == 1
    assert "damaged" in capsys.readouterr().err
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert run_fit("--name=other", f"--ckpt_path={tmp_path / 'other.ckpt'}") == 1
    assert "not of a fit" in capsys.readouterr().err


class Payload:
    """What unpickling would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


class Stateful(Callback):
    """Its state is not plain values."""

    def state_dict(self):
        return {"where": Payload(None)}


def test_state_that_could_not_be_loaded_is_not_saved(run_fit, tmp_path, capsys):
    callback = f"--trainer.callbacks={__name__}.Stateful"
    assert run_fit(callback, "--trainer.max_steps=5") == UNFINISHED
    assert capsys.readouterr().err.count("Stateful is not plain values") == 1
    assert run_fit(callback) == 0
