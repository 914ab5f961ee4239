"""Bad input ends with one clear line, a non-zero exit, and nothing half-written."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, info
from vov_lightning.video import read_signal


@pytest.fixture
def vov(run_fit, tmp_path) -> Path:
    assert run_fit() == 0
    return tmp_path / "runs" / "ramp" / "ramp.vov"


@pytest.fixture
def base(tiny_weights) -> list[str]:
    return ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]


def one_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "\n".join(error)
    return error[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"not a video at all" * 100, "broken.mp4")],
)
def test_unreadable_source(content, message, run_fit, tmp_path, capsys):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    assert run_fit(f"--data.path={path}") == 1
    assert message in one_line(capsys)


def test_missing_source_leaves_no_run_folder(run_fit, tmp_path, capsys):
    assert run_fit("--data.path=nowhere.mp4") == 1
    assert "nowhere.mp4 does not exist" in one_line(capsys)
    assert not (tmp_path / "runs" / "nowhere").exists()


def test_too_few_frames_names_the_remedy(run_fit, capsys):
    assert run_fit("--data.frames=17") == 1
    assert "--data.frames" in one_line(capsys)


def test_transparent_image_is_refused(run_fit, tmp_path, capsys):
    path = tmp_path / "glass.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 128)).save(path)
    assert run_fit(f"--data.path={path}") == 1
    assert "glass.png" in one_line(capsys)


def test_caption_outside_the_vocabulary(run_fit, capsys):
    assert run_fit("--data.caption=a purple elephant") == 1
    assert "'elephant'" in one_line(capsys)


def test_infinite_loss_stops_the_fit(run_fit, tmp_path, capsys):
    assert run_fit("--stage1.learning_rate=1e20") == 1
    assert "lower learning_rate" in one_line(capsys)
    assert not (tmp_path / "runs" / "ramp" / "ramp.vov").exists()


def test_vector_longer_than_the_adapter(run_fit, capsys):
    assert run_fit("--model.adapter.k=1000000") == 1
    assert "k=1000000" in one_line(capsys)


def test_run_folder_that_is_something_else(run_fit, tmp_path, capsys):
    folder = tmp_path / "runs" / "ramp"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("keep me")
    assert run_fit("--overwrite=true") == 1
    assert "not a run folder" in one_line(capsys)
    assert (folder / "thesis.tex").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty", "missing"])
def test_damaged_file(damage, vov, base, tmp_path, capsys):
    data = vov.read_bytes()
    damaged = {
        "truncated": data[:-3],
        "flipped": data[:40] + bytes([data[40] ^ 4]) + data[41:],
        "foreign": b"\x00\x00\x00\x20ftypisom" + bytes(100),
        "empty": b"",
    }
    path = tmp_path / "damaged.vov"
    if damage != "missing":
        path.write_bytes(damaged[damage])
    assert decode.main([str(path), "-o", str(tmp_path / "out.mp4"), *base]) == 1
    assert "damaged.vov" in one_line(capsys)
    assert info.main([str(path)]) == 1
    assert not (tmp_path / "out.mp4").exists()


def test_file_of_another_base_model(vov, tmp_path, capsys):
    """The bundled model has other weights than the one that made this file."""
    assert decode.main([str(vov), "-o", str(tmp_path / "out.mp4")]) == 1
    line = one_line(capsys)
    assert "BaseModelMismatchError" in line
    assert "nano@tiny" in line


def test_file_of_an_unknown_base_model(vov, tmp_path, capsys):
    import dataclasses

    file = VovFile.open(vov)
    unknown = dataclasses.replace(file, header=dataclasses.replace(file.header, base_name="os.system"))
    unknown.save(tmp_path / "x.vov")
    assert decode.main([str(tmp_path / "x.vov"), "-o", str(tmp_path / "out.mp4")]) == 1
    line = one_line(capsys)
    assert "'os.system' is not registered; installed: " in line
    assert ", ltx-video, nano, qwen-image, " in line


def test_output_that_cannot_be_written(vov, base, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert decode.main([str(vov), "-o", str(tmp_path / "file" / "out.mp4"), *base]) == 1
    assert "out.mp4" in one_line(capsys)


@pytest.mark.parametrize("name", ["out.gif", "out.png"])
def test_output_of_an_unfit_ending_is_refused_before_sampling(vov, base, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(decode, "load_decoder", None)
    assert decode.main([str(vov), "-o", str(tmp_path / name), *base]) == 1
    assert name in one_line(capsys)


def test_limits_are_raised_only_by_a_flag(vov, base, tmp_path, capsys):
    arguments = [str(vov), "-o", str(tmp_path / "out"), *base]
    assert decode.main([*arguments, "--limits.k=10"]) == 1
    assert "--limits.k" in one_line(capsys)
    assert decode.main([*arguments, "--limits.k=64"]) == 0


def test_stop_at_outside_its_range(vov, base, tmp_path, capsys):
    assert decode.main([str(vov), "-o", str(tmp_path / "out"), "--stop_at=1.5", *base]) == 1
    assert "stop_at=1.5" in one_line(capsys)


def test_early_stop_changes_the_picture(vov, base, tmp_path):
    for name, stop in (("full", "0"), ("early", "0.9")):
        assert decode.main([str(vov), "-o", str(tmp_path / name), f"--stop_at={stop}", *base]) == 0
    assert not torch.equal(read_signal(tmp_path / "full").frames, read_signal(tmp_path / "early").frames)


def test_settings_that_the_file_cannot_hold_are_refused_before_the_fit(run_fit, tmp_path, capsys):
    for setting in ("model.sampler.seed=-1", "model.sampler.steps=2000"):
        assert run_fit(f"--{setting}") == 1
        assert setting.split("=")[1] in one_line(capsys)
    assert not (tmp_path / "runs").exists()


def test_checkpoint_that_is_not_there(run_fit, capsys):
    assert run_fit("--ckpt_path=nowhere.ckpt") == 1
    assert "--ckpt_path nowhere.ckpt is no file" in one_line(capsys)


def test_precision_that_would_round_the_vector(run_fit, capsys):
    assert run_fit("--trainer.precision=bf16-true") == 1
    assert "use bf16-mixed" in one_line(capsys)


def test_odd_sizes_are_shown_in_what_takes_them(run_fit, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for index in range(5):
        Image.new("RGB", (33, 31), (50 * index, 90, 10)).save(folder / f"{index}.png")
    more = ["--data.fit=pad", "--data.height=null", "--data.width=null", "--data.frames=5"]
    assert run_fit(f"--data.path={folder}", *more) == 0
    assert read_signal(tmp_path / "runs" / "odd" / "decoded.mkv").frames.shape == (5, 3, 31, 33)
