"""Reading: every kind of file that users have, and an error with a remedy for those that cannot be read."""

import os
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SignalError
from vov_lightning.video import Signal, read_signal, videos, write_signal

NTSC = Fraction(30000, 1001)


class TestSignal:
    def test_properties(self, media):
        signal = media.signal(5, 32, 64)
        assert (signal.num_frames, signal.height, signal.width, signal.num_pixels) == (5, 32, 64, 10240)
        assert not signal.is_image
        assert media.signal(1).is_image

    @pytest.mark.parametrize(
        ("frames", "fps", "name", "message"),
        [
            (torch.zeros(1, 3, 4, 4), Fraction(1), "x", "torch.float32, wanted a torch.uint8"),
            (np.zeros((1, 3, 4, 4), np.uint8), Fraction(1), "x", "uint8, wanted a torch.uint8 tensor"),
            (torch.zeros(3, 4, 4, dtype=torch.uint8), Fraction(1), "x", r"shape \[3, 4, 4\], wanted \[T, 3, H, W\]"),
            (torch.zeros(1, 4, 4, 3, dtype=torch.uint8), Fraction(1), "x", r"wanted \[T, 3, H, W\]"),
            (torch.zeros(0, 3, 4, 4, dtype=torch.uint8), Fraction(1), "x", "at least 1"),
            (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), Fraction(0), "x", "above 0"),
            (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 25.0, "x", "fps=25.0, wanted a fractions.Fraction"),
            (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), Fraction(1), "", "not empty"),
        ],
    )
    def test_rejects_what_is_no_signal(self, frames, fps, name, message):
        with pytest.raises(SignalError, match=message):
            Signal(frames, fps, name)


