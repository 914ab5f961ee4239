"""``vov-eval``: files of a tiny model against their sources and other codecs, and everything that may be wrong."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import wandb

from vov_lightning.bases import load_base
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import eval as evaluate
from vov_lightning.evaluation import module
from vov_lightning.evaluation.baselines import Baseline, Coded, Task, UnreachableError
from vov_lightning.video import ClipWriter, read_signal, write_signal

FIGURES = ["psnr_db", "psnr_frame_db", "ms_ssim"]
"""Metrics without a network."""


@pytest.fixture(scope="module")
def sources(clip, tmp_path_factory) -> Path:
    """A folder with two clips, one the mirror image of the other."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(clip, folder / "ramp.mp4")
    signal = read_signal(clip)
    write_signal(replace(signal, frames=signal.frames.flip(3)), folder / "other.mp4")
    return folder


@pytest.fixture
def sets(run_fit, sources, tmp_path) -> Path:
    """Two sets of two files."""
    for name, k in (("small", 32), ("large", 128)):
        more = ["--data.path=sample", f"--set={sources}", f"--name={name}", f"--model.adapter.k={k}"]
        assert run_fit(*more) == 0
    return tmp_path / "runs"


@pytest.fixture
def run_eval(tiny_weights, tmp_path):
    """``run_eval(*arguments) -> exit status``; the results lie in ``tmp_path / "out"``."""

    def run(*arguments: object, baselines: str = "[]", metrics: list[str] = FIGURES) -> int:
        options = [
            f"--base.weights={tiny_weights}", f"--out={tmp_path / 'out'}", f"--metrics={json.dumps(metrics)}",
            f"--baselines={baselines}", "--logger=false", "--accelerator=cpu",
        ]  # fmt: skip
        return evaluate.main(["--base=nano", *options, *map(str, arguments)])

    return run


@pytest.fixture
def results(tmp_path):
    """``results()``: what the last evaluation wrote."""
    return lambda: json.loads((tmp_path / "out" / "results.json").read_text())


class Grey(Baseline):
    """A codec whose every clip is grey; in less than 50 bytes it cannot say so."""

    key, label, description = "x265", "grey", "Grey."
    coded = 0

    def code(self, task: Task) -> Coded:
        type(self).coded += 1
        if task.num_bytes < 50:
            raise UnreachableError("grey takes 50 bytes")
        return Coded(torch.full_like(task.source.frames, 128), task.num_bytes, "grey", 0.5, 0.25)


def test_figures_are_those_of_the_files(sets, run_eval, results, tmp_path):
    assert run_eval(sets) == 0
    found = results()
    assert [(point["rate"], point["clip"]) for point in found["points"]] == [
        ("large", "other"), ("large", "ramp"), ("small", "other"), ("small", "ramp"),
    ]  # fmt: skip
    for point in found["points"]:
        file, metrics = Path(point["file"]), json.loads((Path(point["file"]).parent / "metrics.json").read_text())
        assert point["bytes"] == file.stat().st_size == sum(point["sections"].values())
        assert point["bpp"] == metrics["bpp"]
        assert point["figures"]["psnr_db"] == pytest.approx(metrics["psnr_db"], abs=1e-4)
        assert point["figures"]["ms_ssim"] is None
        assert "needs sides of at least 176 pixels" in point["reasons"]["ms_ssim"]
        assert point["encode_s"] == pytest.approx(sum(metrics["seconds"].values()))
        assert len(point["per_frame"]["psnr_db"]) == 9
    assert found["bounds"]["ramp"]["psnr_db"] == pytest.approx(metrics["autoencoder_psnr_db"], abs=1e-4)
    means = {mean["rate"]: mean for mean in found["sets"]}
    psnr = [point["figures"]["psnr_db"] for point in found["points"][:2]]
    assert means["large"]["figures"]["psnr_db"] == pytest.approx(sum(psnr) / 2)
    assert means["large"]["clips"] == 2
    assert means["large"]["reasons"].keys() == {"ms_ssim"}
    assert {fit["rate"] for fit in found["fits"]} == {"large", "small"}
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [float(row["psnr_db"]) for row in rows] == [point["figures"]["psnr_db"] for point in found["points"]]
    assert rows[0]["ms_ssim"] == ""
    assert "<title>" in (tmp_path / "out" / "report.html").read_text()
    for part in ("command", "date", "versions", "machine", "settings"):
        assert found["about"][part]


