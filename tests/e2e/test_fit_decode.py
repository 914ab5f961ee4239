"""The main job: fit, file, decode, measure."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, info
from vov_lightning.runs.source import source_of
from vov_lightning.video import fit_signal, read_signal


def test_fit_leaves_everything_that_it_promises(run_fit, tmp_path, capsys):
    assert run_fit() == 0
    folder = tmp_path / "runs" / "ramp"
    assert {path.name for path in folder.iterdir()} == {
        "ramp.vov", "decoded.mp4", "preview.mp4", "metrics.json", "history.jsonl", "config.yaml",
        "caption.txt", "checkpoints",
    }  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    size = (folder / "ramp.vov").stat().st_size
    assert metrics["bytes"] == size == sum(metrics["section_bytes"].values())
    assert metrics["bpp"] == 8 * size / (9 * 32 * 32)
    assert metrics["bits_per_entry"] == 8 * metrics["section_bytes"]["vector"] / 64
    assert metrics["bpp_estimated"] > 0
    assert set(metrics["seconds"]) >= {"stage 1", "stage 2", "encode"}
    shown = capsys.readouterr().out
    for figure in (f"{size} bytes", f"{metrics['psnr_db']:.2f} dB", f"{metrics['autoencoder_psnr_db']:.2f} dB"):
        assert figure in shown

    preview = read_signal(folder / "preview.mp4")
    assert (preview.num_frames, preview.height, preview.width) == (9, 32, 64)
    assert str(preview.fps) == "30000/1001"


def test_decoder_in_a_fresh_process_shows_the_measured_frames(run_fit, tmp_path, clip, tiny_weights):
    """Frames as PNG, decoded by another process that sees the file alone, give the PSNR that the fit reported."""
    assert run_fit() == 0
    folder = tmp_path / "runs" / "ramp"
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (folder / "ramp.vov").rename(alone / "x.vov")
    command = [sys.executable, "-c", "import sys; from vov_lightning.cli.decode import main; sys.exit(main())"]
    options = ["x.vov", "-o", "frames", "--base", "vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    subprocess.run([*command, *options], cwd=alone, check=True, env=environment)
    decoded = read_signal(alone / "frames").frames
    source = fit_signal(read_signal(clip), height=32, width=32, frames=9, multiple=(8, 8), temporal_factor=4)
    mse = (decoded.double() - source.signal.frames.double()).square().mean()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 10 * torch.log10(255**2 / mse).item() == pytest.approx(metrics["psnr_db"], abs=1e-5)


def test_checkpoint_holds_only_what_is_fitted(run_fit, tmp_path):
    assert run_fit() == 0
    checkpoint = torch.load(tmp_path / "runs" / "ramp" / "checkpoints" / "last.ckpt", weights_only=True)
    names = set(checkpoint["state_dict"])
    assert "vector" in names
    assert "quantizer.raw_step" in names
    assert all(name.split(".")[0] in {"vector", "quantizer", "rate"} for name in names)


def test_info_shows_the_header(run_fit, tmp_path, capsys):
    assert run_fit() == 0
    path = tmp_path / "runs" / "ramp" / "ramp.vov"
    capsys.readouterr()
    assert info.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "nano" in text
    assert "30000/1001" in text
    assert info.main([str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert json.dumps(facts).count("tiny") >= 1


def test_an_image_is_a_signal_of_one_frame(run_fit, tmp_path):
    image = tmp_path / "grey.png"
    Image.linear_gradient("L").save(image)
    assert run_fit(f"--data.path={image}") == 0
    folder = tmp_path / "runs" / "grey"
    assert (folder / "decoded.png").exists()
    assert VovFile.open(folder / "grey.vov").header.frames == 1


def test_padding_is_cut_off_by_the_decoder(run_fit, tmp_path, clip, tiny_weights, monkeypatch):
    """A clip of 7 frames is coded at 9 where frames must be 1 + 4 n, and read under another rule it is the same."""
    more = ["--data.fit=pad", "--data.height=null", "--data.width=null", "--data.frames=7"]
    with monkeypatch.context() as patch:
        patch.setattr(Nano, "temporal_factor", 4)
        assert run_fit(*more) == 0
    folder = tmp_path / "runs" / "ramp"
    file = VovFile.open(folder / "ramp.vov")
    assert (file.header.frames, file.header.pad_frames) == (7, 2)
    base = ["--base", "vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]
    assert decode.main([str(folder / "ramp.vov"), "-o", str(tmp_path / "out"), *base]) == 0
    assert read_signal(tmp_path / "out").num_frames == 7
    source = source_of(file, Nano(str(tiny_weights)), str(clip)).first
    assert source.padding == (2, 0, 0)
    frames = read_signal(clip).frames
    assert torch.equal(source.signal.frames, frames[[0, 1, 2, 3, 4, 5, 6, 6, 6]])


def test_same_seed_same_file(run_fit, tmp_path):
    assert run_fit("--name=a") == 0
    assert run_fit("--name=b") == 0
    assert run_fit("--name=c", "--model.seed=1") == 0
    first, second, other = ((tmp_path / "runs" / name / "ramp.vov").read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_plain_lora_is_fitted_stored_and_decoded(run_fit, tmp_path, capsys):
    """nano.yaml's k is for a hash; without one it must be taken back by name."""
    more = ["--model.adapter.scheme=lora", "--model.adapter.rank=1"]
    assert run_fit(*more) == 1
    assert "k=64 with model.adapter.scheme lora" in capsys.readouterr().err
    assert run_fit(*more, "--model.adapter.k=null") == 0
    file = VovFile.open(tmp_path / "runs" / "ramp" / "ramp.vov")
    assert (file.header.hash_scheme, file.header.k) == ("lora", 2 * (4 * (64 + 64) + 2 * (64 + 64)))
    assert len(set(file.symbols.tolist())) > 2


def test_python_api_of_the_readme(tmp_path, clip, tiny_weights):
    import vov_lightning as vov

    module = vov.VOVModule(Nano(str(tiny_weights)), vov.AdapterConfig(k=64), sampler=vov.SamplerConfig(steps=2))
    stages = [vov.Unconstrained(2), vov.RateConstrained(2)]
    data = vov.SignalData.of(vov.read_signal(clip), height=32, width=32)
    result = vov.fit(data, module, stages, tmp_path / "run", accelerator="cpu")
    result.file.save(tmp_path / "clip.vov")
    again = vov.decode(vov.VovFile.open(tmp_path / "clip.vov"), Nano(str(tiny_weights)))
    assert torch.equal(again.frames, result.decoded.frames)