class TestVideo:
    def test_mp4(self, media):
        pattern = media.pattern(8)
        signal = read_signal(media.video("take:1.mp4", pattern))
        assert (signal.name, signal.fps, signal.num_frames) == ("take:1", NTSC, 8)
        assert signal.frames.is_contiguous()
        assert media.psnr_db(signal.frames, pattern) > 38

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("untagged.mp4", {}),
            ("bt709.mp4", {"matrix": 1}),
            ("full.mp4", {"full_range": True}),
            ("bt709full.mov", {"matrix": 1, "full_range": True}),
            ("yuv444.mkv", {"pixels": "yuv444p"}),
            ("ffv1.mkv", {"codec": "ffv1"}),
            ("mpeg4.avi", {"codec": "mpeg4", "options": {"b": "4000000"}}),
            ("vp9.webm", {"codec": "libvpx-vp9", "options": {"crf": "4", "b": "0", "cpu-used": "8"}}),
        ],
    )
    def test_colours_are_right(self, media, name, settings):
        pattern = media.pattern()
        path = media.video(name, pattern, **settings)
        # The right matrix and range leave 40 dB or more, a wrong one 33.
        assert media.psnr_db(read_signal(path).frames, pattern) > 38

    @pytest.mark.parametrize(("start", "max_frames"), [(0, 3), (4, 2), (7, 1), (11, None), (17, 9)])
    def test_part_of_a_video(self, media, start, max_frames):
        pattern = media.pattern(18)
        path = media.video("clip.mp4", pattern)
        signal = read_signal(path, start=start, max_frames=max_frames)
        wanted = pattern[start:] if max_frames is None else pattern[start : start + max_frames]
        assert signal.num_frames == len(wanted)
        assert media.psnr_db(signal.frames, wanted) > 38

    def test_stops_decoding_after_the_last_wanted_frame(self, media):
        path = media.video("clip.mkv", media.pattern(30), codec="ffv1")
        path.write_bytes(path.read_bytes()[:-2000])
        assert read_signal(path, max_frames=2).num_frames == 2

    def test_start_beyond_the_end(self, media):
        path = media.video("clip.mp4", media.pattern(5))
        with pytest.raises(SignalError, match=r"start=5 is beyond the end of .*clip\.mp4, which has 5 frame"):
            read_signal(path, start=5)

    def test_one_frame(self, media):
        signal = read_signal(media.video("one.mp4", media.pattern(1)))
        assert signal.is_image
        assert signal.fps == NTSC

    def test_odd_size(self, media):
        pattern = media.pattern(2, 31, 47)
        path = media.video("odd.mp4", pattern, pixels="yuv444p")
        assert media.psnr_db(read_signal(path).frames, pattern) > 38

    @pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
    def test_variable_frame_rate_keeps_every_frame_once(self, media, name):
        pattern = media.pattern(6)
        path = media.video(name, pattern, times_ms=[0, 40, 80, 200, 210, 500])
        signal = read_signal(path)
        assert media.psnr_db(signal.frames, pattern) > 38
        assert signal.fps == 10  # 5 frames from 0 to 0.5 s

    def test_frames_hidden_by_an_edit_list(self, media):
        pattern = media.pattern(12)
        path = media.video("cut.mp4", pattern, options={"crf": "1", "bf": "0", "g": "4"})
        # One entry: 9 frames in milliseconds, from 3 frames in ticks of 1/30000 second.
        media.patch(path, b"elst", 8, struct.pack(">Ii", 301, 3 * 1001))
        signal = read_signal(path)
        assert media.psnr_db(signal.frames, pattern[3:]) > 38

    def test_mpegts(self, media):
        pattern = media.pattern(12)
        path = media.video("clip.ts", pattern)
        signal = read_signal(path)
        assert media.psnr_db(signal.frames, pattern) > 38

    def test_rotation_is_applied(self, media):
        pattern = media.pattern(2)
        path = media.video("phone.mp4", pattern)
        media.turn_clockwise(path, height=32)
        signal = read_signal(path)
        assert (signal.height, signal.width) == (64, 32)
        assert media.psnr_db(signal.frames, np.rot90(pattern, -1, axes=(1, 2))) > 38

    def test_ten_bits_become_eight(self, media):
        pattern = media.pattern()
        path = media.video("deep.mp4", pattern, pixels="yuv420p10le")
        assert media.psnr_db(read_signal(path).frames, pattern) > 38

    def test_y4m(self, media):
        pattern = media.pattern()
        signal = read_signal(media.y4m("raw.y4m", pattern))
        assert signal.fps == NTSC
        assert media.psnr_db(signal.frames, pattern) > 38

    def test_rgb_and_opaque_alpha_are_exact(self, media):
        pattern = media.pattern()
        opaque = np.concatenate([pattern, np.full_like(pattern[..., :1], 255)], axis=-1)
        for name, frames, pixels in (("rgb.mov", pattern, "rgb24"), ("rgba.mov", opaque, "rgba")):
            signal = read_signal(media.video(name, frames, codec="png", pixels=pixels))
            assert torch.equal(signal.frames.permute(0, 2, 3, 1), torch.from_numpy(pattern))

    def test_transparent_video_is_refused_with_a_working_remedy(self, media):
        pattern = media.pattern(1, 4, 4)
        clear = np.concatenate([pattern, np.full_like(pattern[..., :1], 128)], axis=-1)
        path = media.video("clear.mov", clear, codec="png", pixels="rgba")
        with pytest.raises(SignalError, match=r"has transparent pixels.*flatten it first") as refusal:
            read_signal(path)
        graph = av.filter.Graph()
        nodes = [graph.add_buffer(width=4, height=4, format=av.VideoFormat("rgba"), time_base=Fraction(1))]
        for name, argument in re.findall(r"(\w+)=([\w=]+)", re.search(r"-vf (\S+)", str(refusal.value))[1]):
            nodes.append(graph.add(name, argument))
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        picture = av.VideoFrame.from_ndarray(clear[0], format="rgba")
        picture.pts = 0
        graph.push(picture)
        flat = graph.pull().to_ndarray(format="rgb24")
        assert np.abs(flat - pattern[0] * (128 / 255)).max() <= 1

    def test_alpha_hidden_in_vp9_is_refused(self, media):
        pattern = media.pattern(2)
        clear = np.concatenate([pattern, np.full_like(pattern[..., :1], 128)], axis=-1)
        path = media.video("clear.webm", clear, codec="libvpx-vp9", pixels="yuva420p", options={"cpu-used": "8"})
        with pytest.raises(SignalError, match=r"ffmpeg -c:v libvpx-vp9 -i clear\.webm"):
            read_signal(path)

    def test_transparent_gif_is_refused(self, media):
        frames = [Image.new("P", (8, 8), colour) for colour in (1, 2)]
        frames[0].save(media.folder / "clear.gif", save_all=True, append_images=frames[1:], transparency=1)
        with pytest.raises(SignalError, match="has transparent pixels"):
            read_signal(media.folder / "clear.gif")

    def test_bundled_clip(self):
        path = Path(videos.__file__).parent.parent / "assets" / "sample" / "chelsea.mp4"
        assert path.stat().st_size < 300_000
        assert repr(read_signal(path)) == "Signal('chelsea', 17 frames, 160x160, 12 fps)"

    def test_stated_frame_rate_replaces_the_files(self, media):
        path = media.video("clip.mp4", media.pattern(2))
        assert read_signal(path, fps="24000/1001").fps == Fraction(24000, 1001)
        assert read_signal(path, fps=29.97).fps == Fraction(2997, 100)
        for bad in ("fast", "0", "1/0"):
            with pytest.raises(SignalError, match=f"fps='?{bad}.*wanted a number"):
                read_signal(path, fps=bad)


