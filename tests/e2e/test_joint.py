"""``data.paths``: one vector for several sources; each has a file that decodes by itself, under its own caption."""

import json
import shutil

import pytest
import torch
from PIL import Image

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, fit
from vov_lightning.cli.stopping import UNFINISHED
from vov_lightning.fitting import run as run_module
from vov_lightning.fitting.tracking import RunLogger
from vov_lightning.video import read_signal

CAPTIONS = {"first": "dim, blue", "second": "bright, red"}


@pytest.fixture
def clips(tmp_path, clip):
    """Two images, told apart by a text file beside each."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, gradient in (("first", Image.linear_gradient), ("second", Image.radial_gradient)):
        gradient("L").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(CAPTIONS[name])
    return folder


@pytest.fixture
def joint_arguments(fit_arguments, clips):
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path=")]
    paths = json.dumps([str(clips / f"{name}.png") for name in CAPTIONS])
    return [*arguments, f"--data.paths={paths}"]


@pytest.fixture
def fit_joint(joint_arguments):
    """``fit_joint(*more_arguments) -> exit status``."""
    return lambda *more: fit.main([*joint_arguments, *more])


def files_of(folder):
    return {name: VovFile.open(folder / name / f"{name}.vov") for name in CAPTIONS}


def test_each_source_has_its_file_with_its_caption_and_the_same_vector(fit_joint, tmp_path, tiny_weights, capsys):
    assert fit_joint() == 0
    folder = tmp_path / "runs" / "first+1"
    files = {"metrics.json", "history.jsonl", "config.yaml", "checkpoints"}
    assert {path.name for path in folder.iterdir()} == {"first", "second", *files}
    files = files_of(folder)
    assert {name: file.caption for name, file in files.items()} == CAPTIONS
    first, second = files.values()
    assert first.symbols.tolist() == second.symbols.tolist()
    assert first.header == second.header

    metrics = json.loads((folder / "metrics.json").read_text())
    sizes = {name: (folder / name / f"{name}.vov").stat().st_size for name in CAPTIONS}
    assert {name: row["bytes"] for name, row in metrics["sources"].items()} == sizes
    assert metrics["bytes"] == sum(sizes.values())
    sections = first.section_bytes()
    assert metrics["bytes_once"] == metrics["bytes"] - sections["vector"] - sections["count_table"]
    shown = capsys.readouterr().out
    for size in (*sizes.values(), metrics["bytes"], metrics["bytes_once"]):
        assert f" {size} " in shown

    base = ["--base", "vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]
    for name in CAPTIONS:
        part = folder / name
        assert (part / "caption.txt").read_text() == f"{CAPTIONS[name]}\n"
        assert decode.main([str(part / f"{name}.vov"), "-o", str(tmp_path / f"{name}.png"), *base]) == 0
        assert torch.equal(read_signal(tmp_path / f"{name}.png").frames, read_signal(part / "decoded.png").frames)

    assert fit_joint() == 0
    assert "finished and intact" in capsys.readouterr().out
    (folder / "second" / "second.vov").write_bytes(b"VOV")
    assert fit_joint() == 1
    assert "--overwrite true" in capsys.readouterr().err


def test_sources_share_the_training(fit_joint, fit_arguments, clips, tmp_path):
    """The vector is of both: it is not what either would get alone, and the order of the draws is the seed's."""
    assert fit_joint() == 0
    assert fit_joint("--name=again") == 0
    alone = [f"--data.path={clips / 'first.png'}", f"--data.caption_file={clips / 'first.txt'}", "--name=alone"]
    assert fit.main([*fit_arguments, *alone]) == 0
    runs = tmp_path / "runs"
    joint, again = (files_of(runs / name)["first"] for name in ("first+1", "again"))
    assert joint == again
    assert joint.symbols.tolist() != VovFile.open(runs / "alone" / "first.vov").symbols.tolist()


@pytest.mark.parametrize("step", [4, 7])
def test_interrupted_joint_fit_goes_on_to_the_same_bytes(step, fit_joint, power_cut, tmp_path, monkeypatch):
    assert fit_joint("--name=whole") == 0
    monkeypatch.setattr(run_module, "CHECKPOINT_EVERY", 3)
    with power_cut(step):
        fit_joint("--name=cut")
    assert fit_joint("--name=cut") == 0
    for name, file in files_of(tmp_path / "runs" / "whole").items():
        assert file == files_of(tmp_path / "runs" / "cut")[name]


def test_sources_that_cannot_be_told_apart_leave_no_folder(fit_joint, clips, tmp_path, capsys):
    (clips / "second.txt").write_text("blue, dim\n")
    assert fit_joint() == 1
    assert "first ('dim, blue') and second ('blue, dim') have the same caption" in capsys.readouterr().err
    assert fit_joint("--dry_run=true") == 1
    assert "have the same caption" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_changed_caption_beside_a_source_is_refused(fit_joint, clips, capsys):
    assert fit_joint() == 0
    (clips / "second.txt").write_text("bright, green\n")
    assert fit_joint() == 1
    assert "captions_beside: ['dim, blue', 'bright, red'] -> ['dim, blue', 'bright, green']" in capsys.readouterr().err


