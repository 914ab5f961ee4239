"""Clips whose blocks are told of the decoded past: through the encoder, its file and every command."""

import dataclasses
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, info, scale
from vov_lightning.codec import decode as codec
from vov_lightning.codec import scale as coding
from vov_lightning.codec.decode import decode as decode_file
from vov_lightning.codec.edit import EditConfig, edit
from vov_lightning.runs import encode
from vov_lightning.runs.plan import evaluations_of
from vov_lightning.runs.source import ClipData
from vov_lightning.video import Signal, read_signal

FRAMES, HEIGHT, WIDTH, STEPS = 50, 80, 96, 4  # segments of 3 blocks and of 3, the last one of 5 frames
TARGET_BPP = 0.2
SAMPLER = vov.SamplerConfig(steps=STEPS)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny_nano_config) -> Path:
    folder = tmp_path_factory.mktemp("context")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Nano.untrained(dataclasses.replace(tiny_nano_config, context=2), revision="tiny")
    model.autoencoder.transform.synthesis.weight.mul_(6)  # untrained, it would paint everything grey
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def source() -> Signal:
    t, y, x = torch.meshgrid(torch.arange(FRAMES), torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    frames = torch.stack([2 * x + 3 * t, 3 * y, x + y + 2 * t], dim=1) % 256
    return Signal(frames.byte(), Fraction(25), "ramp")


@dataclass(frozen=True)
class Coded:
    """What an encoder left, what it showed, and how many segments it coded."""

    path: Path
    frames: torch.Tensor
    coded: int

    @property
    def file(self) -> VovFile:
        return VovFile.open(self.path)


def compress(source: Signal, folder: Path, weights: Path, **scaling: Any) -> Coded:
    seen: list[torch.Tensor] = []
    coded: list[int] = []
    code_clip, code = encode.code_clip, coding._code

    def watched(*args, **options):
        for one in code_clip(*args, **options):
            seen.append(one.decoded.frames)
            yield one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "code_clip", watched)
        patch.setattr(coding, "_code", lambda *args: coded.append(1) or code(*args))
        config = vov.ScalingConfig(allocation="even", **scaling)
        size: dict[str, Any] = {"height": HEIGHT, "segment": 27, "caption": ""}
        vov.compress(source, folder, base=Nano(str(weights)), scaling=config, sampler=SAMPLER, progress=False, **size)
    return Coded(folder / "ramp.vov", torch.cat(seen), len(coded))


@pytest.fixture(scope="module")
def coded(source, weights, tmp_path_factory) -> Coded:
    return compress(source, tmp_path_factory.mktemp("coded"), weights, target_bpp=TARGET_BPP)


@pytest.fixture
def base(weights) -> list[str]:
    return ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={weights}"]


def decoded(path: Path, base: list[str], folder: Path, *more: str, status: int = 0) -> torch.Tensor:
    out = folder / f"frames{len(list(folder.iterdir()))}"
    assert decode.main([str(path), "-o", str(out), *more, *base]) == status
    return read_signal(out).frames