class TestFolder:
    def fill(self, media, names: list[str]) -> Path:
        folder = media.folder / "frames"
        folder.mkdir()
        for value, name in enumerate(names):
            Image.new("L", (6, 4), value).save(folder / name)
        return folder

    def test_natural_order(self, media):
        folder = self.fill(media, ["f1.png", "f2.png", "f2b.png", "f10.png", "f0011.png", "g0.bmp"])
        (folder / "notes.txt").write_text("not a frame")
        (folder / "._f1.png").write_text("not a frame either")
        signal = read_signal(folder)
        assert signal.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
        assert (signal.fps, signal.name, signal.height, signal.width) == (Fraction(25), "frames", 4, 6)

    def test_reads_only_what_is_asked(self, media):
        folder = self.fill(media, [f"{index}.png" for index in range(6)])
        (folder / "0.png").write_bytes(b"damaged")
        (folder / "5.png").write_bytes(b"damaged")
        signal = read_signal(folder, start=2, max_frames=3, fps=NTSC)
        assert signal.frames[:, 0, 0, 0].tolist() == [2, 3, 4]
        assert signal.fps == NTSC

    def test_names_the_frame_of_another_size(self, media):
        folder = self.fill(media, ["1.png", "2.png", "3.png"])
        Image.new("L", (6, 5)).save(folder / "2.png")
        with pytest.raises(SignalError, match=r"2\.png is 5x6 and 1\.png is 4x6"):
            read_signal(folder)

    def test_names_the_damaged_frame(self, media):
        folder = self.fill(media, ["1.png", "2.png"])
        (folder / "2.png").write_bytes(b"damaged")
        with pytest.raises(SignalError, match=r"2\.png cannot be read as an image"):
            read_signal(folder)

    def test_no_images(self, media):
        (media.folder / "notes.txt").write_text("text")
        with pytest.raises(SignalError, match=r"holds no images; wanted frames ending in \.png"):
            read_signal(media.folder)

    def test_start_beyond_the_end(self, media):
        with pytest.raises(SignalError, match="has 2 frame"):
            read_signal(self.fill(media, ["1.png", "2.png"]), start=2)


