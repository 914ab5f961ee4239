"""The reader of clips: times and rates, counts without decoding, memory, and files that end too early."""

import re
import weakref
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video import read_signal
from vov_lightning.video.source import Shape, open_source
from vov_lightning.video.stream import open_clip
from vov_lightning.video.videos import VideoReader

REALTIME = ("-cpu-used", "8", "-deadline", "realtime")
MPEG2 = ("-c:v", "mpeg2video", "-bf", "2")
RATES = ["24000/1001", "25", "30000/1001", "60", "60000/1001"]


def codec_of(ending: str, x264: tuple[str, ...]) -> tuple[str, ...]:
    return {
        "webm": ("-c:v", "libvpx", *REALTIME),
        "avi": ("-c:v", "mpeg4", "-bf", "2"),
        "y4m": ("-pix_fmt", "yuv420p"),
        "mpg": MPEG2,
        "mxf": MPEG2,
        "mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
        "gif": (),
    }.get(ending, x264)


class TestRates:
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm", "avi", "ts", "flv", "y4m", "nut", "mpg", "h264"])
    def test_constant_rate(self, media, x264, ending, rate):
        path = media.source(f"clip.{ending}", *codec_of(ending, x264), rate=rate, frames=7)
        with open_clip(path) as clip:
            assert (clip.fps, clip.is_constant_rate, clip.num_frames) == (Fraction(rate), True, 7)
            assert clip.times == [frame.time for frame in clip.frames()] == [i / Fraction(rate) for i in range(7)]

    @pytest.mark.filterwarnings("ignore:.*is interlaced")
    def test_dv(self, media):
        dv = ("-c:v", "dvvideo", "-pix_fmt", "yuv411p", "-aspect", "4:3")
        for frames in (1, 3):
            path = media.source("ntsc.dv", *dv, size="720x480", rate="30000/1001", frames=frames)
            assert read_signal(path).fps == Fraction(30000, 1001)
        with open_clip(path) as clip:
            assert (clip.num_frames, clip.sample_aspect_ratio) == (3, Fraction(8, 9))

    @pytest.mark.parametrize("ending", ["mkv", "mp4", "webm", "ts"])
    def test_a_pause_lengthens_the_clip(self, media, x264, ending):
        pause = ("-vf", "setpts='(N+if(gt(N,4),50,0))/25/TB'", "-fps_mode", "vfr")
        path = media.source(f"pause.{ending}", *pause, *codec_of(ending, x264), frames=50)
        with open_clip(path) as clip:
            times = [frame.time for frame in clip.frames()]
            assert times == clip.times
            assert (len(times), clip.is_constant_rate) == (50, False)
            assert [float(time) for time in times[:6]] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 2.2])
            assert float(clip.fps) == pytest.approx(49 / (99 / 25), rel=1e-6)
            assert read_signal(path).fps == clip.fps

    def test_irregular_times_of_a_recorder(self, media):
        jitter = (
            "-vf",
            "settb=1/1000,setpts='N*80+mod(N*N*7,40)'",
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "1/1000",
        )
        path = media.source("recorder.webm", *jitter, *codec_of("webm", ()), frames=30)
        with open_clip(path) as clip:
            assert [time * 1000 for time in clip.times] == [i * 80 + i * i * 7 % 40 for i in range(30)]
            assert clip.fps == pytest.approx(29 / clip.times[-1], rel=1e-5)

    def test_stated_rate_replaces_times(self, media, x264):
        pause = ("-vf", "setpts='(N+if(gt(N,1),50,0))/25/TB'", "-fps_mode", "vfr")
        path = media.source("pause.mkv", *pause, *x264)
        with open_clip(path, fps=10) as clip:
            assert clip.is_constant_rate
            assert [frame.time for frame in clip.frames()] == clip.times == [0, Fraction(1, 10), Fraction(1, 5)]

    def test_a_raw_stream_has_the_rate_of_its_headers(self, media, x264):
        path = media.source("raw.h264", *x264, rate="12.5")
        assert read_signal(path).fps == Fraction(25, 2)


