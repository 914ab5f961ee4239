"""The script that trains the decoder of `nano` on coded clips runs end to end, and keeps everything but the network."""

import dataclasses
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import random_frames

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import Nano
from vov_lightning.video import Signal, write_signal

pytestmark = pytest.mark.slow

TRAINER = Path(__file__).parents[2] / "tools" / "train_decoder.py"


def test_a_decoder_is_trained_goes_on_and_is_exported(tmp_path, tiny_nano_config):
    Nano.untrained(dataclasses.replace(tiny_nano_config, context=2)).save(tmp_path / "start")
    for folder in ("train", "held_out"):
        frames = random_frames(ClipSize(18, 40, 48), seed=len(folder))
        write_signal(Signal(frames, Fraction(25), "noise"), tmp_path / folder / "clip.mp4")
    settings = {
        "source": tmp_path / "train",
        "validation": tmp_path / "held_out",
        "out": tmp_path / "out",
        "start": tmp_path / "start",
        "revision": "test",
        "packed": json.dumps({"clip_rows": 40, "segment_frames": 18}),
        "coding": json.dumps({"frames": 18, "side": 32, "steps": 2}),
        "pool": 3,
        "validation_pool": 1,
        "window": 2,
        "stage": json.dumps({"steps": 3, "batch_size": 2, "learning_rate": 1e-3}),
        "perceptual_weight": 0,  # LPIPS weights are not everywhere
    }
    command = [sys.executable, str(TRAINER), *(f"--{name}={value}" for name, value in settings.items())]
    stopped = subprocess.run([*command, "--max_minutes=0"], capture_output=True, text=True, check=False)
    assert "stopped at step 0 of 3; the same command goes on" in stopped.stderr
    coded = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("coded_*/*.pt")}
    assert len(coded) == 4
    subprocess.run(command, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in coded} == coded  # they were kept

    model = Nano(str(tmp_path / "out" / "export"))
    assert (model.revision, model.config.autoencoder.past) == ("test", 1)
    before, after = (load_file(tmp_path / folder / "weights.safetensors") for folder in ("start", "out/export"))
    for name, tensor in after.items():
        if not name.startswith("autoencoder.network."):
            assert torch.equal(tensor, before[name]), name
    last = "autoencoder.network.8.bias"
    assert not torch.equal(after[last], before[last])
