"""What a fit says: errors in one line, bars on one stream, no advice, no figures that JSON does not know."""

import json
import math
import warnings

import pytest
import torch
import wandb
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks.progress import rich_progress

from vov_lightning.cli.stopping import UNFINISHED
from vov_lightning.evaluation.tracking import log_evaluation
from vov_lightning.fitting import module
from vov_lightning.fitting.tracking import RunLogger, end_tracking
from vov_lightning.video.compare import SquaredError

RICH = "--trainer.callbacks=lightning.pytorch.callbacks.RichProgressBar"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trainer.strategy=nonsense"], "strategy=nonsense"),
        (["--trainer.accelerator=gpu"], "No supported gpu backend found"),
        (["--trainer.enable_checkpointing=false"], "trainer.enable_checkpointing=false"),
        ([RICH], "RichProgressBar cannot be used: `RichProgressBar` requires `rich`"),
        (["--model.sampler.compute_dtype=float16"], "compute_dtype=float16 does not work on cpu"),
    ],
)
def test_settings_that_cannot_work_are_one_line(arguments, message, run_fit, monkeypatch, capsys):
    for accelerator in (CUDAAccelerator, MPSAccelerator):  # as on a machine without a GPU
        monkeypatch.setattr(accelerator, "is_available", staticmethod(lambda: False))
    if RICH in arguments:
        monkeypatch.setattr(rich_progress, "_RICH_AVAILABLE", False)
    if "float16" in arguments[0]:

        def not_implemented(*_):
            raise RuntimeError("\"slow_conv3d\" not implemented for 'Half'\nand more")

        monkeypatch.setattr(torch.nn.functional, "conv3d", not_implemented)
    assert run_fit(*arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_a_progress_bar_of_the_users_takes_the_place_of_ours(run_fit):
    assert run_fit("--trainer.enable_progress_bar=true", RICH, "--trainer.max_steps=1") == UNFINISHED


def test_a_timer_of_the_users_works(run_fit):
    timer = {"class_path": "lightning.pytorch.callbacks.Timer", "init_args": {"duration": "00:00:10:30"}}
    assert run_fit(f"--trainer.callbacks={json.dumps([timer])}", "--trainer.max_steps=1") == UNFINISHED


def test_a_fit_that_goes_on_shows_how_far_it_is_and_nothing_else(run_fit, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        bar = ["--trainer.enable_progress_bar=true", "--scaling.bits=0"]
        assert run_fit(*bar, "--trainer.max_steps=8") == UNFINISHED
        capsys.readouterr()
        assert run_fit(*bar) == 0
    said = capsys.readouterr()
    shown = [line for line in said.err.replace("\r", "\n").splitlines() if line.strip(" \x1b[A")]
    assert "| 8/12 [" in shown[0]
    assert any("| 12/12 [" in line for line in shown)
    assert all("%|" in line for line in shown)  # bars, and nothing else
    assert "/?" not in said.err
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "in", "out", "file", "rate", "vector", "PSNR", "seconds", "files",
    ]  # fmt: skip


def test_a_file_without_vector_says_nothing_of_it(run_fit, tmp_path, capfd):
    assert run_fit("--model.adapter.k=0", "--scaling.bits=100") == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert "vector " not in said.out.replace("vector 0,", "")
    assert json.loads((tmp_path / "runs" / "ramp" / "metrics.json").read_text())["bits_per_entry"] is None


def test_no_loss_is_no_number(fit_arguments, run_fit, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "psnr_db", lambda *_: math.inf)
    monkeypatch.setattr(SquaredError, "psnr_db", math.inf)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "ramp.mp4").write_bytes(clip.read_bytes())
    from vov_lightning.cli import fit

    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    assert fit.main([*arguments, f"--set={folder}", "--scaling.bits=0"]) == 0
    assert "no loss" in capsys.readouterr().out
    runs = tmp_path / "runs" / "set"

    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    for path in (runs / "summary.json", runs / "ramp" / "metrics.json"):
        assert "null" in path.read_text()
        json.loads(path.read_text(), parse_constant=refuse)
    for row in (runs / "ramp" / "history.jsonl").read_text().splitlines():
        json.loads(row, parse_constant=refuse)


def test_an_evaluation_of_a_video_and_an_image_is_logged(tmp_path, monkeypatch):
    rows = []

    class Recorded(wandb.Table):
        def add_data(self, *row):
            super().add_data(*row)  # it refuses two kinds of media in one column
            rows.append([type(cell) for cell in row[-2:]])

    monkeypatch.setattr(wandb, "Table", Recorded)
    frames = {0: torch.zeros(5, 3, 16, 16, dtype=torch.uint8), 1: torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}
    shared = {"method": "vov", "rate": "r", "bytes": 9, "bpp": 0.1, "figures": {}, "fps": "25"}
    points = [{"id": number, "clip": str(number), **shared} for number in frames]
    logger = RunLogger(offline=True, save_dir=str(tmp_path))
    results = {"metrics": {}, "points": points, "sets": []}
    try:
        log_evaluation(logger, results, frames, {str(number): clip for number, clip in frames.items()}, [])
    finally:
        end_tracking()
    assert rows == [[wandb.Video, type(None)], [type(None), wandb.Image]]