class TestReader:
    def test_what_is_known_without_decoding(self, media, x264, monkeypatch):
        path = media.source("clip.mp4", *x264, "-vf", "setsar=1", frames=20)
        clip = open_clip(path)
        monkeypatch.setattr(VideoReader, "_decode", None)
        assert (clip.name, clip.size, clip.height, clip.width) == ("clip", (32, 48), 32, 48)
        assert (clip.num_frames, clip.fps, len(clip.times), clip.sample_aspect_ratio) == (20, 25, 20, 1)

    def test_sound_is_noticed(self, media, x264):
        silent = media.source("silent.mp4", *x264, frames=5)
        media.ffmpeg("-i", silent, "-f", "lavfi", "-i", "sine", "-c:v", "copy", "-shortest", media.folder / "loud.mp4")
        assert not open_clip(silent).has_sound
        assert open_clip(media.folder / "loud.mp4").has_sound

    @pytest.mark.parametrize("part", [(0, 4), (3, 2), (7, None), (9, 1), (8, 9)])
    def test_parts(self, media, x264, part):
        clip = open_clip(media.source("clip.mkv", *x264, frames=10))
        whole, (start, count) = list(clip.frames()), part
        wanted = whole[start:] if count is None else whole[start : start + count]
        found = list(clip.frames(start, count))
        assert [frame.time for frame in found] == [frame.time for frame in wanted]
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(found, wanted, strict=True))

    def test_read_signal_takes_the_same_frames(self, media, x264):
        path = media.source("clip.mkv", *x264, frames=5)
        frames = torch.stack([frame.pixels for frame in open_clip(path).frames()])
        assert torch.equal(read_signal(path).frames, frames)

    def test_parts_that_cannot_be(self, media, x264):
        clip = open_clip(media.source("clip.mkv", *x264))
        with pytest.raises(SignalError, match="start=-1 is negative"):
            clip.frames(-1)
        with pytest.raises(SignalError, match="max_frames=0; wanted at least 1"):
            clip.frames(0, 0)
        with pytest.raises(SignalError, match=r"start=3 is beyond the end of .* 3 frame"):
            next(clip.frames(3))

    @pytest.mark.parametrize("kind", ["video", "folder"])
    def test_frames_do_not_pile_up(self, media, x264, kind):
        path = media.source("clip.mp4", *x264, frames=20)
        if kind == "folder":
            path = media.folder / "frames"
            path.mkdir()
            for index in range(20):
                Image.new("L", (6, 4), index).save(path / f"{index}.png")
        alive: weakref.WeakSet = weakref.WeakSet()
        for frame in open_clip(path).frames():
            alive.add(frame.pixels)
            assert len(alive) <= 2
        assert len(alive) <= 1

    def test_images_and_folders(self, media):
        folder = media.folder / "frames"
        folder.mkdir()
        for index in range(3):
            Image.new("L", (6, 4), index).save(folder / f"{index}.png")
        with open_clip(folder, fps=10) as clip:
            assert (clip.name, clip.size, clip.fps, clip.num_frames, clip.has_sound) == ("frames", (4, 6), 10, 3, False)
            assert [frame.time for frame in clip.frames(1)] == [Fraction(1, 10), Fraction(1, 5)]
        with open_clip(folder / "2.png") as clip:
            assert (clip.name, clip.size, clip.fps, clip.num_frames, clip.times) == ("2", (4, 6), 1, 1, [0])

    def test_a_size_that_changes_is_refused(self, media):
        encoding = ("-c:v", "mpeg2video", "-q:v", "2")
        data = b"".join(media.source(f"{size}.m2v", *encoding, size=size).read_bytes() for size in ("48x32", "64x32"))
        (media.folder / "both.m2v").write_bytes(data)
        with pytest.raises(
            SignalError, match=r"changes its picture size on the way, from 32x48 to 32x64 .* at frame \d"
        ):
            list(open_clip(media.folder / "both.m2v").frames())


class TestCounts:
    """``num_frames`` equals the number of frames that come, also where packets and frames differ."""

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            (
                "hidden.webm",
                ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-g", "20", "-b:v", "200k"),
            ),
            ("hidden9.webm", ("-c:v", "libvpx-vp9", "-lag-in-frames", "16", "-g", "20", "-cpu-used", "4")),
            ("packed.avi", ("-c:v", "libxvid", "-bf", "2")),
            ("repeats.ogv", ("-c:v", "libtheora")),
            ("opengop.mkv", ("-c:v", "libx264", "-x264opts", "open-gop=1:keyint=4:min-keyint=1")),
            ("refresh.mp4", ("-c:v", "libx264", "-x264opts", "intra-refresh=1:keyint=10")),
            ("fragments.mp4", ("-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov", "-g", "5")),
            ("anim.gif", ()),
        ],
    )
    def test_count(self, media, name, options):
        path = media.source(name, *options, frames=40)
        frames = [frame.pixels for frame in open_clip(path).frames()]
        assert open_clip(path).num_frames == len(frames)
        stacked = torch.stack(frames)
        assert torch.equal(stacked, media.ffmpeg_frames(path, stacked))


