"""``vov-fit --set``: every clip in turn, as it would be fitted alone; and ``--dry_run``."""

import json
import shutil
from fractions import Fraction

import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.cli import fit
from vov_lightning.video import Signal, write_signal


@pytest.fixture
def folder(tmp_path, clip):
    """A set of two clips, one with a caption."""
    folder = tmp_path / "data" / "pair"
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        shutil.copyfile(clip, folder / f"{name}.mp4")
    (folder / "second.txt").write_text("dim, blue\n")
    return folder


@pytest.fixture
def fit_set(fit_arguments, folder):
    """``fit_set(*more_arguments) -> exit status``."""
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    return lambda *more: fit.main([*arguments, f"--set={folder}", *more])


def test_set_is_fitted_clip_by_clip(fit_set, fit_arguments, folder, tmp_path, capsys, monkeypatch):
    loads = []
    build = Nano._build
    monkeypatch.setattr(Nano, "_build", lambda self, config: loads.append(1) or build(self, config))
    assert fit_set() == 0
    assert len(loads) == 1
    runs = tmp_path / "runs" / "pair"
    summary = json.loads((runs / "summary.json").read_text())
    assert [clip["name"] for clip in summary["clips"]] == ["first", "second"]
    assert summary["clips"][1]["bytes"] == (runs / "second" / "second.vov").stat().st_size
    assert json.loads((runs / "second" / "metrics.json").read_text())["caption"] == "dim, blue"
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[-5:]] == ["clip", "first", "second", "mean", "files"]

    # The same command verifies and fits nothing; what a clip becomes does not depend on the one before.
    assert fit_set() == 0
    assert len(loads) == 1
    assert capsys.readouterr().out.count("finished and intact") == 2
    alone = [f"--data.path={folder / 'second.mp4'}", "--name=alone", f"--data.caption_file={folder / 'second.txt'}"]
    assert fit.main([*fit_arguments, *alone]) == 0
    assert (tmp_path / "runs/alone/second.vov").read_bytes() == (runs / "second/second.vov").read_bytes()


def test_error_in_one_clip_is_reported_and_the_rest_goes_on(fit_set, folder, tmp_path, capsys):
    (folder / "broken.mp4").write_bytes(b"no video")
    assert fit_set() == 1
    shown = capsys.readouterr()
    assert "broken failed: SignalError" in shown.err
    assert "broken failed: SignalError" in shown.out
    summary = json.loads((tmp_path / "runs" / "pair" / "summary.json").read_text())
    assert list(summary["failed"]) == ["broken"]
    assert len(summary["clips"]) == 2
    assert not (tmp_path / "runs" / "pair" / "broken").exists()


def test_set_goes_on_where_it_was_interrupted(fit_set, tmp_path, monkeypatch):
    train = fit.train_and_finish
    seen = []

    def interrupted(trainer, module, data, *rest):
        seen.append(data.source_name)
        if data.source_name == "second":
            raise KeyboardInterrupt
        return train(trainer, module, data, *rest)

    monkeypatch.setattr(fit, "train_and_finish", interrupted)
    assert fit_set() == 130
    monkeypatch.setattr(fit, "train_and_finish", lambda *args: seen.append("resumed") or train(*args))
    assert fit_set() == 0
    assert seen == ["first", "second", "resumed"]


def test_parts_make_one_summary(fit_set, tmp_path, capsys):
    summary = tmp_path / "runs" / "pair" / "summary.json"
    assert fit_set("--part=2/2") == 0
    assert json.loads(summary.read_text())["unfinished"] == ["first"]
    assert fit_set("--part=1/2", "--name=pair") == 0
    assert json.loads(summary.read_text())["unfinished"] == []


def test_model_that_does_not_load_ends_the_set(fit_set, tmp_path, capsys):
    assert fit_set(f"--model.base.weights={tmp_path}") == 1
    shown = capsys.readouterr()
    assert shown.err.count("cannot be read") == 1
    assert "[2/2]" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.path=clip.mp4"], "takes neither --data.path nor --ckpt_path"),
        (["--ckpt_path=a.ckpt"], "takes neither --data.path nor --ckpt_path"),
        (["--part=3/2"], "--part 3/2 is not a part"),
        (["--set=null", "--part=1/2"], "give --set FOLDER"),
        (["--set=missing"], "--set missing is not a folder"),
    ],
)
def test_settings_that_make_no_sense_for_a_set(fit_set, arguments, message, capsys):
    assert fit_set(*arguments) == 1
    assert message in capsys.readouterr().err


def test_dry_run_needs_no_weights_and_leaves_nothing(folder, tmp_path, one_thread, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    command = ["--config=wan.yaml", f"--set={folder}", "--data.frames=9", "--data.captioner=LocalCaptioner"]
    assert fit.main([*command, "--dry_run=true"]) == 0
    assert "dry run passed: 2 of 2 clips" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_the_papers_experiment_is_rehearsed_at_its_full_size(tmp_path, one_thread, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "uvg").mkdir(parents=True)
    for number, name in enumerate(("Beauty", "Jockey")):
        frames = torch.full((81, 3, 480, 832), 80 * number, dtype=torch.uint8)
        write_signal(Signal(frames, Fraction(120), name), tmp_path / "data" / "uvg" / f"{name}.mp4")
    (tmp_path / "data" / "uvg" / "Beauty.txt").write_text("a woman")
    assert fit.main(["--config=uvg.yaml", "--dry_run"]) == 0
    said = capsys.readouterr()
    assert "dry run passed: 2 of 2 clips" in said.out
    assert "Jockey: no caption" in said.err
    assert "Beauty: no caption" not in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.frames=81"], "81"),  # the clips have 9
        (["--data.height=90"], "90"),
        (["--data.frames=9", "--model.adapter.k=9999999"], "k=9999999"),
        (["--data.frames=9", "--model.sampler.steps=0"], "steps=0"),
        (["--data.frames=9", "--stage1.iterations=-1"], "iterations=-1"),
    ],
)
def test_dry_run_finds_what_the_fit_would_refuse(folder, tmp_path, one_thread, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fit.main(["--config=wan.yaml", f"--set={folder}", "--dry_run=true", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_limits_of_the_trainer_do_not_end_a_dry_run(fit_set, capsys):
    assert fit_set("--part=1/2", "--dry_run=true", "--trainer.max_steps=1", "--trainer.fast_dev_run=true") == 0
    assert "dry run passed" in capsys.readouterr().out


def test_dry_run_finds_runs_of_other_settings(fit_set, capsys):
    assert fit_set("--part=1/2") == 0
    assert fit_set("--part=1/2", "--dry_run=true") == 0
    assert fit_set("--dry_run=true", "--stage2.lmbda=0.5") == 1
    shown = capsys.readouterr()
    assert "holds a run with other settings (stage2.lmbda" in shown.err
    assert "dry run failed: 1 of 2 clips" in shown.out


def test_dry_run_checks_the_disk(folder, tmp_path, one_thread, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    command = ["--config=nano.yaml", f"--data.path={folder / 'first.mp4'}", f"--runs={tmp_path / 'runs'}"]
    assert fit.main([*command, "--dry_run=true"]) == 1
    assert "make room or choose another --runs" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert fit.main(["--config=nano.yaml", f"--runs={tmp_path / 'file' / 'runs'}", "--dry_run=true"]) == 1
    assert "cannot be written" in capsys.readouterr().err
