"""W&B, offline: what a fit logs, and the fallback where there is no account."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import wandb

from vov_lightning.cli import fit
from vov_lightning.fitting.tracking import RunLogger

LOGGER = "--trainer.logger=vov_lightning.fitting.tracking.RunLogger"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield
    wandb.finish()


def files_below(path, ending):
    return [file for file in path.rglob(f"*{ending}") if file.is_file()]


def test_offline_fit_logs_metrics_preview_table_and_file(run_fit, tmp_path, monkeypatch):
    logged = []
    finish = RunLogger.log_result
    monkeypatch.setattr(RunLogger, "log_result", lambda self, result: (logged.append(self), finish(self, result)))
    more = ["--trainer.logger.init_args.offline=true", "--trainer.log_every_n_steps=1"]
    assert run_fit(LOGGER, *more) == 0
    folder = tmp_path / "runs" / "ramp"
    assert files_below(folder / "wandb", ".wandb")
    assert files_below(folder / "wandb", ".mp4")
    summary = dict(logged[0].experiment.summary)
    for key in (
        "train/distortion", "train/loss", "train/bits_per_entry", "train/step_size", "train/learning_rate",
        "val/flow_loss", "val/psnr_db", "val/bpp", "val/preview", "result", "result/bpp",
    ):  # fmt: skip
        assert key in summary
    metrics = json.loads((folder / "metrics.json").read_text())
    assert summary["result/bpp"] == metrics["bpp"]


def test_media_can_be_switched_off(run_fit, tmp_path):
    more = ["--trainer.logger.init_args.offline=true", "--trainer.logger.init_args.media=false"]
    assert run_fit(LOGGER, *more) == 0
    assert not files_below(tmp_path / "runs" / "ramp" / "wandb", ".mp4")


def test_no_key_falls_back_to_offline_with_one_line(tmp_path):
    code = "from vov_lightning.fitting.tracking import RunLogger; print(RunLogger(save_dir='.').experiment.offline)"
    without = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env=without | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "True"
    assert done.stderr.startswith("W&B: no API key found, logging offline; run `wandb login` to log online\n")


def test_every_clip_of_a_set_has_a_run_of_its_own(fit_arguments, clip, tmp_path):
    folder = tmp_path / "pair"
    folder.mkdir()
    for name in ("first.mp4", "second.mp4"):
        shutil.copyfile(clip, folder / name)
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    more = [f"--set={folder}", LOGGER, "--trainer.logger.init_args.offline=true"]
    assert fit.main([*arguments, *more]) == 0
    for name in ("first", "second"):
        (run,) = files_below(tmp_path / "runs" / "pair" / name / "wandb", ".wandb")
        assert f"pair/{name}".encode() in run.read_bytes()
