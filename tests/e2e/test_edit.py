"""``vov-edit`` end to end on a tiny model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, edit, fit
from vov_lightning.codec.edit import EditConfig
from vov_lightning.codec.edit import edit as edit_file
from vov_lightning.video import read_signal


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, clip, tiny_weights) -> Path:
    """A .vov file of the tiny model with indices."""
    folder = tmp_path_factory.mktemp("edit")
    arguments = [
        "--config=nano.yaml",
        f"--data.path={clip}",
        "--data.height=32",
        "--data.width=32",
        f"--runs={folder}",
        f"--model.base.weights={tiny_weights}",
        "--model.adapter.scheme=v1",
        "--model.adapter.k=64",
        "--stage2.lmbda=0.02",
        "--stage1.learning_rate=2e-2",
        "--stage2.learning_rate=1.5e-2",
        "--stage1.iterations=3",
        "--stage2.iterations=3",
        "--scaling.target_bpp=null",
        "--scaling.bits=160",
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.val_check_interval=3",
        "--name=fit",
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert fit.main(arguments) == 0
    torch.set_num_threads(threads)
    return next((folder / "fit").glob("*.vov"))


@pytest.fixture
def run_edit(fitted, tiny_weights, tmp_path, one_thread):
    """``run_edit(*arguments, out=name) -> exit status``; the output lies in ``tmp_path``."""

    def run(*arguments: str, out: str = "out") -> int:
        base = ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]
        return edit.main([str(fitted), *arguments, "-o", str(tmp_path / out), *base])

    return run


def test_without_options_it_decodes(run_edit, fitted, tiny_weights, tmp_path):
    assert run_edit(out="edited") == 0
    base = ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]
    assert decode.main([str(fitted), "-o", str(tmp_path / "decoded"), *base]) == 0
    assert torch.equal(read_signal(tmp_path / "edited").frames, read_signal(tmp_path / "decoded").frames)


def test_options_reach_the_decoder(run_edit, fitted, tiny_weights, tmp_path, capsys):
    options = ["--seed=3", "--steps=2", "--guidance=2", "--negative_prompt=gray", "--strength=0.5"]
    assert run_edit("--prompt", "dim, blue", *options) == 0
    config = EditConfig(0.5, seed=3, steps=2, guidance=2.0, negative_prompt="gray")
    expected = edit_file(VovFile.open(fitted), Nano(str(tiny_weights)), "dim, blue", config)
    assert torch.equal(read_signal(tmp_path / "out").frames, expected.frames)
    assert "without the file's index bits: they belong to its own seed, steps and size" in capsys.readouterr().out


def test_several_files_are_one_model(run_edit, fitted, tiny_weights, tmp_path):
    second = tmp_path / "second.vov"
    shutil.copy(fitted, second)
    assert run_edit(str(second), "--weights", "0.5", "0.25") == 0
    file = VovFile.open(fitted)
    expected = edit_file([file, file], Nano(str(tiny_weights)), file.caption, weights=[0.5, 0.25])
    assert torch.equal(read_signal(tmp_path / "out").frames, expected.frames)


def test_another_size_and_length(run_edit, tmp_path, capsys):
    assert run_edit("--size=48x16", "--frames=13", "--steps=2", out="out.mp4") == 0
    signal = read_signal(tmp_path / "out.mp4")
    assert (signal.num_frames, signal.height, signal.width) == (13, 16, 48)
    assert "out.mp4: 13 frames, 48x16" in capsys.readouterr().out


def test_a_grid_is_one_sheet(run_edit, fitted, tiny_weights, tmp_path, capsys):
    prompts, strengths = ["dim, blue", "bright"], ["0", "0.5", "1"]
    assert run_edit("--prompt", *prompts, "--strength", *strengths, "--keep_steps=0", "--steps=2", out="grid.png") == 0
    assert "grid.png: 2 prompts, 3 strengths" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    cell = 3 * 4 * 32  # three frames, four times enlarged
    assert sheet.shape[1] > 3 * cell
    assert 2 * 128 < sheet.shape[0] < 2 * 128 + 60
    file, base = VovFile.open(fitted), Nano(str(tiny_weights))
    last = edit_file(file, base, "bright", EditConfig(1.0, steps=2, keep_steps=0)).frames[-1]
    corner = Image.fromarray(last.permute(1, 2, 0).contiguous().numpy()).resize((128, 128), Image.Resampling.BICUBIC)
    found = sheet[-4 - 120 : -4 - 8, -4 - 120 : -4 - 8]
    assert np.abs(found.astype(int) - np.asarray(corner)[8:-8, 8:-8]).max() <= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--prompt", "a dragon"], "caption word 'dragon' is not in nano's vocabulary; use words of"),
        (["--size=33x32"], "does not suit base model nano"),
        (["--size=33"], "size='33' is not WIDTHxHEIGHT"),
        (["--frames=9217"], "9217 frames do not suit base model nano, which takes 9216; nearest: 9216 frames"),
        (["--size=8200x32"], "whose positions end at height 8192 and width 8192; nearest: "),
        (["--size=40000x40000"], "above the limit of 2147483648; for a file you trust: --limits.output_samples"),
        (["--device=gpu"], "device=gpu cannot be used"),
        (["--negative_prompt=gray"], "set guidance to 2 or more"),
        (["--weights", "1", "2"], "for 1 files; give each file one finite number"),
        (["--prompt", "dim", "bright"], "2 prompts at 1 strengths make one sheet"),
        (["--seed=4", "--keep_steps=2"], "the file's index bits cannot be kept, another seed"),
    ],
)
def test_bad_input_is_refused(run_edit, tmp_path, capsys, given, message):
    assert run_edit(*given) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [[], ["--size=40x36", "--frames=5"]])
def test_output_of_an_unfit_ending_is_refused_before_sampling(run_edit, capsys, monkeypatch, given):
    monkeypatch.setattr(edit, "base_of", None)
    assert run_edit(*given, out="out.png") == 1
    assert f"has {5 if given else 9}" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        edit.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ('vov-edit x.vov --prompt "dark, blue" -o out.mp4', "--weights", "--keep_steps", "--negative_prompt"):
        assert word in text
