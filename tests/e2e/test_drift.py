"""``--drift``: how far unrelated prompts move while a fit learns its source, and the limit that ends it."""

import json
import math
from xml.etree import ElementTree

import pytest
import torch
from support import PowerCut

from vov_lightning.bitstream import VovFile
from vov_lightning.errors import SettingError
from vov_lightning.fitting import run as run_module
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.module import VOVModule
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig

ON = "--drift.every_n_iterations=4"


def rows_of(folder):
    return [json.loads(line) for line in (folder / "drift.jsonl").read_text().splitlines()]


@pytest.fixture
def module(tiny_nano, clip, one_thread):
    module = VOVModule(tiny_nano, AdapterConfig(k=64), sampler=SamplerConfig(steps=3))
    module.prepare(SignalData(str(clip), height=32, width=32, caption="red"))
    return module


def test_drift_is_nothing_without_a_vector_and_grows_with_it(module):
    monitor = DriftMonitor(1, steps=2)
    with torch.no_grad():
        signs = torch.linspace(-1, 1, 64).sign()
        module.quantizer.initialise(signs)
        module.rate_constrained = True  # the quantiser's step stays as it is
        found = []
        for size in (0, 1, 2, 4):
            module.vector.copy_(size * signs)
            found.append(monitor.measure(module))
    assert (found[0]["drift"], found[0]["prompts_psnr_db"]) == (0.0, None)
    drifts = [row["drift"] for row in found]
    assert drifts == sorted(set(drifts))
    assert found[3]["prompts_psnr_db"] < found[1]["prompts_psnr_db"]


def test_two_unrelated_samples_are_at_one(module, monkeypatch):
    """A model that answers every prompt with another of its own samples has lost them all."""
    samples = torch.randn(8, 1000, generator=torch.Generator().manual_seed(0))
    monitor = DriftMonitor(1)
    generate = monitor._generate
    answers = iter([samples, samples.roll(1, 0)])
    monkeypatch.setattr(monitor, "_generate", lambda *args: (next(answers), generate(*args)[1]))
    assert monitor.measure(module)["drift"] == pytest.approx(1, abs=0.05)


def test_monitoring_changes_nothing_and_leaves_rows_and_curves(run_fit, tmp_path):
    assert run_fit("--name=plain", "--scaling.bits=0") == 0
    assert run_fit("--name=watched", "--scaling.bits=0", ON) == 0
    plain, watched = (tmp_path / "runs" / name for name in ("plain", "watched"))
    assert (plain / "ramp.vov").read_bytes() == (watched / "ramp.vov").read_bytes()
    rows = rows_of(watched)
    assert [row["iteration"] for row in rows] == [0, 4, 8, 12]
    metrics = json.loads((watched / "metrics.json").read_text())
    assert metrics["drift"] == {**rows[-1], "limit": None, "stopped": None}
    assert metrics["drift"]["psnr_db"] == pytest.approx(metrics["psnr_db"])
    assert metrics["seconds"]["drift"] > 0
    assert all(math.isfinite(row["drift"]) for row in rows)
    svg = ElementTree.fromstring((watched / "drift.svg").read_text())
    assert [tag.tag.split("}")[1] for tag in svg].count("polyline") == 2
    assert not (plain / "drift.jsonl").exists()


@pytest.mark.parametrize(("learning_rate", "stops"), [(0.3, True), (0.0, False)])
def test_limit_ends_the_fit_and_the_file_is_written(run_fit, tmp_path, capsys, learning_rate, stops):
    rates = [f"--{stage}.learning_rate={learning_rate}" for stage in ("stage1", "stage2")]
    assert run_fit(ON, "--drift.limit=0.02", *rates) == 0
    folder = tmp_path / "runs" / "ramp"
    rows = rows_of(folder)
    stopped = json.loads((folder / "metrics.json").read_text())["drift"]["stopped"]
    shown = capsys.readouterr().out
    if stops:
        assert rows[-1]["iteration"] in (4, 8)
        assert rows[-1]["drift"] > 0.02 >= rows[-2]["drift"]
        assert f"is above drift.limit=0.02 after {rows[-1]['iteration']} iterations" in stopped
        assert f"stopped  {stopped}" in shown
    else:
        assert rows[-1]["iteration"] == 12
        assert stopped is None
        assert "stopped" not in shown
    assert VovFile.open(folder / "ramp.vov").header.k == 64