def test_the_decoder_shows_the_encoders_frames(coded, base, tmp_path):
    header = coded.file.header
    assert (header.context, header.window) == (2, (3, 8, 8, 0, 2))
    assert [segment.frames for segment in coded.file.segments] == [27, 23]
    blocks = [{place // STEPS for place, step in enumerate(one.indices) if len(step)} for one in coded.file.segments]
    assert blocks == [{0, 1, 2}, {0, 1, 2}]
    assert torch.equal(decoded(coded.path, base, tmp_path), coded.frames)


def test_a_rate_is_met_from_below(coded):
    bpp = 8 * coded.path.stat().st_size / (FRAMES * HEIGHT * WIDTH)
    assert 0.99 * TARGET_BPP < bpp <= TARGET_BPP
    assert coded.coded == 2


def test_bits_by_number_are_not_exceeded(source, weights, tmp_path):
    file = compress(source, tmp_path, weights, bits=6000).file
    assert 5500 < 14 * sum(len(step) for segment in file.segments for step in segment.indices) <= 6000


def test_every_segment_reaches_a_quality(source, weights, coded, tmp_path):
    def psnr_db(frames: torch.Tensor) -> list[float]:
        parts = zip(frames.split(27), source.frames.split(27), strict=True)
        errors = [(one.float() - other.float()).square().mean() for one, other in parts]
        return [float(10 * torch.log10(255**2 / error)) for error in errors]

    wanted = min(psnr_db(coded.frames)) - 0.2
    found = compress(source, tmp_path, weights, target_psnr=wanted)
    assert min(psnr_db(found.frames)) >= wanted
    assert found.path.stat().st_size <= coded.path.stat().st_size


def test_a_block_is_shown_in_those_after_it_and_in_no_other_segment(coded, weights):
    file, model = coded.file, Nano(str(weights))
    first = file.segments[0]
    indices = tuple(np.zeros_like(step) if place < STEPS else step for place, step in enumerate(first.indices))
    other = replace(file, segments=(replace(first, indices=indices), *file.segments[1:]))
    difference = (decode_file(other, model).frames.int() - coded.frames.int()).abs().amax((1, 2, 3))
    assert (difference[:27].view(3, 9).amax(1) > 0).all()
    assert difference[27:].max() == 0


def test_the_first_steps_of_every_block_can_be_kept(coded, base, weights, tmp_path):
    out = tmp_path / "short.vov"
    assert scale.main([str(coded.path), "--keep_steps=2", "-o", str(out)]) == 0
    file = VovFile.open(out)
    for segment, whole in zip(file.segments, coded.file.segments, strict=True):
        steps = {place % STEPS for place, step in enumerate(segment.indices) if len(step)}
        assert steps == {0, 1}
        assert all(len(step) in (0, len(old)) for step, old in zip(segment.indices, whole.indices, strict=False))
    assert out.stat().st_size < 0.75 * coded.path.stat().st_size
    shown = decoded(out, base, tmp_path)
    assert torch.equal(shown, edit(coded.file, Nano(str(weights)), "", EditConfig(keep_steps=2)).frames)
    assert not torch.equal(shown, coded.frames)


def test_the_files_own_caption_gives_the_decoders_clip(coded, weights):
    shown = edit(coded.file, Nano(str(weights)), coded.file.caption, EditConfig())
    assert torch.equal(shown.frames, coded.frames)


def test_a_damaged_segment_stands_still_and_a_later_one_is_found(coded, base, tmp_path, capsys):
    data = bytearray(coded.path.read_bytes())
    place = len(data) - len(coded.file.part(1).to_bytes()) - 100
    data[place] ^= 1
    (tmp_path / "damaged.vov").write_bytes(data)
    frames = decoded(tmp_path / "damaged.vov", base, tmp_path, status=1)
    assert "segment 0: it has checksum" in capsys.readouterr().err
    assert torch.equal(frames[27:], coded.frames[27:])
    assert torch.equal(frames[:27], frames[:1].expand(27, -1, -1, -1))


@pytest.mark.parametrize(
    ("span", "frames", "blocks"),
    [
        (["--from=1.4"], range(35, 50), 3),
        (["--to=0.2"], range(5), 1),
        (["--to=0.24"], range(6), 2),  # the last four frames of a block are deblocked with the next one
        (["--from=0.5", "--to=0.56"], range(12, 14), 2),
        (["--from=0.5", "--to=0.6"], range(12, 15), 3),
        (["--from=0.8", "--to=1.12"], range(20, 28), 3 + 1),
    ],
)
def test_no_block_is_sampled_that_is_not_needed(coded, base, tmp_path, monkeypatch, span, frames, blocks):
    sampled: list[int] = []
    real = codec.integrate
    monkeypatch.setattr(codec, "integrate", lambda *args: sampled.append(1) or real(*args))
    shown = decoded(coded.path, base, tmp_path, *span)
    assert torch.equal(shown, coded.frames[frames.start : frames.stop])
    assert len(sampled) == blocks


def test_a_stopped_encoder_goes_on_behind_its_last_segment(source, weights, coded, tmp_path, monkeypatch):
    done: list[int] = []
    real = coding._code

    def stops(*args):
        if done:
            raise RuntimeError("power cut")
        done.append(1)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(coding, "_code", stops)
        with pytest.raises(RuntimeError, match="power cut"):
            compress(source, tmp_path, weights, target_bpp=TARGET_BPP)
    again = compress(source, tmp_path, weights, target_bpp=TARGET_BPP)
    assert again.coded == 1
    assert again.path.read_bytes() == coded.path.read_bytes()
    assert torch.equal(again.frames, coded.frames)


def test_the_plan_counts_the_windows_of_each_block(source, weights):
    model = Nano(str(weights))
    clip = ClipData.of(source, height=HEIGHT, segment=27, caption="").load(model).clip
    assert evaluations_of(clip, model) == 6 * 2 * 2


def test_context_is_said(coded, capsys):
    assert info.main([str(coded.path)]) == 0
    assert re.search(r"^context \(decoded latent frames\) +2$", capsys.readouterr().out, re.MULTILINE)
