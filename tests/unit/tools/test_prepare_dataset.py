"""Test sets in miniature: what is prepared is what the table and independent formulas say, and nothing else passes."""

import doctest
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import prepare_dataset
import pytest
import torch
from PIL import Image
from testsets import raw
from testsets.table import SETS, Member, StandardSet, Target

from vov_lightning.errors import SignalError
from vov_lightning.video import read_signal

WIDTH, HEIGHT, FRAMES = 72, 32, 5
FRAME_BYTES = WIDTH * HEIGHT * 3 // 2
TINY = StandardSet(
    "tiny",
    {"Alpha": Member(WIDTH, HEIGHT, Fraction(120), 8, ("Alef",)), "Beta": Member(WIDTH, HEIGHT, Fraction(24), 8)},
    "bt709",
    Target(FRAMES, 16, 32),  # cut to 64x32, then halved
)
PHOTOS = StandardSet("photos", {"kodim01": Member(48, 32), "kodim02": Member(32, 48)}, target=None)
LUMA_WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}  # of red and blue (ITU-R BT.709, BT.601)


def samples(num_frames: int, seed: int = 0, grey: bool = False) -> np.ndarray:
    """``[T, H * W * 3 / 2]``: random luma, and in every frame one colour, so that chroma needs no interpolation."""
    generator = np.random.default_rng(seed)
    luma = generator.integers(90, 160, (num_frames, WIDTH * HEIGHT), dtype=np.uint8)
    blue, red = generator.integers(100, 156, (2, num_frames, 1), dtype=np.uint8)
    if grey:
        blue = red = np.full_like(blue, 128)
    return np.concatenate([luma, *(chroma.repeat(WIDTH * HEIGHT // 4, 1) for chroma in (blue, red))], 1)


def to_rgb(frames: np.ndarray, matrix: str) -> np.ndarray:
    """``[T, H, W, 3]`` float64, by the standards' formulas."""
    red_weight, blue_weight = LUMA_WEIGHTS[matrix]
    y = (frames[:, : WIDTH * HEIGHT].reshape(-1, HEIGHT, WIDTH) - 16.0) / 219
    blue, red = ((frames[:, i].reshape(-1, 1, 1) - 128.0) / 224 for i in (WIDTH * HEIGHT, -1))
    r, b = y + 2 * (1 - red_weight) * red, y + 2 * (1 - blue_weight) * blue
    return 255 * np.stack([r, (y - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight), b], -1)


def y4m(frames: np.ndarray, header: str = f"W{WIDTH} H{HEIGHT} F24:1 Ip A1:1 C420jpeg") -> bytes:
    return f"YUV4MPEG2 {header}\n".encode() + b"".join(b"FRAME\n" + frame.tobytes() for frame in frames)


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "Alpha_72x32_120fps_420_8bit_YUV.yuv").write_bytes(samples(7, seed=1).tobytes())
    (folder / "beta.y4m").write_bytes(y4m(samples(6, seed=2)))
    (folder / "._Alpha_72x32.yuv").write_bytes(b"Finder's")
    (folder / "README.txt").write_text("kept out")
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "new" / "out"


def prepared_pixels(path: Path) -> np.ndarray:
    return read_signal(path).frames.permute(0, 2, 3, 1).numpy()


class TestVideos:
    @pytest.mark.parametrize("matrix", ["bt709", "bt601"])
    def test_pixels_are_the_protocols(self, source, out, matrix):
        assert prepare_dataset.prepare(replace(TINY, matrix=matrix), source, out) == (["Alpha", "Beta"], [])
        for name, seed, total, fps in (("Alpha", 1, 7, 120), ("Beta", 2, 6, 24)):
            signal = read_signal(out / f"{name}.mkv")
            assert (signal.name, signal.fps) == (name, Fraction(fps))
            assert signal.frames.shape == (FRAMES, 3, 16, 32)
            cut = to_rgb(samples(total, seed)[:FRAMES], matrix)[:, :, 4:-4]
            halved = cut.reshape(FRAMES, 16, 2, 32, 2, 3).mean((2, 4))
            # The conversion rounds to a level, the resize again; the other matrix is 4 levels off on the mean.
            error = prepared_pixels(out / f"{name}.mkv") - halved
            assert np.abs(error).max() < 1.5
            assert abs(error.mean()) < 0.2
        assert sorted(path.name for path in out.iterdir()) == ["Alpha.mkv", "Beta.mkv", "manifest.json"]

    def test_grey_is_exact(self, source, out):
        frames = samples(FRAMES, grey=True)
        (source / "beta.y4m").write_bytes(y4m(frames))
        prepare_dataset.prepare(replace(TINY, target=Target(FRAMES, HEIGHT, WIDTH)), source, out)
        assert (prepared_pixels(out / "Beta.mkv") == to_rgb(frames, "bt709").round()).all()

    @pytest.mark.parametrize("name", ["beta.y4m", "beta.yuv"])  # the y4m says C420jpeg
    def test_chroma_lies_left_and_half_way_between_rows(self, tmp_path, name):
        columns, rows = np.arange(WIDTH // 2), np.arange(HEIGHT // 2)[:, None]
        blue = (60 + 2 * columns + 4 * rows).astype(np.uint8)
        quarter = np.full(blue.size, 128, np.uint8)
        frame = np.concatenate([np.full(WIDTH * HEIGHT, 126, np.uint8), blue.ravel(), quarter])[None]
        (tmp_path / name).write_bytes(y4m(frame) if name.endswith("y4m") else frame.tobytes())
        rgb = next(raw.read_rgb(tmp_path / name, TINY.members["Beta"], "bt709", 1))
        x, y = np.arange(4, WIDTH - 4), np.arange(4, HEIGHT - 4)[:, None]  # without the edges
        wanted = 60 + 2 * (x / 2) + 4 * (y / 2 - 0.25)
        found = (rgb[2, 4:-4, 4:-4].numpy() - 255 * 110 / 219) / (255 * 1.8556) * 224 + 128
        assert np.abs(found - wanted).max() < 0.5  # centred columns are off by 0.5 on the mean
        assert abs((found - wanted).mean()) < 0.1

    def test_files_are_what_was_read_bit_for_bit(self, source, out):
        path = source / "Alpha_72x32_120fps_420_8bit_YUV.yuv"
        standard_set = replace(TINY, target=Target(FRAMES, HEIGHT, WIDTH))
        prepare_dataset.prepare(standard_set, source, out)
        read = torch.stack(list(raw.read_rgb(path, TINY.members["Alpha"], "bt709", FRAMES)))
        assert torch.equal(read_signal(out / "Alpha.mkv").frames, read)
        again = out.with_name("again")
        prepare_dataset.prepare(standard_set, source, again)
        for file in out.iterdir():
            assert file.read_bytes() == (again / file.name).read_bytes()

    def test_raw_and_y4m_give_the_same(self, source, out):
        (source / "beta.y4m").rename(source / "beta.txt")
        (source / "Beta_72x32_24.yuv").write_bytes(samples(6, seed=2).tobytes())
        (source / "Alpha_72x32_120fps_420_8bit_YUV.yuv").unlink()
        (source / "alef.y4m").write_bytes(y4m(samples(6, seed=2), "W72 H32 F120:1"))
        prepare_dataset.prepare(TINY, source, out)
        assert (prepared_pixels(out / "Alpha.mkv") == prepared_pixels(out / "Beta.mkv")).all()

    @pytest.mark.parametrize("fps", sorted({m.fps for s in SETS.values() if s.target for m in s.members.values()}))
    def test_every_rate_of_the_table_is_kept(self, tmp_path, fps):
        # 81 frames: Matroska counts in milliseconds, and what is off by a fraction of one adds up.
        frames = torch.zeros(81, 3, 16, 16, dtype=torch.uint8)
        prepare_dataset.write_ffv1(prepare_dataset.Signal(frames, fps, "black"), tmp_path / "black.mkv")
        assert read_signal(tmp_path / "black.mkv").fps == fps

    def test_what_is_not_read_back_is_not_kept(self, source, out, monkeypatch):
        write = prepare_dataset.write_ffv1

        def write_last_frame_wrong(clip, path):
            write(replace(clip, frames=torch.cat([clip.frames[:-1], clip.frames[-1:] ^ 1])), path)

        monkeypatch.setattr(prepare_dataset, "write_ffv1", write_last_frame_wrong)
        with pytest.raises(SignalError, match=r"read back as .* with other pixels or another rate"):
            prepare_dataset.prepare(TINY, source, out)
        assert not list(out.iterdir())


class TestImages:
    def test_are_copied(self, tmp_path, out):
        originals = {}
        for name, size in (("kodim01", (48, 32)), ("kodim02", (32, 48))):
            Image.effect_noise(size, 60).convert("RGB").save(tmp_path / f"{name}.png")
            originals[name] = (tmp_path / f"{name}.png").read_bytes()
        assert prepare_dataset.prepare(PHOTOS, tmp_path, out) == (["kodim01", "kodim02"], [])
        entries = json.loads((out / "manifest.json").read_text())["members"]
        for name, original in originals.items():
            assert (out / f"{name}.png").read_bytes() == original
            assert entries[name]["sha256"] == entries[name]["source"]["sha256"]
        assert (entries["kodim02"]["width"], entries["kodim02"]["height"], entries["kodim02"]["frames"]) == (32, 48, 1)
        assert prepare_dataset.prepare(PHOTOS, tmp_path, out) == ([], ["kodim01", "kodim02"])

    def test_of_another_size(self, tmp_path, out):
        for name in ("kodim01", "kodim02"):
            Image.new("RGB", (48, 32)).save(tmp_path / f"{name}.png")
        with pytest.raises(SignalError, match=r"kodim02\.png is 48x32, wanted 32x48 for kodim02; fetch the original"):
            prepare_dataset.prepare(PHOTOS, tmp_path, out)
        assert not out.exists()


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            (
                "beta.yuv",
                samples(6).tobytes()[:-1],
                f"5 frames of 72x32 .* and {FRAME_BYTES - 1} bytes more",
            ),
            ("beta.y4m", y4m(samples(6))[:-1], r"5 frames of 72x32 .* bytes more; it is truncated"),
            ("beta.yuv", samples(4).tobytes(), r"Beta: .*beta\.yuv holds 4 frames, wanted at least 5; fetch the whole"),
            ("beta.yuv", samples(16).tobytes(), r"would be 16 frames .*about 8 were published; .* larger or deeper"),
            ("beta.yuv", b"", r"holds 0 frames, wanted at least 5"),
            ("beta_144x64.yuv", samples(8).tobytes(), r"size=144x64 in its name, wanted size=72x32; put the 72x32"),
            ("beta_72x32_50.yuv", samples(8).tobytes(), r"fps=50 in its name, wanted fps=24"),
            (
                "beta_10bit.yuv",
                samples(8).tobytes(),
                r"bits=10 in its name, wanted bits=8; put the .* 8-bit 4:2:0 file",
            ),
            ("beta_444.yuv", samples(8).tobytes(), r"chroma=444 in its name, wanted chroma=420"),
            ("beta.y4m", y4m(samples(6), "W36 H64 F24:1"), r"size=36x64 in its header, wanted size=72x32"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F25:1"), r"fps=25 in its header, wanted fps=24"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F24:1 C420p10"), r"bits=10 in its header"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F24:1 C444"), r"chroma=444 in its header"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F24:1 Cmono"), r"chroma=mono in its header"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F24:1 It"), r"scan=interlaced in its header"),
            ("beta.y4m", y4m(samples(6), "W72 H32 F24:1 XCOLORRANGE=FULL"), r"range=full in its header"),
            ("beta.y4m", y4m(samples(6), "W72 H32"), r"no size or frame rate in its header"),
            ("beta.y4m", samples(6).tobytes(), r"does not start with a line YUV4MPEG2 \.\.\.; .* name it \.yuv"),
        ],
    )
    def test_files_that_are_not_the_sequence(self, source, out, name, content, message):
        (source / "beta.y4m").unlink()
        (source / name).write_bytes(content)
        with pytest.raises(SignalError, match=message):
            prepare_dataset.prepare(TINY, source, out)
        assert not out.exists()  # every file is looked at before the first is converted

    def test_missing(self, source, out):
        (source / "beta.y4m").unlink()
        with pytest.raises(SignalError, match=r"lacks Beta of the 2 of tiny; add \.yuv or \.y4m .*--partial"):
            prepare_dataset.prepare(TINY, source, out)
        assert prepare_dataset.prepare(TINY, source, out, partial=True) == (["Alpha"], [])
        assert json.loads((out / "manifest.json").read_text())["missing"] == ["Beta"]

    @pytest.mark.parametrize("partial", [False, True])
    def test_nothing_at_all(self, tmp_path, out, partial):
        with pytest.raises(SignalError, match=r"lacks Alpha, Beta .* or correct --source"):
            prepare_dataset.prepare(TINY, tmp_path, out, partial=partial)
        with pytest.raises(SignalError, match="nowhere is not a folder"):
            prepare_dataset.prepare(TINY, tmp_path / "nowhere", out, partial=partial)

    @pytest.mark.parametrize("partial", [False, True])
    def test_extra(self, source, out, partial):
        (source / "Gamma_72x32_24.yuv").write_bytes(samples(8).tobytes())
        with pytest.raises(SignalError, match=r"holds Gamma_72x32_24\.yuv, wanted only the 2 of tiny \(Alpha, Beta\)"):
            prepare_dataset.prepare(TINY, source, out, partial=partial)

    def test_twice(self, source, out):
        (source / "Beta_72x32_24.yuv").write_bytes(samples(8).tobytes())
        with pytest.raises(SignalError, match=r"holds Beta_72x32_24\.yuv and beta\.y4m, both Beta; keep one"):
            prepare_dataset.prepare(TINY, source, out)

    def test_out_is_source(self, source):
        with pytest.raises(SignalError, match="is the folder of --source; choose another --out"):
            prepare_dataset.prepare(TINY, source, source)

    def test_documented_examples(self):
        assert doctest.testmod(raw).failed == 0

    def test_one_line_on_the_command_line(self, source, out, capsys):
        assert prepare_dataset.main(["uvg", "--source", str(source), "--out", str(out)]) == 1
        error = capsys.readouterr().err
        assert "wanted only the 7 of uvg (Beauty, Bosphorus, HoneyBee, Jockey, ReadySetGo, ShakeNDry" in error
        assert error.count("\n") == 1


class TestResume:
    def test_goes_on_and_verifies(self, source, out):
        prepare_dataset.prepare(TINY, source, out)
        whole = {path.name: path.read_bytes() for path in out.iterdir()}
        (out / "Beta.mkv").unlink()
        before = (out / "Alpha.mkv").stat().st_mtime_ns
        assert prepare_dataset.prepare(TINY, source, out) == (["Beta"], ["Alpha"])
        assert (out / "Alpha.mkv").stat().st_mtime_ns == before
        assert {path.name: path.read_bytes() for path in out.iterdir()} == whole

    def test_interrupted_run_leaves_what_is_finished(self, source, out, monkeypatch):
        write = prepare_dataset.write_ffv1

        def stop_at_beta(signal, path):
            write(signal, path)
            if signal.name == "Beta":
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(prepare_dataset, "write_ffv1", stop_at_beta)
            with pytest.raises(KeyboardInterrupt):
                prepare_dataset.prepare(TINY, source, out)
        assert sorted(path.name for path in out.iterdir()) == ["Alpha.mkv", "manifest.json"]
        assert prepare_dataset.prepare(TINY, source, out) == (["Beta"], ["Alpha"])

    def test_refuses_changed_files(self, source, out):
        prepare_dataset.prepare(TINY, source, out)
        whole = (out / "Beta.mkv").read_bytes()
        (out / "Beta.mkv").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(SignalError, match=r"Beta\.mkv exists, and it is not the file that manifest\.json lists"):
            prepare_dataset.prepare(TINY, source, out)
        (out / "Beta.mkv").write_bytes(whole)
        (source / "beta.y4m").write_bytes(y4m(samples(6, seed=3)))
        with pytest.raises(SignalError, match=r"Beta\.mkv exists, and it was made of another beta\.y4m .*delete it"):
            prepare_dataset.prepare(TINY, source, out)
        (out / "manifest.json").unlink()
        with pytest.raises(SignalError, match=r"Alpha\.mkv exists, and manifest\.json does not list it"):
            prepare_dataset.prepare(TINY, source, out)

    def test_refuses_a_folder_of_other_settings(self, source, out):
        prepare_dataset.prepare(TINY, source, out)
        with pytest.raises(SignalError, match=r"manifest\.json has protocol='first 5 frames; .*choose another --out"):
            prepare_dataset.prepare(replace(TINY, matrix="bt601"), source, out)
        (out / "manifest.json").write_text("[]")
        with pytest.raises(SignalError, match="is no manifest of this tool"):
            prepare_dataset.prepare(TINY, source, out)

    def test_manifest(self, source, out):
        prepare_dataset.prepare(TINY, source, out)
        manifest = json.loads((out / "manifest.json").read_text())
        assert (manifest["set"], manifest["tool"], manifest["missing"]) == ("tiny", "prepare_dataset.py 1", [])
        assert manifest["protocol"].startswith("first 5 frames; 4:2:0 in limited range and bt709 to RGB")
        beta = manifest["members"]["Beta"]
        assert {key: beta[key] for key in ("file", "frames", "width", "height", "fps")} == {
            "file": "Beta.mkv",
            "frames": FRAMES,
            "width": 32,
            "height": 16,
            "fps": "24",
        }
        assert beta["sha256"] == prepare_dataset.sha256(out / "Beta.mkv")
        assert beta["source"] == {
            "file": "beta.y4m",
            "sha256": prepare_dataset.sha256(source / "beta.y4m"),
            "frames": 6,
            "width": WIDTH,
            "height": HEIGHT,
        }


class TestTable:
    @pytest.mark.parametrize(
        ("name", "size", "count"),
        [("uvg", (1920, 1080), 7), ("hevc_b", (1920, 1080), 5), ("hevc_c", (832, 480), 4), ("hevc_e", (1280, 720), 3)],
    )
    def test_videos(self, name, size, count):
        standard_set = SETS[name]
        assert [(member.width, member.height) for member in standard_set.members.values()] == [size] * count
        assert standard_set.target == Target(81, 480, 832)
        assert standard_set.matrix == ("bt601" if size[1] == 480 else "bt709")

    def test_kodak(self):
        sizes = [(member.width, member.height) for member in SETS["kodak"].members.values()]
        assert (sizes.count((768, 512)), sizes.count((512, 768))) == (18, 6)

    @pytest.mark.parametrize(
        ("set_name", "member", "stem"),
        [
            ("uvg", "ReadySetGo", "ReadySteadyGo_1920x1080_120fps_420_8bit_YUV"),
            ("uvg", "ShakeNDry", "ShakeNDry_1920x1080_120fps_420_8bit_YUV"),
            ("uvg", "Beauty", "Beauty_1920x1080_420_8bit"),
            ("hevc_b", "Kimono", "Kimono1_1920x1080_24"),
            ("hevc_c", "RaceHorses", "RaceHorses_832x480_30"),
            ("hevc_e", "KristenAndSara", "KristenAndSara_1280x720_60"),
        ],
    )
    def test_names_as_published_are_understood(self, tmp_path, set_name, member, stem):
        path = tmp_path / f"{stem}.yuv"
        entry = SETS[set_name].members[member]
        with path.open("wb") as file:
            file.truncate(81 * entry.width * entry.height * 3 // 2)  # a hole, which takes no space
        assert prepare_dataset.find_sources(SETS[set_name], tmp_path, partial=True) == {member: path}
        assert prepare_dataset.check_source(SETS[set_name], member, path) == 81