class TestUnreadable:
    def test_missing(self, tmp_path):
        with pytest.raises(SignalError, match=r"nowhere\.mp4 does not exist; wanted a video, an image or a folder"):
            read_signal(tmp_path / "nowhere.mp4")

    @pytest.mark.parametrize("name", ["empty.mp4", "empty.png"])
    def test_empty(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(SignalError, match=rf"{name} is empty \(0 bytes\)"):
            read_signal(tmp_path / name)

    def test_noise_without_a_word_on_stderr(self, tmp_path, capfd):
        for name in ("noise.mp4", "noise.mkv", "noise", "noise.png"):
            (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(3000))
            with pytest.raises(SignalError, match=f"{name} cannot be read as a"):
                read_signal(tmp_path / name)
        assert capfd.readouterr() == ("", "")

    def test_truncated_and_damaged_without_a_word_on_stderr(self, media, capfd):
        mp4, mkv = media.video("cut.mp4", media.pattern()), media.video("bad.mkv", media.pattern(), codec="ffv1")
        mp4.write_bytes(mp4.read_bytes()[:-300])
        data = bytearray(mkv.read_bytes())
        for index in range(len(data) // 2, len(data) // 2 + 200):
            data[index] ^= 0x55
        mkv.write_bytes(data)
        png = media.folder / "cut.png"
        Image.fromarray(media.pattern(1)[0]).save(png)
        png.write_bytes(png.read_bytes()[:-30])
        capfd.readouterr()
        for path in (mp4, mkv, png):
            with pytest.raises(SignalError, match=rf"{path.name} (cannot be read as a|is truncated or damaged)"):
                read_signal(path)
        assert capfd.readouterr() == ("", "")

    def test_a_broken_mp4_download_is_not_a_short_video(self, media):
        path = media.folder / "cut.mp4"
        write_signal(media.signal(20), path)  # its index comes first and survives
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        # libav reports an error or an ordinary end, depending on where the cut falls.
        with pytest.raises(SignalError, match=r"cannot be read as a video|truncated or damaged"):
            read_signal(path)

    def test_a_broken_matroska_download_is_not_a_short_video(self, media):
        path = media.video("cut.mkv", media.pattern(20))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(
            SignalError, match=r"truncated or damaged.*read what is left with max_frames=\d+"
        ) as refusal:
            read_signal(path)
        left = int(re.search(r"max_frames=(\d+)", str(refusal.value))[1])
        assert 3 < left < 18
        assert read_signal(path, max_frames=left).num_frames == left

    def test_sound_without_pictures(self, tmp_path):
        with av.open(str(tmp_path / "sound.wav"), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            sound.sample_rate = 8000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
        with pytest.raises(SignalError, match="holds no video stream"):
            read_signal(tmp_path / "sound.wav")

    def test_no_frames(self, tmp_path):
        (tmp_path / "none.y4m").write_bytes(b"YUV4MPEG2 W4 H4 F25:1 Ip A1:1 C420jpeg\n")
        with pytest.raises(SignalError, match=r"none\.y4m (holds no frames|cannot be read)"):
            read_signal(tmp_path / "none.y4m")

    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(SignalError, match="neither a file nor a folder"):
            read_signal(tmp_path / "pipe.mp4")

    def test_operating_system_errors(self, tmp_path, monkeypatch):
        (tmp_path / "clip.mp4").write_bytes(b"x")

        def deny(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(av, "open", deny)
        with pytest.raises(SignalError, match=r"clip\.mp4 cannot be read.*Permission denied"):
            read_signal(tmp_path / "clip.mp4")
        monkeypatch.setattr(Path, "iterdir", deny)
        with pytest.raises(SignalError, match=r"cannot be read \(Permission denied\); check its name and permissions"):
            read_signal(tmp_path)

    def test_arguments_out_of_range(self, tmp_path):
        with pytest.raises(SignalError, match="start=-1 is negative"):
            read_signal(tmp_path, start=-1)
        with pytest.raises(SignalError, match="max_frames=0; wanted at least 1"):
            read_signal(tmp_path, max_frames=0)
