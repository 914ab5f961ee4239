"""Index bits end to end: the decoder sees the encoder's frames, more bits show more of the clip, files can be cut."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import BitstreamError, Limits, VovFile
from vov_lightning.bitstream.indices import decode_indices, encode_indices
from vov_lightning.cli import fit, scale
from vov_lightning.codec.decode import decode as decode_file
from vov_lightning.codec.decode import replay_of, sample
from vov_lightning.codec.scale import scale as scale_clip
from vov_lightning.codec.settings import sampler_of, steering_of
from vov_lightning.codec.steer import keep_steps, scale_to_quality, steer, with_indices
from vov_lightning.errors import SettingError
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.source import source_of
from vov_lightning.sampling import config as config_module
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.sampling.steering import Search
from vov_lightning.video import Signal, read_signal


@pytest.fixture
def fitted(fit_arguments, tiny_weights, tmp_path) -> Path:
    """A .vov file of the tiny model with 25 steps and without indices."""
    assert fit.main([*fit_arguments, "--scaling.bits=0", "--model.sampler.steps=25", "--name=fit"]) == 0
    return next((tmp_path / "runs" / "fit").glob("*.vov"))


def base_arguments(tiny_weights: Path) -> list[str]:
    return ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]


@pytest.mark.parametrize(
    "more", [[], ["--scaling.eta=0.7"], ["--scaling.codebook=iid", "--scaling.kernel=euler_maruyama"]]
)
def test_a_scaled_file_decodes_elsewhere_to_the_encoders_frames(fitted, clip, tiny_weights, tmp_path, capsys, more):
    out = tmp_path / "scaled.vov"
    arguments = [str(fitted), f"--source={clip}", "-o", str(out), "--scaling.bits=400", *more]
    assert scale.main([*arguments, *base_arguments(tiny_weights)]) == 0
    assert f"{len(out.read_bytes())} bytes" in capsys.readouterr().out
    plain, scaled = VovFile.open(fitted), VovFile.open(out)
    assert (scaled.caption, scaled.symbols.tolist()) == (plain.caption, plain.symbols.tolist())
    assert 300 < 8 * scaled.section_bytes()["indices"] < 400 + 80

    base = Nano(str(tiny_weights))
    height, width = plain.header.height, plain.header.width
    source = SignalData(str(clip), frames=plain.header.frames, height=height, width=width).load(base).clip.target
    latents = encoder_latents(plain, base, source, scaled)
    shown = base.decode(latents, plain.header.frames)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(out, elsewhere / "copy.vov")
    command = [sys.executable, "-c", "import sys; from vov_lightning.cli.decode import main; sys.exit(main())"]
    arguments = ["copy.vov", "-o", "frames", *base_arguments(tiny_weights)]
    done = subprocess.run([*command, *arguments], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert torch.equal(read_signal(elsewhere / "frames").frames, shown)


def encoder_latents(plain: VovFile, base: Nano, source: Signal, scaled: VovFile) -> torch.Tensor:
    """Latents where the encoder's own search ended."""
    config = ScalingConfig.like(steering_of(scaled.header), bits=400)
    clean = base.encode(source.frames)
    weights = base.latent_weights(clean)
    times = sampler_of(plain.header).times().tolist()
    search = Search(config, clean, plain.header.seed, times, weights=weights)
    latents = sample(plain, base, search)
    assert [step.tolist() for step in search.indices][: len(scaled.indices)] == [s.tolist() for s in scaled.indices]
    return latents


def test_more_bits_lead_nearer_to_the_clip(fitted, tiny_weights):
    base, file = Nano(str(tiny_weights)), VovFile.open(fitted)
    header = file.header
    size = ClipSize(header.frames, header.height, header.width)
    clean = torch.randn(1, *base.latent_shape(size), generator=torch.Generator().manual_seed(0))
    source = decode_file(file, base)
    source = type(source)(base.decode(clean, size.frames), source.fps, "random latents")
    clean = base.encode(source.frames)
    errors = []
    for bits in (0, 200, 2000):
        scaled = steer(file, base, source, ScalingConfig(bits=bits)) if bits else file
        shown = base.encode(decode_file(scaled, base).frames)
        errors.append((shown - clean).square().mean().item())
    assert errors[2] < errors[1] < errors[0]