def test_a_scaled_picture_of_wide_pixels_is_measured_whole(clip, run_fit, run_eval, results, tmp_path):
    wide = tmp_path / "wide.mp4"
    signal = read_signal(clip)
    with ClipWriter(wide, signal.height, signal.width, signal.fps, sample_aspect_ratio=Fraction(3, 2)) as writer:
        writer.write(signal.frames)
    assert run_fit(f"--data.path={wide}", "--data.width=null") == 0
    metrics = json.loads((tmp_path / "runs" / "wide" / "metrics.json").read_text())
    assert run_eval(tmp_path / "runs") == 0
    assert results()["points"][0]["figures"]["psnr_db"] == pytest.approx(metrics["psnr_db"], abs=1e-4)


def test_diagnostics_on_request(sets, run_eval, results):
    assert run_eval(sets / "small") == 0
    assert results()["diagnostics"] == []
    assert run_eval(sets / "small", "--diagnostics=true") == 0
    found = results()["diagnostics"]
    assert [(item["clip"], item["k"]) for item in found] == [("other", 32), ("ramp", 32)]
    assert all(item["path_kl"]["ancestral"]["total_bits"]["mean"] > 0 for item in found)


def test_sources_may_lie_elsewhere_and_files_apart(sets, sources, run_eval, results, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for clip in ("ramp", "other"):
        shutil.copy(sets / "small" / clip / f"{clip}.vov", loose)
    assert run_eval(loose, "--sources", sources) == 0
    assert [point["encode_s"] for point in results()["points"]] == [None, None]
    assert {point["rate"] for point in results()["points"]} == {"loose"}


def test_progress_is_not_among_the_results(sets, run_eval, capsys):
    assert run_eval(sets / "large") == 0
    said = capsys.readouterr()
    assert "it/s" in said.err or "s/it" in said.err
    assert "%|" not in said.out


def test_what_is_coded_once_is_not_coded_again(sets, run_eval, results, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "make_baselines", lambda *_: [Grey()])
    monkeypatch.setattr(Grey, "coded", 0)
    assert run_eval(sets / "large") == 0
    before = results()["points"]
    assert Grey.coded == 2

    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(module, "decode", fail)
    assert run_eval(sets / "large", metrics=["psnr_frame_db"]) == 0
    assert Grey.coded == 2
    after = results()["points"]
    assert [point["figures"]["psnr_frame_db"] for point in after] == [
        point["figures"]["psnr_frame_db"] for point in before
    ]
    assert [point["method"] for point in after] == ["vov", "x265"] * 2


def test_bytes_out_of_reach_are_a_result(sets, run_eval, results, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "make_baselines", lambda *_: [Grey()])
    limit = VovFile.open(sets / "small" / "ramp" / "ramp.vov")
    monkeypatch.setattr(Grey, "code", lambda self, task: unreachable(task, len(limit.to_bytes())))
    assert run_eval(sets) == 0
    lost = results()["unreachable"]
    assert {item["rate"] for item in lost} == {"small"}
    assert lost[0]["reason"] == "too many"
    assert "too many" in capsys.readouterr().out


def unreachable(task: Task, limit: int) -> Coded:
    if task.num_bytes <= limit + 5:
        raise UnreachableError("too many")
    return Coded(task.source.frames, task.num_bytes, "", 0.1, 0.1)


def test_a_corrupt_file_is_reported_and_the_rest_goes_on(sets, run_eval, results, capsys):
    path = sets / "small" / "ramp" / "ramp.vov"
    path.write_bytes(path.read_bytes()[:-3])
    (sets / "large" / "gone").mkdir()
    shutil.copy(sets / "large" / "ramp" / "ramp.vov", sets / "large" / "gone" / "gone.vov")
    assert run_eval(sets) == 1
    failures = {Path(failure["file"]).stem: failure["error"] for failure in results()["failures"]}
    assert failures.keys() == {"ramp", "gone"}
    assert failures["ramp"].startswith("BitstreamError")
    assert "give --sources" in failures["gone"]
    assert {failure["method"] for failure in results()["failures"]} == {"vov"}
    assert len(results()["points"]) == 3
    assert "ramp.vov failed" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [True, False], ids=["four files", "one file, so that a process has nothing to do"])