def test_captioner_is_asked_once_for_each_source_without_a_caption(fit_joint, clips, endpoint, monkeypatch, tmp_path):
    (clips / "second.txt").unlink()
    monkeypatch.setenv("VLM_KEY", "x")
    endpoint.say("bright, green")
    asking = [f"--data.captioner.base_url={endpoint.url}", "--data.captioner.model=m"]
    asking = ["--data.captioner=EndpointCaptioner", *asking, "--data.captioner.api_key_env=VLM_KEY"]
    assert fit_joint(*asking, "--dry_run=true") == 0
    assert not endpoint.requests
    assert fit_joint(*asking) == 0
    (tmp_path / "runs" / "first+1" / "metrics.json").unlink()  # interrupted after training
    assert fit_joint(*asking) == 0
    assert len(endpoint.requests) == 1
    assert files_of(tmp_path / "runs" / "first+1")["second"].caption == "bright, green"


def test_dry_run_of_a_joint_fit_leaves_nothing(fit_joint, tmp_path, capsys):
    assert fit_joint("--dry_run=true") == 0
    assert "dry run passed" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_names_with_dots_pass_a_dry_run_too(fit_arguments, clips, capsys):
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path=")]
    for number, name in enumerate(CAPTIONS, start=1):
        (clips / f"{name}.png").rename(clips / f"clip.{number}.png")
    paths = json.dumps([str(clips / f"clip.{number}.png") for number in (1, 2)])
    assert fit.main([*arguments, f"--data.paths={paths}", "--dry_run=true"]) == 0
    assert "dry run passed" in capsys.readouterr().out


def test_a_target_out_of_reach_loses_no_file(fit_joint, tmp_path, capsys):
    assert fit_joint("--scaling.target_bpp=0.001") == 1
    assert files_of(tmp_path / "runs" / "first+1").keys() == CAPTIONS.keys()


def test_set_takes_no_paths(fit_joint, clips, capsys):
    assert fit_joint(f"--set={clips}") == 1
    assert (
        "takes neither --data.path nor --ckpt_path, which are of one clip, nor --data.paths" in capsys.readouterr().err
    )


def test_index_bits_are_each_sources_own(fit_joint, tmp_path):
    assert fit_joint("--scaling.bits=40") == 0
    files = files_of(tmp_path / "runs" / "first+1").values()
    assert all(file.indices for file in files)


def test_previews_and_results_of_all_sources_are_logged(fit_joint, tmp_path, monkeypatch):
    keys, results, summaries = [], [], []
    monkeypatch.setattr(RunLogger, "log_clip", lambda self, key, clip: keys.append(key))
    finish = RunLogger.log_result

    def log_result(self, result):
        results.append(result)
        summaries.append(dict(self.experiment.summary))
        finish(self, result)

    monkeypatch.setattr(RunLogger, "log_result", log_result)
    logger = ["--trainer.logger=vov_lightning.fitting.tracking.RunLogger", "--trainer.logger.init_args.offline=true"]
    assert fit_joint(*logger, "--drift.every_n_iterations=6") == 0
    assert {"drift/drift", "drift/psnr_db", "drift/prompts_psnr_db"} <= summaries[0].keys()
    assert set(keys) == {"val/preview/first", "val/preview/second"}
    assert [result.path.stem for result in results[0].parts] == list(CAPTIONS)


def test_python_api(tmp_path, clip, tiny_weights, one_thread):
    import vov_lightning as vov

    shutil.copyfile(clip, tmp_path / "other.mp4")
    paths = [str(clip), str(tmp_path / "other.mp4")]
    data = vov.SignalData(paths=paths, captions=["red", "blue"], height=32, width=32)
    module = vov.VOVModule(Nano(str(tiny_weights)), vov.AdapterConfig(k=64), sampler=vov.SamplerConfig(steps=2))
    stages = [vov.Unconstrained(2), vov.RateConstrained(2)]
    result = vov.fit(data, module, stages, tmp_path / "run", accelerator="cpu")
    assert [part.file.caption for part in result.parts] == ["red", "blue"]
    assert result.file == result.parts[0].file
    again = vov.decode(vov.VovFile.open(tmp_path / "run" / "other" / "other.vov"), Nano(str(tiny_weights)))
    assert torch.equal(again.frames, result.parts[1].decoded.frames)


def test_a_joint_fit_that_stops_early_marks_every_folder_and_goes_on(fit_joint, tmp_path):
    folder = tmp_path / "runs" / "first+1"
    assert fit_joint("--trainer.max_steps=5") == UNFINISHED
    marks = [path.parent.name for path in folder.rglob("unfinished.json")]
    assert sorted(marks) == ["first", "first+1", "second"]
    assert files_of(folder)
    assert not list(folder.rglob("metrics.json"))
    assert fit_joint() == 0
    assert not list(folder.rglob("unfinished.json"))
