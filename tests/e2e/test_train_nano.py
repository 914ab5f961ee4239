"""The script that trains `nano` runs end to end, and what it exports is a base model that another run goes on from."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.video import Signal, write_signal

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "tools" / "train_nano.py"


def test_training_exports_a_model_and_a_report(tmp_path):
    frames = torch.randint(0, 256, (18, 3, 96, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for folder in ("train", "held_out"):
        write_signal(Signal(frames, Fraction(25), "noise"), tmp_path / folder / "clip.mp4")
    write_signal(Signal(frames[:1], Fraction(1), "noise"), tmp_path / "train" / "photo.png")
    settings = {
        "data.source": tmp_path / "train",
        "data.validation": tmp_path / "held_out",
        "out": tmp_path / "out",
        "data.pool": 4,
        "model": json.dumps({"autoencoder": {"widths": [8, 8, 8]}, "layers": 1, "heads": 1}),
        "transform": json.dumps({"steps": 2, "batch_size": 2, "learning_rate": 1e-4}),
        "decoder": json.dumps({"steps": 3, "batch_size": 4, "learning_rate": 1e-3}),
        "transformer": json.dumps({"steps": 2, "batch_size": 2, "learning_rate": 1e-3}),
        "perceptual_weight": 0,  # LPIPS weights are not everywhere
        "revision": "test",
    }
    command = [sys.executable, str(SCRIPT), *(f"--{name}={value}" for name, value in settings.items())]
    stopped = subprocess.run([*command, "--max_minutes=0"], capture_output=True, text=True, check=False)
    assert "stopped at step 0 of 2; the same command goes on" in stopped.stderr
    assert not (tmp_path / "out" / "transform" / "final.pt").exists()
    for folder in ("train", "held_out"):
        shutil.rmtree(tmp_path / folder)  # from here on the packs are enough, as on another machine
    subprocess.run(command, check=True, capture_output=True)

    model = Nano(str(tmp_path / "out" / "export"))
    assert model.revision == "test"
    assert model.decode(model.encode(frames[:9, :, :64, :64]), 9).shape == (9, 3, 64, 64)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["transformer"]) == {"untrained val/loss", "train/loss", "validation/loss"}
    for stage in ("transform", "decoder"):
        assert set(report[stage]) == {"untrained val/psnr_db", "train/psnr_db", "validation/psnr_db"}


def command_of(folder: Path, model: NanoConfig, **more: object) -> list[str]:
    """Trains a ``model`` with context in ``folder``, on a clip of noise."""
    frames = torch.randint(0, 256, (27, 3, 64, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name in ("train", "held_out"):
        write_signal(Signal(frames, Fraction(25), "noise"), folder / name / "clip.mp4")
        write_signal(Signal(frames[:9], Fraction(25), "noise"), folder / name / "too_short.mp4")
    settings = {
        "data.source": folder / "train",
        "data.validation": folder / "held_out",
        "data.frames": 27,
        "data.packed": json.dumps({"clip_rows": 64, "segment_frames": 27}),
        "data.pool": 4,
        "out": folder / "out",
        "model": json.dumps(asdict(model)),
        **more,
    }
    return [sys.executable, str(SCRIPT), *(f"--{name}={value}" for name, value in settings.items())]


def test_training_goes_on_from_a_model_without_context(tmp_path, tiny_nano, tiny_nano_config):
    tiny_nano.save(tmp_path / "start")
    stage = json.dumps({"steps": 2, "batch_size": 2, "learning_rate": 1e-3})
    more = {"start": tmp_path / "start", "transformer": stage}
    subprocess.run(command_of(tmp_path, replace(tiny_nano_config, context=2), **more), check=True, capture_output=True)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report) == {"transformer"}
    figures = report["transformer"]
    assert "validation/loss_given_past" in figures
    # Of weights that do not know the past yet, it changes nothing.
    assert figures["untrained val/loss_given_past"] == figures["untrained val/loss"]
    assert figures["validation/loss_given_past"] != figures["validation/loss"]
    model = Nano(str(tmp_path / "out" / "export"))
    assert (model.context, model.per_frame_times) == (2, True)
    kept = model.autoencoder.state_dict()
    assert all(
        torch.equal(kept[name], value.half().float()) for name, value in tiny_nano.autoencoder.state_dict().items()
    )


def test_a_sibling_of_few_steps_is_distilled(tmp_path, tiny_nano_config):
    config = replace(tiny_nano_config, context=2)
    Nano.untrained(config, "many").save(tmp_path / "start")
    stage = json.dumps({"steps": 30, "batch_size": 4, "learning_rate": 3e-3})
    more = {"few_steps": 2, "revision": "few", "transformer": stage, "machine.precision": "32-true"}
    command = command_of(tmp_path, config, **more)
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "few_steps=2 follows a trained model; give its folder as start" in refused.stderr
    subprocess.run([*command, f"--start={tmp_path / 'start'}"], check=True, capture_output=True)

    figures = json.loads((tmp_path / "out" / "report.json").read_text())["transformer"]
    # The untrained model is wrong by what a long step misses of many short ones.
    assert 0 < figures["train/loss"] < figures["untrained val/loss"]
    model, many = Nano(str(tmp_path / "out" / "export")), Nano(str(tmp_path / "start"))
    assert (model.revision, model.context) == ("few", 2)
    assert model.fingerprint() != many.fingerprint()