def test_two_processes_find_what_one_finds(sets, run_eval, results, tiny_weights, tmp_path, whole):
    sets = sets if whole else sets / "small" / "ramp"
    assert run_eval(sets) == 0
    single = results()
    out = tmp_path / "two"
    script = tmp_path / "vov_eval.py"
    script.write_text("import sys\nfrom vov_lightning.cli.eval import main\nsys.exit(main())\n")
    command = [
        sys.executable, str(script), str(sets),
        "--base=nano", f"--base.weights={tiny_weights}", f"--out={out}", f"--metrics={json.dumps(FIGURES)}",
        "--baselines=[]", "--logger=false", "--accelerator=cpu", "--devices=2",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    double = json.loads((out / "results.json").read_text())
    assert [point["figures"] for point in double["points"]] == [point["figures"] for point in single["points"]]
    assert double["sets"] == single["sets"]


def test_a_base_model_that_is_missing_stops_its_own_files_only(sets, tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(
        module,
        "load_revision",
        lambda name, _: load_base(name, **({"weights": str(tiny_weights)} if name == "nano" else {})),
    )
    path = sets / "large" / "ramp" / "ramp.vov"
    file = VovFile.open(path)
    replace(file, header=replace(file.header, base_name="another")).save(path)
    out = tmp_path / "out"
    options = ["--metrics=[psnr_db]", "--baselines=[]", "--logger=false", f"--out={out}"]
    assert evaluate.main([str(sets), *options]) == 1
    found = json.loads((out / "results.json").read_text())
    assert len(found["points"]) == 3
    assert "base model 'another' is not registered" in found["failures"][0]["error"]


def test_wandb_gets_the_table_the_curves_and_the_report(sets, run_eval, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(evaluate, "end_tracking", lambda: logged.append(dict(wandb.run.summary)))
    options = ["--logger=RunLogger", "--logger.offline=true"]
    assert run_eval(sets, *options) == 0
    wandb.finish()
    assert {"evaluation/points", "evaluation/psnr_db_table"} <= logged[0].keys()
    (path,) = (tmp_path / "out" / "wandb").rglob("points_*.table.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["clip", "method", "rate", "bytes", "bpp", *FIGURES, "source and decoded"]
    assert len(table["data"]) == 4


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--metrics=[psnr]"], "metric 'psnr' is none of psnr_db"),
            (["--baselines=[x266]"], "baseline 'x266' is unknown; known are indices, x265"),
        ],
    )
    def test_unknown_names_are_refused_with_the_known_ones(self, sets, arguments, message, capsys):
        assert evaluate.main([str(sets), *arguments]) == 1
        assert message in capsys.readouterr().err

    def test_an_empty_folder(self, tmp_path, run_eval, capsys):
        assert run_eval(tmp_path) == 1
        assert "there is no .vov file" in capsys.readouterr().err

    def test_a_source_that_is_too_short(self, sets, sources, run_eval, results, tmp_path, capsys):
        short = tmp_path / "short"
        short.mkdir()
        signal = read_signal(sources / "ramp.mp4", max_frames=5)
        write_signal(signal, short / "ramp.mp4")
        shutil.copy(sources / "other.mp4", short)
        assert run_eval(sets / "small", "--sources", short) == 1
        assert "ramp.mp4 is not what was compressed" in results()["failures"][0]["error"]
        apart = tmp_path / "apart"
        apart.mkdir()
        for file in (sets / "small").rglob("*.vov"):
            shutil.copy(file, apart)
        assert run_eval(apart, "--sources", short) == 1
        assert "cannot be brought to the file's 9 frames of 32x32" in results()["failures"][0]["error"]

    def test_weights_that_are_missing_are_named(self, sets, run_eval, tmp_path, capsys):
        empty = tmp_path / "weights"
        empty.mkdir()
        assert run_eval(sets, "--weights_dir", empty, metrics=["dists"]) == 1
        assert "lacks vgg16-397923af.pth" in capsys.readouterr().err
