"""The package as a notebook uses it: paths or objects go in, base models are found by name."""

import os
import re
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

import vov_lightning as vov
from vov_lightning.bases import shared_base
from vov_lightning.bases.nano.model import Nano
from vov_lightning.errors import RunError, SettingError, SignalError, UnfinishedError

PAGE = Path(__file__).parents[2] / "docs" / "compress.md"
SIZE = {"height": 32, "frames": 9}


@pytest.fixture
def tiny_by_name(tiny_weights, monkeypatch):
    """``nano`` is the tiny model; counts how often it is loaded."""
    loaded = []

    def load(name):
        loaded.append(name)
        return Nano(str(tiny_weights))

    monkeypatch.setattr("vov_lightning.bases.load_base", load)
    shared_base.cache_clear()
    yield loaded
    shared_base.cache_clear()


def test_the_example_of_the_documentation_runs(tiny_by_name, clip, tmp_path, monkeypatch):
    """As it stands, but on the tiny model, a small clip, a short vector and few iterations."""
    section = PAGE.read_text().split("## From Python")[1].split("\n## ")[0]
    code = "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "my_clip.mp4")
    names = {}
    exec(code.replace("=120", "=6").replace("k=256", "k=64"), names)
    assert torch.equal(names["clip"].frames, vov.decode("runs/my_clip/my_clip.vov", progress=False).frames)
    assert len(names["better"].to_bytes()) > 40
    assert names["red"].frames.shape == names["clip"].frames.shape
    result = names["result"]
    assert torch.equal(vov.decode(result.file, progress=False).frames, result.decoded.frames)
    assert result.file.header.k == 64
    assert [row["step"] for row in result.history] == [10]
    assert vov.read_signal("out.mp4").num_frames == 9


def test_a_clip_goes_through_by_path_and_its_base_model_is_loaded_once(tiny_by_name, clip, tmp_path):
    result = vov.compress(clip, tmp_path / "run", target_bpp=0.15, progress=False, **SIZE)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "ramp.vov", "decoded.mp4", "preview.mp4", "metrics.json",
    }  # fmt: skip
    assert 0.1 < result.metrics["bpp"] <= 0.15
    assert f"{result.metrics['bytes']} bytes" in repr(result)
    decoded = vov.decode(result.path, progress=False)
    assert decoded.name == "ramp"
    assert torch.equal(decoded.frames, result.decoded.frames)
    better = vov.scale(result.path, clip, 1.0, progress=False)
    assert 8 * len(result.file.to_bytes()) < 8 * len(better.to_bytes()) <= 1.0 * decoded.num_pixels
    plain = vov.edit(result.path, result.file.caption, progress=False)
    assert torch.equal(plain.frames, decoded.frames)
    both = vov.edit([result.path, result.file], "red", vov.EditConfig(strength=0.5), weights=[1, 0], progress=False)
    assert both.frames.shape == decoded.frames.shape
    assert tiny_by_name == ["nano"]


def test_scaling_takes_the_source_as_a_signal_of_its_size_or_of_the_files(tiny_weights, clip, tmp_path):
    """Three segments of a clip: the same file from its path, its frames, and its frames at the file's size."""
    base = Nano(str(tiny_weights))
    source = vov.read_signal(clip)
    given = {"base": base, "progress": False}
    result = vov.compress(clip, tmp_path / "run", 0.2, height=32, segment=4, **given)
    assert len(result.file.segments) > 1
    assert result.decoded is None
    assert vov.decode(result.file, **given).num_frames == 9
    by_path, by_signal = (vov.scale(result.file, one, 1.0, **given) for one in (clip, source))
    assert by_path == by_signal
    assert len(by_path.segments) == len(result.file.segments)
    with pytest.raises(SettingError, match=r"start=9 is outside 0 \.\. 8"):
        vov.scale(result.file, source, 1.0, start=9, **given)
    with pytest.raises(SettingError, match="asks for no index bits"):
        vov.scale(result.file, source, **given)


def test_compressing_a_signal_is_instant_yaml_without_the_command(tiny_weights, clip, tmp_path, run_fit):
    more = ["--config=instant.yaml", f"--model.base.weights={tiny_weights}", "--scaling.bits=0"]
    assert run_fit(*more, "--model.adapter.k=0", "--scaling.target_bpp=0.5", "--data.width=null") == 0
    base, sampler = Nano(str(tiny_weights)), vov.SamplerConfig()
    result = vov.compress(clip, tmp_path / "run", 0.5, base, sampler=sampler, progress=False, height=32)
    assert result.file == vov.VovFile.open(tmp_path / "runs" / "ramp" / "ramp.vov")
    with pytest.raises(RunError, match="holds a run of vov-fit"):
        vov.compress(clip, tmp_path / "runs" / "ramp", 0.5, base, progress=False)


class CtrlC(L.Callback):
    """A notebook's stop button, pressed in the third step."""

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("stop", "error"), [({"max_steps": 3}, UnfinishedError), ({"callbacks": [CtrlC()]}, KeyboardInterrupt)]
)
def test_a_fit_that_was_stopped_goes_on_to_the_same_file(tiny_weights, clip, tmp_path, stop, error):
    def fit(folder, **options):
        module = vov.VOVModule(Nano(str(tiny_weights)), vov.AdapterConfig(k=64), sampler=vov.SamplerConfig(steps=2))
        data = vov.SignalData.of(vov.read_signal(clip), height=32, width=32)
        stages = [vov.Unconstrained(4), vov.RateConstrained(4)]
        return vov.fit(data, module, stages, tmp_path / folder, accelerator="cpu", log_every_n_steps=1, **options)

    whole = fit("whole")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(error, match="3 of 8"):
        fit("parts", **stop)
    assert signal.getsignal(signal.SIGINT) == handler
    again = fit("parts", resume=True)
    assert again.file == whole.file
    assert [row["step"] for row in again.history] == [row["step"] for row in whole.history] == list(range(1, 9))
    assert "train/distortion" in repr(whole.history)


def test_a_fit_shows_one_bar_with_time_left_and_nothing_of_lightnings(tiny_weights, clip, tmp_path):
    script = f"""
import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
module = vov.VOVModule(Nano({str(tiny_weights)!r}), vov.AdapterConfig(k=64), sampler=vov.SamplerConfig(steps=2))
stages = [vov.Unconstrained(2), vov.RateConstrained(2)]
data = vov.SignalData({str(clip)!r}, height=32, width=32)
vov.fit(data, module, stages, {str(tmp_path / "run")!r}, accelerator="cpu")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert "stage 2: 100%" in run.stderr
    for chatter in ("GPU", "TPU", "Tip", "Seed set", "Epoch", "max_epochs", "Warning", "Trainable", "litlogger"):
        assert chatter not in run.stderr


def test_psnr_refuses_clips_of_two_sizes():
    frames = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    clip, image, brighter = (vov.Signal(one, Fraction(25), "grey") for one in (frames, frames[:1], frames + 1))
    with pytest.raises(SignalError, match="give two of one size"):
        vov.psnr_db(image, clip)
    assert vov.psnr_db(brighter, clip) == pytest.approx(20 * np.log10(255))