class TestCutShort:
    @pytest.mark.parametrize("part", [0.6, 0.9, 0.97])
    @pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm", "avi", "flv", "y4m", "ts", "nut", "gif", "h264"])
    def test_refused_with_what_is_left(self, media, x264, ending, part):
        options = ("-movflags", "+faststart") if ending in ("mp4", "mov") else ()
        path = media.source(f"clip.{ending}", *codec_of(ending, x264), *options, frames=24)
        whole = read_signal(path).frames
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        with pytest.raises(SignalError, match=r"is truncated or damaged: its first \d+ frame") as refusal:
            read_signal(path)
        left = int(re.search(r"read what is left with max_frames=(\d+)", str(refusal.value))[1])
        assert part * 24 - 9 < left < 24
        if left:
            assert torch.equal(read_signal(path, max_frames=left).frames, whole[:left])
        with pytest.raises(SignalError, match="truncated or damaged"):
            read_signal(path, max_frames=left + 1)

    def test_says_how_many_are_lost_before_any_is_read(self, media, x264):
        path = media.source("clip.mp4", *x264, "-movflags", "+faststart", frames=100)
        path.write_bytes(path.read_bytes()[:-800])
        with open_clip(path) as clip:
            assert clip.num_frames == 100
            with pytest.raises(
                SignalError, match=r"first (\d+) frame.*, (\d+) of the 100 that it announces"
            ) as refusal:
                next(clip.frames(0, clip.num_frames))
        left, lost = (
            int(number) for number in re.findall(r"first (\d+) frame.* (\d+) of the 100", str(refusal.value))[0]
        )
        assert (left + lost, 90 < left < 100) == (100, True)

    def test_damage_in_the_middle(self, media, x264):
        path = media.source("clip.mp4", *x264, frames=24)
        whole = read_signal(path).frames
        data = bytearray(path.read_bytes())
        middle = data.index(b"\x00", len(data) // 2)
        data[middle : middle + 300] = bytes(300)
        path.write_bytes(data)
        with pytest.raises(SignalError, match=r"truncated or damaged: its first (\d+) frame") as refusal:
            read_signal(path)
        left = int(re.search(r"first (\d+)", str(refusal.value))[1])
        assert torch.equal(read_signal(path, max_frames=left).frames, whole[:left])


class TestDamage:
    @pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "flv", "ts", "y4m", "gif"])
    @pytest.mark.filterwarnings("ignore::vov_lightning.errors.SignalWarning")
    def test_nothing_but_refusals_and_frames_that_were_announced(self, media, x264, ending):
        """40 damaged copies: each is refused, or gives as many frames as it said it has."""
        path = media.source(f"clip.{ending}", *codec_of(ending, x264), frames=8)
        whole, random = path.read_bytes(), np.random.default_rng(0)
        for round_ in range(40):
            data = bytearray(whole[: len(whole) if round_ % 3 else int(random.integers(1, len(whole)))])
            for _ in range((1, 3, 30)[round_ % 3]):
                data[int(random.integers(len(data) if round_ % 2 else min(len(data), 600)))] = int(random.integers(256))
            path.write_bytes(data)
            with suppress(SignalError), open_clip(path) as clip:
                assert sum(1 for _ in clip.frames()) == clip.num_frames == len(clip.times)


class TestStreams:
    def test_a_cover_picture_is_no_video(self, media):
        media.source("cover.jpg", "-update", "1", "-q:v", "3", frames=1)
        sound = ("-f", "lavfi", "-i", "sine=d=1", "-i", media.folder / "cover.jpg", "-map", "0", "-map", "1")
        for ending, codec in (("m4a", "aac"), ("mp3", "libmp3lame"), ("flac", "flac")):
            path = media.folder / f"song.{ending}"
            media.ffmpeg(*sound, "-c:a", codec, "-c:v", "copy", "-disposition:v:0", "attached_pic", path)
            with pytest.raises(SignalError, match=r"holds sound and a cover picture, but no video; wanted a video"):
                read_signal(path)

    def test_a_cover_picture_beside_a_video(self, media, x264):
        video = media.source("clip.mp4", *x264, frames=5)
        media.source("cover.png", "-update", "1", size="200x200", frames=1)
        path = media.folder / "both.mp4"
        maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
        media.ffmpeg("-i", video, "-i", media.folder / "cover.png", *maps, path)
        assert torch.equal(read_signal(path).frames, read_signal(video).frames)

    def test_other_videos_are_mentioned_with_a_working_remedy(self, media, x264):
        small, large = (media.source(f"{size}.mp4", *x264, size=size) for size in ("48x32", "64x48"))
        path = media.folder / "two.mkv"
        media.ffmpeg("-i", small, "-i", large, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "0", path)
        with pytest.warns(SignalWarning, match=r"holds 2 videos; stream 1 is read.*ffmpeg -i two\.mkv -map 0:v:1"):
            frames = read_signal(path).frames
        assert torch.equal(frames, read_signal(large).frames)


