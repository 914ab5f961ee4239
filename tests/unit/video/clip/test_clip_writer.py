"""Clips written frame by frame: each frame's time, the whole length, pixel shape and sound are the source's."""

import re
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_path
from vov_lightning.video import read_signal
from vov_lightning.video.sound import cut_sound, extract_sound
from vov_lightning.video.write import ClipWriter, check_output

FPS = Fraction(30)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def grey(num_frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    return (
        torch.arange(num_frames).mul(5).remainder(256).to(torch.uint8)[:, None, None, None].expand(-1, 3, height, width)
    )


class TestLikeTheSource:
    @pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "ac3", "flac"])
    @pytest.mark.parametrize("ending", [".mp4", ".mkv"])
    def test_variable_rate_with_sound(self, clips, codec, ending):
        source = clips.make("source.mp4", 40, audio=codec, rate=48000)
        before = clips.probe(source)
        gaps = {after - time for time, after in zip(before.frame_times, before.frame_times[1:], strict=False)}
        assert gaps == {Fraction(1, 30), Fraction(2, 30)}  # frames were dropped
        sound = extract_sound(source, "copy")
        path = clips.folder / f"out{ending}"
        with ClipWriter(path, 32, 48, FPS, times=before.frame_times, end=before.frame_ends[-1], sound=sound) as writer:
            for frame in grey(40):
                writer.write(frame[None])
        after = clips.probe(path)
        tick = Fraction(0) if ending == ".mp4" else Fraction(1, 1000)
        assert len(after.frame_times) == 40
        for time, source_time in zip(after.frame_times, before.frame_times, strict=True):
            assert abs(time - source_time) <= tick / 2
        assert abs(after.frame_ends[-1] - before.frame_ends[-1]) <= tick
        assert abs(after.seconds - before.seconds) < 1 / FPS
        assert [data for _, data in after.sound] == [data for _, data in before.sound]
        for (time, _), (source_time, _) in zip(after.sound, before.sound, strict=True):
            assert abs(time - source_time) <= Fraction(1, 1000)
        assert abs(clips.lag_ms(path)) < 1.5
        levels = read_signal(path).frames.float().mean((1, 2, 3))
        # 2: of limited range and 4:2:0; frames differ by 5, so that none is lost, twice or out of order
        torch.testing.assert_close(levels, grey(40)[:, 0, 0, 0].float(), rtol=0, atol=2)

    def test_times_of_any_denominator_are_exact_in_mp4(self, tmp_path, clips):
        times = [Fraction(0), Fraction(1, 7), Fraction(1001, 3000), Fraction(5, 11), Fraction(1, 2)]
        with ClipWriter(tmp_path / "a.mp4", 32, 48, FPS, times=times, end=Fraction(7, 9)) as writer:
            writer.write(grey(5))
        found = clips.probe(tmp_path / "a.mp4")
        assert (found.frame_times, found.frame_ends) == (times, [*times[1:], Fraction(7, 9)])
        assert found.seconds == pytest.approx(7 / 9, abs=1e-6)

    def test_last_frame_of_a_constant_rate(self, tmp_path, clips):
        with ClipWriter(tmp_path / "a.mp4", 32, 48, Fraction(30000, 1001)) as writer:
            writer.write(grey(31))
        found = clips.probe(tmp_path / "a.mp4")
        assert found.frame_ends[-1] == 31 * Fraction(1001, 30000)
        assert found.seconds == pytest.approx(31 * 1001 / 30000, abs=1e-6)

    @pytest.mark.parametrize("ending", [".mp4", ".mkv"])
    def test_pixel_shape(self, tmp_path, clips, ending):
        with ClipWriter(tmp_path / f"a{ending}", 32, 48, FPS, sample_aspect_ratio=Fraction(16, 11)) as writer:
            writer.write(grey(2))
        assert clips.probe(tmp_path / f"a{ending}").aspect == Fraction(16, 11)

    def test_one_frame(self, tmp_path, clips):
        with ClipWriter(tmp_path / "a.mp4", 32, 48, FPS, times=[Fraction(0)], end=Fraction(2)) as writer:
            writer.write(grey(1))
        assert clips.probe(tmp_path / "a.mp4").seconds == 2

    @pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame"])
    @pytest.mark.parametrize("ending", [".mp4", ".mkv"])
    def test_part_of_a_clip_with_its_sound(self, clips, codec, ending):
        path = clips.folder / f"part{ending}"
        source = clips.make("a.mp4", 90, audio=codec, rate=48000)
        sound = cut_sound(extract_sound(source, "copy"), Fraction(1), Fraction(2))
        with ClipWriter(path, 32, 48, FPS, sound=sound) as writer:
            writer.write(grey(30))
        # FFmpeg's Matroska counts what is decoded before time 0 into the length that it states
        assert abs(clips.probe(path).seconds - 1) < (1 / FPS if ending == ".mp4" else Fraction(12, 100))
        with av.open(str(path)) as container:
            assert abs(next(container.decode(audio=0)).time) < 0.003  # what is from before is not played
        assert abs(clips.lag_ms(path, 1)) < 1.5

    def test_rotated_source_comes_back_upright(self, clips, media):
        source = clips.make("a.mp4", 40, height=32, width=48)
        media.turn_clockwise(source, 32)
        before = read_signal(source)
        assert (before.height, before.width) == (48, 32)
        with ClipWriter(clips.folder / "b.mp4", 48, 32, FPS, times=clips.probe(source).frame_times) as writer:
            writer.write(before.frames)
        with av.open(str(clips.folder / "b.mp4")) as container:
            assert next(container.decode(video=0)).rotation == 0
        torch.testing.assert_close(read_signal(clips.folder / "b.mp4").frames, before.frames, rtol=0, atol=8)

    def test_sound_lies_beside_its_frames(self, clips):
        """Players read both in turn: neither runs more than a second and the encoder's look-ahead before the other."""
        sound = extract_sound(clips.make("a.mp4", 250), "copy")
        with ClipWriter(clips.folder / "b.mp4", 32, 48, FPS, sound=sound) as writer:
            writer.write(grey(300))
        with av.open(str(clips.folder / "b.mp4")) as container:
            packets = sorted(
                (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
                for packet in container.demux()
                if packet.size
            )
        reached = {"video": 0.0, "audio": 0.0}
        for _, kind, time in packets:
            reached[kind] = time
            if max(reached.values()) < 9:
                assert abs(reached["video"] - reached["audio"]) < 1.5


class TestFolder:
    def test_sound_and_times_lie_beside_the_frames(self, clips):
        sound = extract_sound(clips.make("a.mp4"), "copy")
        times = [Fraction(0), Fraction(1, 30), Fraction(3, 30)]
        writer = ClipWriter(clips.folder / "frames", 31, 47, FPS, times=times, sound=sound)
        with writer:
            writer.write(grey(3, 31, 47))
        assert names(clips.folder / "frames") == [*(f"frame_0000{n}.png" for n in range(3)), "sound.mka", "times.txt"]
        assert (clips.folder / "frames" / "sound.mka").read_bytes() == sound
        lines = (clips.folder / "frames" / "times.txt").read_text().splitlines()
        assert lines == ["# timestamp format v2", "0.000000", "33.333333", "100.000000"]
        assert torch.equal(read_signal(clips.folder / "frames").frames, grey(3, 31, 47))
        with ClipWriter(clips.folder / "frames", 31, 47, FPS) as again:  # ours, so it may be replaced
            again.write(grey(1, 31, 47))
        assert names(clips.folder / "frames") == ["frame_00000.png"]

    def test_says_what_is_left_out(self, clips):
        sound = extract_sound(clips.make("a.mp4"), "copy")
        writer = ClipWriter("out/", 32, 48, Fraction(30000, 1001), sample_aspect_ratio=Fraction(4, 3), sound=sound)
        assert writer.left_out == (
            "out/ keeps no frame rate (30000/1001 fps) and pixel shape (4:3); to make a video: "
            "ffmpeg -framerate 30000/1001 -i out/frame_%05d.png -i out/sound.mka -vf setsar=4/3 video.mp4"
        )
        assert ClipWriter("still.png", 32, 48, FPS, sound=sound).left_out == "still.png keeps no sound"
        assert ClipWriter("a.mp4", 32, 48, FPS, sound=sound).left_out == ""


class TestOddSizes:
    def test_matroska_takes_them(self, tmp_path):
        with ClipWriter(tmp_path / "a.mkv", 31, 47, FPS) as writer:
            writer.write(grey(3, 31, 47))
        assert read_signal(tmp_path / "a.mkv").frames.shape == (3, 3, 31, 47)

    def test_mp4_names_matroska(self):
        with pytest.raises(SignalError, match=r"must be even in an \.mp4.*a/ \(a folder of PNG files\), or a\.mkv"):
            ClipWriter("a.mp4", 31, 48, FPS)


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.png", "a"])
    @pytest.mark.parametrize("failure", [ValueError("of the caller"), OSError(5, "of the reader"), KeyboardInterrupt()])
    def test_an_error_of_the_caller_passes_and_leaves_nothing(self, tmp_path, name, failure):
        def interrupted() -> None:
            with ClipWriter(tmp_path / name, 32, 48, FPS) as writer:
                writer.write(grey(1))
                raise failure

        with pytest.raises(type(failure)) as caught:
            interrupted()
        assert caught.value is failure
        assert names(tmp_path) == []

    def test_older_file_stays(self, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"older")
        with pytest.raises(SignalError, match="0 frames were written"), ClipWriter(tmp_path / "a.mp4", 32, 48, FPS):
            pass
        assert (tmp_path / "a.mp4").read_bytes() == b"older"
        assert names(tmp_path) == ["a.mp4"]
        with pytest.raises(SignalError, match="exists"), ClipWriter(tmp_path / "a.mp4", 32, 48, FPS, overwrite=False):
            pass

    def test_full_disk(self, tmp_path, monkeypatch):
        def fail(self, packets):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("vov_lightning.video.movies.MovieWriter._mux", fail)
        with (
            pytest.raises(SignalError, match=r"a\.mp4 cannot be written \(No space left on device\)"),
            ClipWriter(tmp_path / "a.mp4", 32, 48, FPS) as writer,
        ):
            writer.write(grey(2))
        assert names(tmp_path) == []

    def test_abandoned_is_not_an_error_of_the_package(self, tmp_path):
        with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "x") as temporary:
            temporary.write_bytes(bytes([1 // 0]))


class TestRefused:
    def test_sound_that_mp4_cannot_hold(self, clips):
        source = clips.make("a.mkv", audio="wavpack")
        sound = extract_sound(source, "copy")
        message = r"out\.mp4 cannot hold this sound \(wavpack, .*\) in an \.mp4; write out\.mkv, which takes any sound"
        with pytest.raises(SignalError, match=message):
            ClipWriter("out.mp4", 32, 48, FPS, sound=sound)
        with pytest.raises(SignalError, match=message):
            check_output("out.mp4", 2, 32, 48, FPS, sound)
        with ClipWriter(clips.folder / "out.mkv", 32, 48, FPS, sound=sound) as writer:
            writer.write(grey(40))
        found = clips.probe(clips.folder / "out.mkv").sound
        assert [data for _, data in found] == [data for _, data in clips.probe(source).sound]

    def test_damaged_sound(self):
        with pytest.raises(SignalError, match="sound of 5 bytes is damaged"):
            ClipWriter("out.mp4", 32, 48, FPS, sound=b"noise")

    def test_sound_without_a_track_of_sound(self, clips):
        silent = clips.make("a.mkv", audio=None).read_bytes()
        with pytest.raises(SignalError, match="is damaged"):
            ClipWriter("out.mp4", 32, 48, FPS, sound=silent)

    @pytest.mark.parametrize(
        "odd",
        [
            {"sample_aspect_ratio": Fraction(2**31)},
            {"sample_aspect_ratio": Fraction(1, 2**31)},
            {"times": [Fraction(2**63 * n) for n in range(3)]},
        ],
        ids=["wide", "narrow", "long"],
    )
    def test_numbers_that_no_movie_holds(self, odd, tmp_path):
        message = "cannot hold these times or this pixel shape"
        with pytest.raises(SignalError, match=message), ClipWriter(tmp_path / "out.mkv", 32, 48, FPS, **odd) as writer:
            writer.write(grey(3))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("times", "end", "message"),
        [
            ([0, Fraction(1, 30), Fraction(1, 30)], None, "a frame lasts from 0.0333333 s to 0.0333333 s"),
            ([0, 1], 1, "a frame lasts from 1 s to 1 s; wanted a millisecond or more"),
            ([-1, 0], None, r"times begin with \[Fraction\(-1, 1\)\], wanted seconds from 0"),
            ([], None, r"times begin with \[\]"),
        ],
    )
    def test_times(self, times, end, message):
        times = [Fraction(time) for time in times]
        with pytest.raises(SignalError, match=message):
            ClipWriter("a.mp4", 32, 48, FPS, times=times, end=None if end is None else Fraction(end))

    def test_end_without_times(self):
        with pytest.raises(SignalError, match="end=2 without times"):
            ClipWriter("a.mp4", 32, 48, FPS, end=Fraction(2))

    @pytest.mark.parametrize(
        ("written", "message"), [(2, "2 frames were written .*, wanted 3"), (4, "more frames than")]
    )
    def test_number_of_frames(self, tmp_path, written, message):
        times = [Fraction(n) for n in range(3)]
        with pytest.raises(SignalError, match=message), ClipWriter(tmp_path / "a.mp4", 32, 48, FPS, times=times) as w:
            w.write(grey(written))

    @pytest.mark.parametrize("frames", [grey(1, 30, 48), grey(1).float(), grey(1)[0]])
    def test_other_frames(self, tmp_path, frames):
        message = re.escape("wanted [n, 3, 32, 48] torch.uint8")
        with pytest.raises(SignalError, match=message), ClipWriter(tmp_path / "a.mp4", 32, 48, FPS) as writer:
            writer.write(frames)

    def test_second_frame_of_a_png(self, tmp_path):
        message = "one frame and the clip has more; write .*a/"
        with pytest.raises(SignalError, match=message), ClipWriter(tmp_path / "a.png", 32, 48, FPS) as writer:
            writer.write(grey(2))
        assert names(tmp_path) == []