def test_stopped_run_that_was_cut_off_does_not_train_on(run_fit, tmp_path, monkeypatch):
    def crash(*_, **__):
        raise PowerCut

    more = [ON, "--drift.limit=0.02", "--stage1.learning_rate=0.3", "--stage2.learning_rate=0.3"]
    assert run_fit("--name=whole", *more) == 0
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "encode", crash)
        with pytest.raises(PowerCut):
            run_fit("--name=cut", *more)
    assert run_fit("--name=cut", *more) == 0
    whole, cut = (tmp_path / "runs" / name for name in ("whole", "cut"))
    assert rows_of(cut) == rows_of(whole)
    assert (cut / "ramp.vov").read_bytes() == (whole / "ramp.vov").read_bytes()
    reports = [json.loads((folder / "metrics.json").read_text())["drift"] for folder in (whole, cut)]
    assert reports[0]["stopped"] is not None
    assert reports[0] == reports[1]


def test_a_finished_fit_that_was_not_watched_has_no_drift(run_fit, tmp_path, capsys):
    assert run_fit("--name=plain") == 0
    checkpoint = tmp_path / "runs" / "plain" / "checkpoints" / "last.ckpt"
    assert run_fit("--name=watched", f"--ckpt_path={checkpoint}", ON) == 1
    assert "drift was not watched in the fit that this one goes on from" in capsys.readouterr().err


def test_without_a_vector_there_is_no_drift(run_fit, capsys):
    assert run_fit("--model.adapter.k=0", "--scaling.bits=40", ON) == 1
    assert "drift measures a fitted vector, and k = 0 fits none" in capsys.readouterr().err


@pytest.mark.parametrize("step", [3, 9])
def test_resumed_fit_keeps_its_rows(step, run_fit, power_cut, tmp_path, monkeypatch):
    assert run_fit("--name=whole", ON) == 0
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 3)
    with power_cut(step):
        run_fit("--name=cut", ON)
    assert run_fit("--name=cut", ON) == 0
    assert rows_of(tmp_path / "runs" / "cut") == rows_of(tmp_path / "runs" / "whole")


def test_unknown_word_of_a_prompt_leaves_no_folder(run_fit, tmp_path, capsys):
    assert run_fit(ON, "--drift.prompts=[red, a zebra]") == 1
    assert "'zebra' is not in nano's vocabulary" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_dry_run_measures_too(run_fit, tmp_path, capsys, monkeypatch):
    measured = []
    measure = DriftMonitor.measure
    monkeypatch.setattr(DriftMonitor, "measure", lambda self, module: measured.append(1) or measure(self, module))
    assert run_fit("--drift.every_n_iterations=1000", "--dry_run=true") == 0
    assert len(measured) == 3
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every_n_iterations": 0}, "every_n_iterations=0 is below 1"),
        ({"limit": 0.3}, r"limit=0\.3 needs every_n_iterations"),
        ({"every_n_iterations": 5, "limit": 0.0}, r"limit=0\.0 needs .* to be above 0"),
        ({"steps": 0}, "steps=0 is below 1"),
        ({"seeds": (1, 1)}, r"seeds=\[1, 1\] .* are not two samples"),
        ({"every_n_iterations": 5, "limit": float("nan")}, r"limit=nan needs .* to be above 0"),
        ({"prompts": []}, r"with prompts=\[\] are not two samples"),
        ({"prompts": ["red", "red"]}, r"prompts=\['red', 'red'\] are not two samples"),
        ({"seeds": (1,), "prompts": ["red"]}, r"seeds=\[1\] with prompts=\['red'\] are not two samples"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        DriftMonitor(**settings)
