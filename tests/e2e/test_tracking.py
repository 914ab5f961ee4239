"""W&B, offline: what a fit logs, and the fallback where there is no account."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
import wandb

from vov_lightning.cli import fit
from vov_lightning.cli.stopping import UNFINISHED
from vov_lightning.fitting.tracking import RunLogger, end_tracking

LOGGER = "--trainer.logger=vov_lightning.fitting.tracking.RunLogger"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield
    wandb.finish()
    wandb.teardown()  # it keeps what it has read from the environment


def files_below(path, ending):
    return [file for file in path.rglob(f"*{ending}") if file.is_file()]


def test_offline_fit_logs_all_and_says_nothing(run_fit, tmp_path, monkeypatch, capfd):
    finish = RunLogger.log_result
    summary = {}

    def log_result(self, result):
        finish(self, result)
        summary.update(dict(self.experiment.summary))

    monkeypatch.setattr(RunLogger, "log_result", log_result)
    more = ["--trainer.logger.init_args.offline=true", "--trainer.log_every_n_steps=1"]
    assert run_fit(LOGGER, *more) == 0
    folder = tmp_path / "runs" / "ramp"
    assert files_below(folder / "wandb", ".wandb")
    assert files_below(folder / "wandb", ".mp4")
    said = capfd.readouterr()
    assert "wandb" not in said.out + said.err
    assert "W&B" not in said.out + said.err
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


@pytest.fixture
def server(request):
    """Port of a server that does not take connections, takes them in silence, or answers only its front page."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        taken = []

        def take() -> None:
            while True:
                try:
                    taken.append(listening.accept()[0])
                except OSError:  # closed
                    return
                if request.param == "front page" and taken[-1].recv(65536).startswith(b"GET / "):
                    taken.pop().sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        if request.param != "refuses":
            listening.listen(50)
            threading.Thread(target=take, daemon=True).start()
        yield listening.getsockname()[1]
        for connection in taken:
            connection.close()
        if request.param != "refuses":
            listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("server", ["refuses", "hangs", "front page"], indirect=True)
def test_a_server_that_is_not_there_costs_seconds_and_one_line(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server}")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    began = time.monotonic()
    logger = RunLogger(save_dir=str(tmp_path))
    assert logger.experiment.offline
    assert time.monotonic() - began < 15
    logger.log_metrics({"a": 1.0}, 1)
    end_tracking()
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "logging offline" in said.err


def test_every_clip_of_a_set_has_a_run_and_an_id_of_its_own(fit_arguments, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "job7")
    folder = tmp_path / "pair"
    folder.mkdir()
    for name in ("first.mp4", "second.mp4"):
        shutil.copyfile(clip, folder / name)
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    more = [f"--set={folder}", LOGGER, "--trainer.logger.init_args.offline=true", "--trainer.max_steps=1"]
    assert fit.main([*arguments, *more]) == UNFINISHED
    for name in ("first", "second"):
        (run,) = files_below(tmp_path / "runs" / "pair" / name / "wandb", ".wandb")
        assert run.name == f"run-job7-pair-{name}.wandb"
        assert f"pair/{name}".encode() in run.read_bytes()  # its name


def test_other_loggers_and_several_of_them(run_fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    csv = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "csv"}}
    ours = {"class_path": "vov_lightning.fitting.tracking.RunLogger", "init_args": {"offline": True}}
    assert run_fit("--name=both", f"--trainer.logger={json.dumps([csv, ours])}", "--trainer.log_every_n_steps=1") == 0
    assert "val/psnr_db" in (tmp_path / "csv" / "both" / "version_0" / "metrics.csv").read_text()
    assert files_below(tmp_path / "runs" / "both" / "wandb", ".wandb")
    assert run_fit("--name=own", "--trainer.logger=true", "--trainer.max_steps=1") == UNFINISHED
    assert (tmp_path / "runs" / "own" / "lightning_logs").is_dir()


def test_tensorboard_logs_to_the_users_folder(run_fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {"save_dir": "board"}}
    assert run_fit(f"--trainer.logger={json.dumps(board)}") == 0
    (events,) = (tmp_path / "board" / "ramp").rglob("events.*")
    assert b"val/psnr_db" in events.read_bytes()
