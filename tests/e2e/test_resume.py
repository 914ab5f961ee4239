"""Nothing is lost when a fit stops: the same command ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from support import PowerCut

from vov_lightning.cli import decode, fit
from vov_lightning.fitting import run as run_module
from vov_lightning.runs import encode as encode_module

ITERATIONS = 6


@pytest.fixture
def uninterrupted(run_fit, tmp_path) -> bytes:
    assert run_fit("--name=whole") == 0
    return (tmp_path / "runs" / "whole" / "ramp.vov").read_bytes()


@pytest.mark.parametrize("step", [0, 4, ITERATIONS, ITERATIONS + 1, 2 * ITERATIONS - 1])
def test_resume_at_any_step_gives_the_same_bytes(step, run_fit, power_cut, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 1 if step % 2 else 3)
    with power_cut(step):
        run_fit("--name=cut")
    assert not (tmp_path / "runs" / "cut" / "metrics.json").exists()
    assert run_fit("--name=cut", "--ckpt_path=last") == 0
    assert (tmp_path / "runs" / "cut" / "ramp.vov").read_bytes() == uninterrupted


@pytest.mark.parametrize(
    ("module", "function"), [(encode_module, "assemble"), (encode_module, "side_by_side"), (run_module, "measure")]
)
def test_a_crash_after_training_loses_nothing(module, function, run_fit, uninterrupted, tmp_path, monkeypatch):
    def crash(*_, **__):
        raise PowerCut

    with monkeypatch.context() as cut:
        cut.setattr(module, function, crash)
        with pytest.raises(PowerCut):
            run_fit("--name=cut")
    assert run_fit("--name=cut") == 0
    assert (tmp_path / "runs" / "cut" / "ramp.vov").read_bytes() == uninterrupted


def test_killed_process_resumes_to_the_same_bytes(fit_arguments, tmp_path):
    """SIGKILL in the middle of stage 2, then the same command."""
    arguments = [
        *fit_arguments,
        "--stage1.iterations=30",
        "--stage2.iterations=400",
        "--trainer.val_check_interval=430",
    ]
    code = "import sys; from vov_lightning.cli.fit import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    checkpoint = tmp_path / "runs" / "ramp" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not (checkpoint.exists() and _step(checkpoint) > 30):
        assert process.poll() is None, "the fit ended before it could be killed"
        assert time.time() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (checkpoint.parents[1] / "metrics.json").exists()
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert fit.main([*arguments, "--name=whole"]) == 0
    assert (tmp_path / "runs/ramp/ramp.vov").read_bytes() == (tmp_path / "runs/whole/ramp.vov").read_bytes()


def _step(checkpoint) -> int:
    return torch.load(checkpoint, weights_only=True)["global_step"]


def test_finished_run_is_verified_and_skipped(run_fit, tmp_path, capsys):
    assert run_fit() == 0
    before = (tmp_path / "runs" / "ramp" / "metrics.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run_fit() == 0
    assert "finished and intact" in capsys.readouterr().out
    assert (tmp_path / "runs" / "ramp" / "metrics.json").stat().st_mtime_ns == before


def test_damaged_result_is_not_skipped(run_fit, tmp_path, capsys):
    assert run_fit() == 0
    path = tmp_path / "runs" / "ramp" / "ramp.vov"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert run_fit() == 1
    assert "--overwrite true" in capsys.readouterr().err
    assert run_fit("--overwrite=true") == 0
    assert decode.VovFile.open(path)


def test_changed_configuration_is_refused(run_fit, capsys):
    assert run_fit("--stage2.lmbda=0.3") == 0
    assert run_fit("--stage2.lmbda=0.5") == 1
    error = capsys.readouterr().err
    assert "stage2.lmbda: 0.3 -> 0.5" in error
    assert "--overwrite" in error


def test_changed_source_is_refused_on_resume(run_fit, power_cut, tmp_path, monkeypatch, capsys):
    from PIL import Image

    image = tmp_path / "still.png"
    Image.linear_gradient("L").save(image)
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 1)
    with power_cut(3):
        run_fit(f"--data.path={image}")
    Image.radial_gradient("L").save(image)
    assert run_fit(f"--data.path={image}") == 1
    assert "source_sha256" in capsys.readouterr().err


def test_checkpoint_of_another_base_model_is_refused(run_fit, tmp_path, tiny_weights, capsys):
    from vov_lightning.bases.nano.model import Nano

    assert run_fit("--name=a") == 0
    other = Nano(str(tiny_weights))
    other.words.table.weight.add_(1)
    other.save(tmp_path / "other")
    checkpoint = tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt"
    assert run_fit("--name=b", f"--ckpt_path={checkpoint}", f"--model.base.weights={tmp_path / 'other'}") == 1
    assert "on another base model" in capsys.readouterr().err


def test_overwrite_starts_again(run_fit, tmp_path):
    assert run_fit() == 0
    folder = tmp_path / "runs" / "ramp"
    first = (folder / "ramp.vov").read_bytes()
    assert run_fit("--model.seed=5", "--overwrite=true") == 0
    assert (folder / "ramp.vov").read_bytes() != first
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["ramp"]