def test_fewer_steps_make_a_shorter_file_that_still_decodes(fitted, clip, tiny_weights, tmp_path):
    base, out, shorter = Nano(str(tiny_weights)), tmp_path / "scaled.vov", tmp_path / "shorter.vov"
    scale.main([str(fitted), f"--source={clip}", "-o", str(out), "--scaling.bits=400", *base_arguments(tiny_weights)])
    full = VovFile.open(out)
    assert scale.main([str(out), "--keep_steps=20", "-o", str(shorter)]) == 0
    cut = VovFile.open(shorter)
    assert len(cut.to_bytes()) < len(full.to_bytes())
    assert [step.tolist() for step in cut.indices] == [step.tolist() for step in full.indices[:20]]
    decode_file(cut, base)
    assert keep_steps(full, 0) == VovFile.open(fitted)
    assert keep_steps(full, 25) == full


def test_a_mutated_index_section_is_refused_or_shows_another_clip(fitted, clip, tiny_weights):
    base, file = Nano(str(tiny_weights)), VovFile.open(fitted)
    source = source_of(file, base, str(clip)).whole().signal
    scaling = ScalingConfig(bits=400, allocation="even")
    scaled = steer(file, base, source, scaling)
    shown, content = decode_file(scaled, base).frames, encode_indices(scaled.indices, scaling.index_bits)
    outcomes = []
    for bit in range(0, 8 * len(content), 7):
        mutated = bytearray(content)
        mutated[bit // 8] ^= 128 >> bit % 8
        try:
            indices = decode_indices(bytes(mutated), scaling.index_bits, file.header.steps - 1, 10_000)
            other = decode_file(with_indices(file, indices, scaling), base).frames
        except BitstreamError:
            outcomes.append("refused")
        else:
            assert not torch.equal(other, shown)
            outcomes.append("another clip")
    assert {"refused", "another clip"} == set(outcomes)


def test_more_indices_than_latents_are_refused(fitted, tiny_weights):
    file, base = VovFile.open(fitted), Nano(str(tiny_weights))
    many = with_indices(file, (np.zeros(100_000, np.int64),), ScalingConfig())
    with pytest.raises(BitstreamError, match="a step carries 100000 indices for"):
        decode_file(many, base)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "give --source and one of --scaling.bits, --scaling.target_bpp"),
        (["--source=x.mp4"], "give --source and one of"),
        (["--source=x.mp4", "--scaling.target_psnr=30", "--scaling.target_bpp=1"], "contradict each other"),
        (["--source=x.mp4", "--keep_steps=3"], "--keep_steps drops indices and takes no --source"),
        (["--steps=9", "--keep_steps=3"], "--keep_steps drops indices and takes no --source, --steps"),
        (["--keep_steps=-1"], "keep_steps=-1 is below 0"),
    ],
)
def test_what_contradicts_itself_is_refused(fitted, tmp_path, capsys, given, message):
    assert scale.main([str(fitted), "-o", str(tmp_path / "out.vov"), *given]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.vov").exists()


def test_a_rate_is_met_from_below(fitted, clip, tiny_weights, tmp_path, capsys):
    out, arguments = tmp_path / "scaled.vov", [str(fitted), f"--source={clip}", *base_arguments(tiny_weights)]
    header = VovFile.open(fitted).header
    pixels = header.frames * header.height * header.width
    for bpp in (0.2, 0.5):
        assert scale.main([*arguments, "-o", str(out), f"--scaling.target_bpp={bpp}", "--scaling.allocation=even"]) == 0
        assert 0.97 * bpp < 8 * len(out.read_bytes()) / pixels <= bpp
    assert scale.main([*arguments, "-o", str(out), "--scaling.target_bpp=0.001"]) == 1
    assert "target_bpp=0.001 is below the" in capsys.readouterr().err


def test_a_clip_without_loss_has_no_decibels(fitted, clip, tiny_weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scale.SquaredError, "psnr_db", math.inf)
    arguments = [str(fitted), f"--source={clip}", "-o", str(tmp_path / "out.vov"), "--scaling.bits=100"]
    assert scale.main([*arguments, *base_arguments(tiny_weights)]) == 0
    said = capsys.readouterr().out
    assert "bpp, no loss; was" in said
    assert "inf" not in said


def test_a_quality_is_met_by_the_smallest_budget(fitted, tiny_weights):
    base, file = Nano(str(tiny_weights)), VovFile.open(fitted)
    source = decode_file(steer(file, base, decode_file(file, base), ScalingConfig(bits=50)), base)

    def quality(candidate: VovFile, latents: torch.Tensor) -> float:
        assert torch.equal(sample(candidate, base, replay_of(candidate, base)), latents)
        return float(sum(map(len, candidate.indices)))

    found = scale_to_quality(file, base, source, ScalingConfig(allocation="even"), quality, 100)
    assert 100 <= quality(*found) < 130
    assert scale_to_quality(file, base, source, ScalingConfig(), quality, 0)[0] == file
    dear = ScalingConfig(allocation="even", index_bits=12)
    assert quality(*scale_to_quality(file, base, source, dear, quality, 1)) >= 1
    with pytest.raises(SettingError, match="a quality of 1 is out of reach"):
        scale_to_quality(file, base, source, ScalingConfig(), lambda *_: 0.0, 1)


@pytest.mark.parametrize("target", ["--scaling.target_bpp=0.4", "--scaling.target_psnr=11"])
def test_a_fit_reaches_a_target(fit_arguments, tmp_path, target):
    fit_only = [*fit_arguments, "--scaling.allocation=even", "--model.sampler.steps=25"]
    assert fit.main([*fit_only, target, "--name=fit"]) == 0
    metrics = json.loads((tmp_path / "runs" / "fit" / "metrics.json").read_text())
    if "bpp" in target:
        assert 0.38 < metrics["bpp"] <= 0.4
    else:
        assert metrics["psnr_db"] >= 11
    assert metrics["section_bytes"]["indices"] > 0


def test_without_a_vector_nothing_is_fitted(fit_arguments, tmp_path, capsys):
    arguments = [*fit_arguments, "--model.adapter.k=0", "--scaling.bits=200", "--model.sampler.steps=25"]
    assert fit.main([*arguments, "--name=instant"]) == 0
    file = VovFile.open(next((tmp_path / "runs" / "instant").glob("*.vov")))
    assert file.header.k == 0
    assert 100 < 14 * sum(map(len, file.indices)) <= 200
    assert "encode" in capsys.readouterr().out
    assert fit.main([*arguments, "--name=instant"]) == 0
    assert "is finished and intact" in capsys.readouterr().out


@pytest.mark.parametrize("through", [steer, scale_clip])
def test_indices_are_so_short_that_decoders_take_them(fitted, clip, tiny_weights, monkeypatch, through):
    base, file = Nano(str(tiny_weights)), VovFile.open(fitted)
    whole = source_of(file, base, str(clip)).whole()
    source = whole.signal if through is steer else whole
    monkeypatch.setattr(config_module, "DEFAULT_LIMITS", Limits(candidates=2**10))
    header = through(file, base, source, ScalingConfig(bits=400)).header
    assert header.index_bits == 2  # indices of 3 bits: 128 of them hold 384
    with pytest.raises(SettingError, match="700 bits of indices for a segment are more than decoders take by default"):
        through(file, base, source, ScalingConfig(bits=700))
