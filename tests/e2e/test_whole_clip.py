"""A telephone's clip through every command: turned, of uneven times, with sound, in segments of several windows."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, edit, export, fit, info, scale
from vov_lightning.cli import eval as evaluate
from vov_lightning.codec import play
from vov_lightning.codec import scale as coding
from vov_lightning.codec.decode import decode as decode_file
from vov_lightning.runs import encode
from vov_lightning.video import open_clip, read_signal

FRAMES, HEIGHT, WIDTH = 23, 80, 96
SHOWN = [index for index in range(40) if index % 4 != 2][:FRAMES]  # 30 a second, of which every fourth was lost
TARGET_BPP = 0.35

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def phone(tmp_path_factory) -> Path:
    """23 frames that are shown 80 rows high and 96 columns wide, of pixels 4 by 3, and AAC."""
    folder = tmp_path_factory.mktemp("phone")
    y, x = np.mgrid[:WIDTH, :HEIGHT]  # stored lying on its side
    with av.open(str(folder / "flat.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "20", "bf": "0"})
        video.height, video.width, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.sample_aspect_ratio = Fraction(3, 4)
        video.codec_context.time_base = video.time_base = Fraction(1, 90_000)
        sound = container.add_stream("aac", rate=16000, layout="mono")
        tone = np.sin(np.arange(1024 * 20) / 9).astype(np.float32)[None] / 4
        for start in range(0, tone.shape[1], 1024):
            heard = av.AudioFrame.from_ndarray(tone[:, start : start + 1024].copy(), format="fltp", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 16000, start, Fraction(1, 16000)
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
        for number in SHOWN:
            planes = [(2 * x + 6 * number) % 256, (2 * y) % 256, (x + y + 3 * number) % 256]
            picture = av.VideoFrame.from_ndarray(np.stack(planes, 2).astype(np.uint8), format="rgb24")
            picture.pts, picture.time_base = number * 3000, Fraction(1, 90_000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    path = folder / "phone.mp4"
    turn = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", folder / "flat.mp4"]
    subprocess.run([*turn, "-c", "copy", path], check=True)
    return path


@dataclass(frozen=True)
class Coded:
    """What an encoder left, and what it saw."""

    path: Path
    frames: torch.Tensor
    passes: int
    metrics: dict

    @property
    def file(self) -> VovFile:
        return VovFile.open(self.path)


@pytest.fixture(scope="module")
def run_fit(phone, tiny_weights) -> Callable[..., Coded]:
    """``run_fit(runs, *more_arguments)``, without a vector unless it is asked for."""

    def run(runs: Path, *more: str) -> Coded:
        arguments = [
            "--config=instant.yaml", f"--data.path={phone}", "--data.height=source", "--data.segment=9",
            f"--runs={runs}", "--name=run", f"--model.base.weights={tiny_weights}", "--model.sampler.steps=4",
            f"--scaling.target_bpp={TARGET_BPP}", "--scaling.allocation=even", "--trainer.logger=false",
            "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu",
        ]  # fmt: skip
        seen: list[torch.Tensor] = []
        passes: list[int] = []
        code_clip, sample = encode.code_clip, coding.steered

        def watched(*args, **options):
            for one in code_clip(*args, **options):
                seen.append(one.decoded.frames)
                yield one

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encode, "code_clip", watched)
            patch.setattr(coding, "steered", lambda *args, **options: passes.append(1) or sample(*args, **options))
            assert fit.main([*arguments, *more]) == 0
        torch.set_num_threads(threads)
        folder = runs / "run"
        metrics = json.loads((folder / "metrics.json").read_text())
        return Coded(folder / "phone.vov", torch.cat(seen), len(passes), metrics)

    return run


@pytest.fixture(scope="module")
def plain(run_fit, tmp_path_factory) -> Coded:
    """Without a vector."""
    return run_fit(tmp_path_factory.mktemp("plain"))


VECTOR = [
    "--model.adapter.k=32", "--model.objective=vov_lightning.fitting.objectives.FlowMatching",
    "--model.objective.batch_size=2", "--stage1.iterations=3", "--stage2.iterations=3",
    "--trainer.val_check_interval=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def fitted(run_fit, tmp_path_factory) -> Coded:
    """With a vector, and as many indices as four steps take."""
    return run_fit(tmp_path_factory.mktemp("fitted"), *VECTOR, "--scaling.target_bpp=null", "--scaling.bits=3000")


@pytest.fixture
def base(tiny_weights) -> list[str]:
    return ["--base=vov_lightning.bases.nano.Nano", f"--base.weights={tiny_weights}"]


@pytest.fixture
def decoded(base, tmp_path) -> Callable[..., torch.Tensor]:
    """``decoded(file, *arguments, status=0)``: the frames that ``vov-decode`` writes as pictures."""

    def run(path: Path, *more: str, status: int = 0) -> torch.Tensor:
        out = tmp_path / f"frames{len(list(tmp_path.iterdir()))}"
        assert decode.main([str(path), "-o", str(out), *more, *base]) == status
        return read_signal(out).frames

    return run


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("name", ["plain", "fitted"])
def test_the_decoder_shows_the_encoders_frames(name, request, decoded, tiny_weights):
    coded = request.getfixturevalue(name)
    file = coded.file
    assert [segment.frames for segment in file.segments] == [9, 9, 5]
    assert file.header.window == (1, 8, 8, 0, 2)
    assert all(segment.indices for segment in file.segments)
    assert bool(file.header.k) == (name == "fitted")
    assert tuple(coded.frames.shape) == (FRAMES, 3, HEIGHT, WIDTH)
    assert torch.equal(decoded(coded.path), coded.frames)
    assert torch.equal(decode_file(file, Nano(str(tiny_weights))).frames, coded.frames)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_times_shape_and_sound_are_the_sources(plain, phone, base, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    assert decode.main([str(plain.path), "-o", str(out), *base]) == 0
    with open_clip(phone) as source, open_clip(out) as shown:
        assert (source.height, source.width, source.sample_aspect_ratio) == (HEIGHT, WIDTH, Fraction(4, 3))
        assert (shown.height, shown.width, shown.sample_aspect_ratio) == (HEIGHT, WIDTH, Fraction(4, 3))
        assert [float(time) for time in shown.times] == pytest.approx([float(time) for time in source.times], abs=1e-3)
        assert float(source.times[-1]) == pytest.approx(SHOWN[-1] / 30, abs=1e-3)
    assert packets(out) == packets(phone)
    if ending == "mp4":  # Matroska counts the samples before the sound's first, too
        before, after = (av.open(str(path)).duration / av.time_base for path in (phone, out))
        assert after == pytest.approx(before, abs=1 / 30)


def test_sound_that_an_mp4_cannot_hold_is_shown_in_an_mkv(tmp_path, tiny_weights, run_fit):
    with av.open(str(tmp_path / "lossless.mkv"), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("wavpack", rate=8000, layout="mono")
        for _ in range(3):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 2400), np.int16), format="s16p", layout="mono")
        wave.rate = 8000
        container.mux(sound.encode(wave))
        container.mux([*picture.encode(), *sound.encode()])
    options = ["--config=instant.yaml", f"--model.base.weights={tiny_weights}", "--scaling.target_bpp=1"]
    assert fit.main([str(tmp_path / "lossless.mkv"), *options, "--model.sampler.steps=2", f"--runs={tmp_path}"]) == 0
    with av.open(str(tmp_path / "lossless" / "decoded.mkv")) as container:
        assert container.streams.audio[0].codec_context.name == "wavpack"


def test_a_rate_is_met_from_below_in_one_pass_of_each_segment(plain):
    counted = len(plain.file.to_bytes()) - len(plain.file.sound)
    assert plain.file.sound
    assert 0.98 * TARGET_BPP < 8 * counted / (FRAMES * HEIGHT * WIDTH) <= TARGET_BPP
    assert plain.metrics["bpp_without_sound"] == 8 * counted / (FRAMES * HEIGHT * WIDTH)
    assert plain.passes == len(plain.file.segments)


def test_bits_by_number_are_those_of_all_segments(fitted):
    assert 2700 < 14 * sum(len(step) for segment in fitted.file.segments for step in segment.indices) <= 3000
    assert fitted.passes == 3


def test_every_segment_reaches_a_quality(run_fit, plain, tmp_path):
    wanted = min(segment["psnr_db"] for segment in plain.metrics["segments"]) - 0.2
    coded = run_fit(tmp_path, "--scaling.target_bpp=null", f"--scaling.target_psnr={wanted}")
    assert all(segment["psnr_db"] >= wanted for segment in coded.metrics["segments"])
    assert coded.metrics["bytes"] <= plain.metrics["bytes"]


def test_a_stopped_encoder_goes_on_behind_its_last_segment(run_fit, fitted, tmp_path, monkeypatch):
    more = [*VECTOR, "--scaling.target_bpp=null", "--scaling.bits=3000"]
    done: list[int] = []
    real = coding._code

    def stops(*args, **options):
        if len(done) == 2:
            raise RuntimeError("power cut")
        done.append(1)
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(coding, "_code", stops)
        with pytest.raises(RuntimeError, match="power cut"):
            run_fit(tmp_path, *more)
    folder = tmp_path / "run" / ".segments"
    assert sorted(path.name for path in folder.glob("*/*.vov")) == ["00000.vov", "00001.vov"]
    coded = run_fit(tmp_path, *more)
    assert coded.passes == 1
    assert coded.path.read_bytes() == fitted.path.read_bytes()
    assert torch.equal(coded.frames, fitted.frames)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("span", "frames", "segments"),
    [
        (["--from=0.31", "--to=0.35"], range(7, 8), [0]),
        (["--from=0.3", "--to=0.5"], range(7, 11), [0, 1]),
        (["--to=0.1"], range(2), [0]),
        (["--from=0.9"], range(20, 23), [2]),
        (["--from=0.4", "--to=99"], range(9, 23), [1, 2]),
    ],
)
def test_only_what_is_asked_for_is_decoded(plain, decoded, monkeypatch, span, frames, segments):
    asked: list[int] = []
    real = play.decode_segment
    monkeypatch.setattr(
        play,
        "decode_segment",
        lambda file, base, number, **more: asked.append(number) or real(file, base, number, **more),
    )
    assert torch.equal(decoded(plain.path, *span), plain.frames[frames.start : frames.stop])
    assert asked == segments


def test_a_part_has_its_part_of_the_sound(plain, phone, base, tmp_path):
    out = tmp_path / "part.mkv"
    assert decode.main([str(plain.path), "-o", str(out), "--from=0.4", "--to=0.8", *base]) == 0
    whole, part = packets(phone), packets(out)
    assert 0.3 < len(part) * 1024 / 16000 < 0.6
    assert any(whole[start : start + len(part)] == part for start in range(1, len(whole)))


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (["--from=9"], "from=9.0 is not within the clip, which lasts"),
        (["--from=-1"], "from=-1.0 is not within the clip"),
        (["--from=0.5", "--to=0.4"], "to=0.4 is not after from=0.5"),
        (["--to=-2"], "to=-2.0 is not after from=0"),
    ],
)
def test_a_part_that_is_none_is_one_line_before_the_model(plain, base, tmp_path, monkeypatch, capsys, span, said):
    monkeypatch.setattr(decode, "load_decoder", lambda *_: pytest.fail("the model was loaded"))
    assert decode.main([str(plain.path), "-o", str(tmp_path / "out"), *span, *base]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_damaged_segment_stands_still(plain, decoded, base, tmp_path, capsys):
    data, file = bytearray(plain.path.read_bytes()), plain.file
    sizes = [len(file.part(number).to_bytes()) for number in range(3)]
    place = len(data) - len(file.sound) - sizes[2] - sizes[1] // 2
    data[place] ^= 64
    damaged = tmp_path / "damaged.vov"
    damaged.write_bytes(data)
    frames = decoded(damaged, status=1)
    assert "segment 1: it has checksum" in capsys.readouterr().err
    assert torch.equal(frames[:9], plain.frames[:9])
    assert torch.equal(frames[9:18], plain.frames[8:9].expand(9, -1, -1, -1))
    assert torch.equal(frames[18:], plain.frames[18:])
    assert decode.main([str(damaged), "-o", str(tmp_path / "strict"), "--strict", *base]) == 1
    assert "segment 1: it has checksum" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


def test_a_file_that_was_cut_shows_its_first_segments(plain, decoded, base, tmp_path, capsys):
    data, file = plain.path.read_bytes(), plain.file
    cut = tmp_path / "cut.vov"
    cut.write_bytes(data[: len(data) - len(file.sound) - 100])
    frames = decoded(cut, status=1)
    said = capsys.readouterr().err
    assert "segment 2: only" in said
    assert "sound: only" in said
    assert torch.equal(frames[:18], plain.frames[:18])
    assert torch.equal(frames[18:], plain.frames[17:18].expand(5, -1, -1, -1))
    assert decode.main([str(cut), "-o", str(tmp_path / "strict"), "--strict", *base]) == 1


@pytest.mark.parametrize("budget", ["bits=2000", "target_bpp=0.2"])
def test_indices_are_replaced_in_every_segment(fitted, phone, base, decoded, tmp_path, capsys, budget):
    out = tmp_path / "scaled.vov"
    arguments = [str(fitted.path), "-o", str(out), f"--source={phone}", "--scaling.allocation=even"]
    assert scale.main([*arguments, f"--scaling.{budget}", *base]) == 0
    file = VovFile.open(out)
    assert (file.sound, file.times, file.caption) == (fitted.file.sound, fitted.file.times, fitted.file.caption)
    assert [segment.frames for segment in file.segments] == [9, 9, 5]
    if budget.startswith("bits"):
        assert 1700 < 14 * sum(len(step) for segment in file.segments for step in segment.indices) <= 2000
    else:
        bits = 8 * (len(file.to_bytes()) - len(file.sound))
        assert 0.98 * 0.2 < bits / (FRAMES * HEIGHT * WIDTH) <= 0.2
    shown, source = decoded(out).double(), read_signal(phone).frames
    psnr_db = 10 * torch.log10(255**2 / (shown - source).square().mean()).item()
    assert f"{psnr_db:.2f} dB" in capsys.readouterr().out


def test_steps_are_dropped_from_every_segment(fitted, decoded, tmp_path):
    out = tmp_path / "short.vov"
    assert scale.main([str(fitted.path), "-o", str(out), "--keep_steps=1"]) == 0
    file = VovFile.open(out)
    assert [len(segment.indices) for segment in file.segments] == [1, 1, 1]
    assert len(file.to_bytes()) < len(fitted.file.to_bytes())
    assert decoded(out).shape == fitted.frames.shape


def test_an_edit_without_change_is_the_clip(fitted, base, tmp_path):
    assert edit.main([str(fitted.path), "-o", str(tmp_path / "same"), *base]) == 0
    assert torch.equal(read_signal(tmp_path / "same").frames, fitted.frames)
    assert edit.main([str(fitted.path), "-o", str(tmp_path / "other"), "--prompt=dark, blue", *base]) == 0
    assert {path.name for path in (tmp_path / "other").iterdir()} >= {"sound.mka", "times.txt"}
    other = read_signal(tmp_path / "other").frames
    assert other.shape == fitted.frames.shape
    for start, stop in ((0, 9), (9, 18), (18, 23)):
        assert not torch.equal(other[start:stop], fitted.frames[start:stop])


def test_the_vector_is_exported_and_the_file_described(fitted, base, tmp_path, capsys):
    assert export.main([str(fitted.path), "--format=peft", "-o", str(tmp_path / "peft"), *base]) == 0
    capsys.readouterr()
    assert info.main([str(fitted.path)]) == 0
    shown = capsys.readouterr().out
    assert "3, of 9, 9, 5 frames" in shown
    assert "1 x 8 x 8 latents, overlaps 0 and 2" in shown
    assert "bpp without sound" in shown
    assert info.main([str(fitted.path), "--json"]) == 0
    words = json.loads(capsys.readouterr().out)
    assert [segment["seed"] for segment in words["segments"]] == [0, 1, 2]
    assert words["seconds"] == pytest.approx(float(fitted.file.duration))


def test_an_evaluation_measures_what_the_fit_measured(fitted, phone, tiny_weights, tmp_path):
    arguments = [
        "--base=nano", f"--base.weights={tiny_weights}", f"--out={tmp_path}", '--metrics=["psnr_db"]',
        "--baselines=[]", "--logger=false", "--accelerator=cpu", str(fitted.path.parents[1]),
        f"--sources={phone.parent}",
    ]  # fmt: skip
    assert evaluate.main(arguments) == 0
    (point,) = json.loads((tmp_path / "results.json").read_text())["points"]
    assert point["figures"]["psnr_db"] == pytest.approx(fitted.metrics["psnr_db"], abs=1e-3)
    assert point["frames"] == FRAMES
