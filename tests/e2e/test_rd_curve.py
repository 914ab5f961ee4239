"""``tools/rd_curve.py`` on the tiny model: two combinations, resumed, with errors, and handed to the evaluation."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import wandb

from vov_lightning.cli import fit

sys.path.append(str(Path(__file__).parents[2] / "tools"))
import rd_curve


@pytest.fixture
def clips(tmp_path, clip):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copyfile(clip, folder / "ramp.mp4")
    return folder


@pytest.fixture
def sweep(fit_arguments, clips, tmp_path):
    """``sweep(*more_arguments) -> exit status``, into ``tmp_path / "curve"``."""
    ours = ("--config=", "--data.path=", "--runs=")
    for_fit = [argument for argument in fit_arguments if not argument.startswith(ours)]
    command = ["--set", str(clips), "--config", "nano.yaml", "--runs", str(tmp_path / "curve")]
    return lambda *more: rd_curve.main([*command, *for_fit, *more])


def test_every_combination_is_a_set_of_its_own(sweep, clips, tmp_path, capsys, monkeypatch):
    assert sweep("--lmbda", "0.02", "--bits", "0", "400") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].split() == ["lmbda", "bits", "clips", "bytes", "bpp", "psnr_db", "state"]
    curve = tmp_path / "curve"
    for line, bits in zip(lines[-3:-1], (0, 400), strict=True):
        metrics = json.loads((curve / f"lmbda-0.02_bits-{bits}" / "ramp" / "metrics.json").read_text())
        expected = [metrics["bytes"], f"{metrics['bpp']:.4f}", f"{metrics['psnr_db']:.2f}"]
        assert line.split() == ["0.02", str(bits), "1", *map(str, expected), "ok"]
        assert bool(metrics["section_bytes"].get("indices")) == bool(bits)
    folders = [str(curve / f"lmbda-0.02_bits-{bits}") for bits in (0, 400)]
    command = [*folders, "--sources", str(clips), "--out", str(curve / "evaluation"), "--logger=false"]
    assert lines[-1] == f"measure them:  vov-eval {' '.join(command)}"

    # The same command fits nothing and ends with the same table; a longer list adds to it; --eval is given the runs.
    evaluated, fitted = [], []
    train = fit.train_and_finish
    monkeypatch.setattr(fit, "train_and_finish", lambda *rest: fitted.append(1) or train(*rest))
    monkeypatch.setattr(rd_curve, "evaluate_all", lambda arguments: evaluated.append(arguments) or 0)
    assert sweep("--lmbda", "0.02", "--bits", "0", "400", "--eval") == 0
    again = capsys.readouterr().out
    assert again.count("finished and intact") == 2
    assert again.splitlines()[-3:] == lines[-4:-1]
    assert evaluated == [command]
    assert fitted == []
    monkeypatch.setattr(rd_curve, "evaluate_all", lambda arguments: 1)
    assert sweep("--lmbda", "0.02", "--bits", "0", "400", "--eval") == 1
    assert sweep("--lmbda", "0.02", "--bits", "0", "400", "800") == 0
    assert fitted == [1]


def test_an_error_in_one_combination_does_not_stop_the_others(sweep, tmp_path, capsys, monkeypatch):
    evaluated = []
    monkeypatch.setattr(rd_curve, "evaluate_all", lambda arguments: evaluated.append(arguments) or 0)
    assert sweep("--k", "99999999", "32", "--scaling.bits=0", "--eval") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == ["99999999", "0", "nan", "nan", "nan", "failed"]
    assert lines[-1].split()[:2] == ["32", "1"]
    assert lines[-1].split()[-1] == "ok"
    assert (tmp_path / "curve" / "k-32" / "ramp" / "ramp.vov").is_file()


@pytest.mark.parametrize(("ends", "status"), [([2, 0], 1), ([130, 0], 130), ([ValueError("bug"), 0], 1)])
def test_status_of_the_sweep(ends, status, sweep, monkeypatch):
    seen = []

    def main(arguments):
        end = ends[len(seen)]
        seen.append(arguments)
        if isinstance(end, Exception):
            raise end
        return sys.exit(end) if end == 2 else end

    monkeypatch.setattr(fit, "main", main)
    assert sweep("--k", "16", "32") == status
    assert len(seen) == (1 if status == 130 else 2)


def test_runs_are_one_wandb_group(sweep, monkeypatch, tmp_path):
    begun = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options) or init(**options))
    logger = ["--trainer.logger=vov_lightning.fitting.tracking.RunLogger", "--trainer.logger.init_args.media=false"]
    offline = ["--trainer.logger.init_args.offline=true", "--scaling.bits=0"]
    evaluated = []
    monkeypatch.setattr(rd_curve, "evaluate_all", lambda arguments: evaluated.extend(arguments) or 0)
    assert sweep(*logger, *offline, "--k", "16", "32", "--group", "curve of today", "--eval") == 0
    assert "--logger.init_args.group=curve of today" in evaluated
    assert [(options["group"], options["name"]) for options in begun] == [
        ("curve of today", "k-16/ramp"),
        ("curve of today", "k-32/ramp"),
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nothing to sweep"),
        (["--bits", "1", "--target_bpp", "0.1"], "not allowed with"),
        (["--k", "a"], "invalid int"),
        (["--k", "16", "--eval_config", "nowhere.yaml"], "nowhere.yaml is no file"),
    ],
)
def test_options_that_make_no_sweep(more, message, sweep, capsys):
    with pytest.raises(SystemExit, match="2"):
        sweep(*more)
    assert message in capsys.readouterr().err