class TestNumbers:
    def fill(self, media, names: list[str]):
        folder = media.folder / "frames"
        folder.mkdir()
        for value, name in enumerate(names):
            Image.new("L", (6, 4), value).save(folder / name)
        return folder

    @pytest.mark.parametrize(
        "names",
        [
            ["f_-10.png", "f_-2.png", "f_-1.png", "f_0.png", "f_1.png"],
            ["-2.png", "-1.png", "0.png", "10.png"],
            ["f-2.png", "f-1.png", "f0.png", "f1.png"],
            ["f.-0002.png", "f.-0001.png", "f.0000.png"],
            ["take-1.png", "take-2.png", "take-10.png"],
            ["2024-01-09.png", "2024-01-10.png", "2024-02-01.png"],
            ["a1_9.png", "a1_10.png", "a2_1.png"],
            ["shot - 1.png", "shot - 2.png", "shot - 10.png"],
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*lacks")
    def test_order(self, media, names):
        assert read_signal(self.fill(media, names)).frames[:, 0, 0, 0].tolist() == list(range(len(names)))

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [
            ([0, 1, 2, 5, 6, 9], r"lacks 4 frame number\(s\) between 0 and 9, the first after 2"),
            ([-3, -2, 0, 1], r"lacks 1 frame number\(s\) between -3 and 1, the first after -2"),
            ([0, 10, 20, 40], r"lacks 1 frame number\(s\) between 0 and 40, the first after 20"),
            ([1, 2, 10**15], r"lacks 999999999999997 frame number"),
        ],
    )
    def test_gaps_are_mentioned(self, media, numbers, message):
        folder = self.fill(media, [f"shot2_{number}.png" for number in numbers])
        with pytest.warns(SignalWarning, match=f"frames {message}"):
            assert read_signal(folder).num_frames == len(numbers)

    def test_a_number_that_occurs_twice_is_mentioned(self, media):
        with pytest.warns(SignalWarning, match=r"has two files for 1 frame number\(s\), such as 2; each is read"):
            assert read_signal(self.fill(media, ["1.png", "2.bmp", "2.png", "3.png"])).num_frames == 4

    @pytest.mark.parametrize(
        "names", [["1.png"], ["a.png", "b.png"], ["0.png", "5.png", "10.png"], ["a1.png", "a2.png", "b7.png", "c9.png"]]
    )
    def test_nothing_to_mention(self, media, names, recwarn):
        read_signal(self.fill(media, names))
        assert not recwarn.list


def test_ffmpeg_is_asked_of_pictures_that_differ(media):
    """The test pattern moves, so that a repeated or dropped frame is seen."""
    frames = read_signal(media.source("clip.mkv", "-c:v", "ffv1", frames=40)).frames.numpy()
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))


class TestTimesThatCannotBeKept:
    """Frames that share a time, and rates that no file holds."""

    SHAPE = Shape("scale", 16, None, (8, 8), 1, 90, 9)

    def test_frames_at_the_same_time_are_named(self, media):
        twice = ("-vf", "setpts='floor(N/2)*2/25/TB'", "-fps_mode", "passthrough", "-c:v", "ffv1")
        path = media.source("twice.mkv", *twice, frames=8)
        for start, count in ((0, None), (0, 2)):
            with pytest.raises(SignalError, match=r"twice shows frames 0 and 1 at the same time, .*; give --data\.fps"):
                open_source(path, self.SHAPE, start=start, frames=count)
        with pytest.raises(SignalError, match=r"shows frames 2 and 3 at the same time, 0\.08 s after frame 1"):
            open_source(path, self.SHAPE, start=1)
        assert open_source(path, self.SHAPE, fps=25).num_frames == 8

    @pytest.mark.parametrize(
        ("fps", "wanted"),
        [
            ("23.976023976023976", "24000/1001"),
            ("1e12", "a number such as 25"),
            ("1e5000", "a number such as 25"),
            ("1e-12", "a number such as 25"),
        ],
    )
    def test_rates_beyond_32_bits_are_refused(self, media, fps, wanted):
        path = media.source("plain.mkv", "-c:v", "ffv1")
        with pytest.raises(SignalError, match=f"fps={fps} is no fraction of 32-bit numbers.*; wanted {wanted}"):
            open_clip(path, fps)
