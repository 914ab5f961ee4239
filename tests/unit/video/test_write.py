"""Writing: exact where PNG is asked for, playable where MP4 is, and whole or not at all everywhere."""

import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SignalError, VovError
from vov_lightning.files import atomic_path, atomic_write
from vov_lightning.video import Signal, read_signal, side_by_side, viewing_ending, write_signal


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestMp4:
    def test_round_trip(self, media, tmp_path):
        signal = media.signal(7, 64, 96)
        write_signal(signal, tmp_path / "new" / "clip.mp4")
        back = read_signal(tmp_path / "new" / "clip.mp4")
        assert (back.fps, back.num_frames, back.name) == (signal.fps, 7, "clip")
        assert media.psnr_db(back.frames, media.pattern(7, 64, 96)) > 36
        assert names(tmp_path / "new") == ["clip.mp4"]

    @pytest.mark.parametrize("fps", ["1", "1/3", "12", "24000/1001", "30000/1001", "60", "72000/4427", "1000"])
    @pytest.mark.parametrize("num_frames", [1, 3])
    def test_frame_rate_is_exact(self, media, tmp_path, fps, num_frames):
        write_signal(media.signal(num_frames, 16, 16, Fraction(fps)), tmp_path / "clip.mp4")
        back = read_signal(tmp_path / "clip.mp4")
        assert (back.fps, back.num_frames) == (Fraction(fps), num_frames)

    def test_players_and_browsers_can_play_it(self, media, tmp_path):
        path = tmp_path / "clip.mp4"
        write_signal(media.signal(3), path)
        with av.open(str(path)) as container:
            codec = container.streams.video[0].codec_context
            assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
            assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")  # starts before it is downloaded

    def test_smaller_crf_is_closer(self, media, tmp_path):
        signal = media.signal(3, 64, 64)
        for crf, least, most in ((5, 37, 99), (50, 10, 30)):
            write_signal(signal, tmp_path / "clip.mp4", crf=crf)
            assert least < media.psnr_db(read_signal(tmp_path / "clip.mp4").frames, media.pattern(3, 64, 64)) < most

    @pytest.mark.parametrize(("height", "width"), [(31, 48), (32, 47)])
    def test_odd_sizes_are_refused(self, media, tmp_path, height, width):
        with pytest.raises(
            SignalError, match=rf"height={height} and width={width} must be even.*clip/ \(a folder of PNG"
        ):
            write_signal(media.signal(2, height, width), tmp_path / "clip.mp4")
        assert names(tmp_path) == []

    @pytest.mark.parametrize("fps", [Fraction(1001), Fraction(2**31, 2**30 + 1)])
    def test_frame_rates_that_mp4_cannot_hold_are_refused(self, media, tmp_path, fps):
        with pytest.raises(SignalError, match=r"does not fit into an \.mp4"):
            write_signal(media.signal(2, fps=fps), tmp_path / "clip.mp4")

    def test_missing_encoder(self, media, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise av.codec.codec.UnknownCodecError("libx264")

        monkeypatch.setattr(av, "open", fail)
        with pytest.raises(SignalError, match="install PyAV from PyPI"):
            write_signal(media.signal(2), tmp_path / "clip.mp4")
        assert names(tmp_path) == []

    def test_nothing_is_left_when_encoding_fails(self, media, tmp_path, monkeypatch):
        (tmp_path / "clip.mp4").write_bytes(b"older")

        def fail(path, *args, **kwargs):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(av, "open", fail)
        with pytest.raises(SignalError, match=r"clip\.mp4 cannot be written \(No space left on device\)"):
            write_signal(media.signal(2), tmp_path / "clip.mp4")
        assert names(tmp_path) == ["clip.mp4"]
        assert (tmp_path / "clip.mp4").read_bytes() == b"older"


class TestPng:
    def test_round_trip_is_exact(self, media, tmp_path):
        image = media.signal(1, 31, 47)
        write_signal(image, tmp_path / "still.PNG")
        assert torch.equal(read_signal(tmp_path / "still.PNG").frames, image.frames)

    def test_several_frames_are_refused(self, media, tmp_path):
        with pytest.raises(SignalError, match=r"one frame and pattern has 2; write .*still/ .* or still\.mp4"):
            write_signal(media.signal(2), tmp_path / "still.png")
        assert names(tmp_path) == []


class TestFolder:
    def test_round_trip_is_exact(self, media, tmp_path):
        signal = media.signal(11, 31, 47, Fraction(25))
        write_signal(signal, tmp_path / "a" / "frames")
        assert names(tmp_path / "a" / "frames") == [f"frame_{index:05d}.png" for index in range(11)]
        back = read_signal(tmp_path / "a" / "frames")
        assert torch.equal(back.frames, signal.frames)
        assert back.fps == 25
        assert names(tmp_path / "a") == ["frames"]

    def test_trailing_slash_makes_a_folder_of_any_name(self, media, tmp_path):
        write_signal(media.signal(1), f"{tmp_path}/v1.5/")
        assert names(tmp_path / "v1.5") == ["frame_00000.png"]

    def test_replaces_older_frames_altogether(self, media, tmp_path):
        write_signal(media.signal(5), tmp_path / "frames")
        write_signal(media.signal(2), tmp_path / "frames")
        assert names(tmp_path / "frames") == ["frame_00000.png", "frame_00001.png"]
        assert names(tmp_path) == ["frames"]

    def test_never_deletes_other_files(self, media, tmp_path):
        folder = tmp_path / "frames"
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
        with pytest.raises(SignalError, match=r"holds thesis\.tex, which replacing the folder would delete"):
            write_signal(media.signal(2), folder)
        assert names(folder) == ["thesis.tex"]
        assert names(tmp_path) == ["frames"]

    def test_nothing_is_left_when_a_frame_fails(self, media, tmp_path, monkeypatch):
        write_signal(media.signal(3), tmp_path / "frames")
        save = Image.Image.save

        def fail_at_second(self, path, *args):
            if path.name == "frame_00001.png":
                raise OSError(28, "No space left on device")
            save(self, path, *args)

        monkeypatch.setattr(Image.Image, "save", fail_at_second)
        with pytest.raises(SignalError, match="No space left on device"):
            write_signal(media.signal(5), tmp_path / "frames")
        assert names(tmp_path) == ["frames"]
        assert len(names(tmp_path / "frames")) == 3

    def test_older_folder_comes_back_when_the_last_rename_fails(self, media, tmp_path, monkeypatch):
        write_signal(media.signal(3), tmp_path / "frames")
        rename, calls = os.rename, []

        def fail_second(source, target):
            calls.append(source)
            if len(calls) == 2:
                raise OSError(5, "Input/output error")
            rename(source, target)

        monkeypatch.setattr(os, "rename", fail_second)
        with pytest.raises(SignalError, match="Input/output error"):
            write_signal(media.signal(5), tmp_path / "frames")
        assert names(tmp_path) == ["frames"]
        assert len(names(tmp_path / "frames")) == 3


class TestPaths:
    @pytest.mark.parametrize("name", ["clip.avi", "clip.jpg", "clip.vov"])
    def test_unknown_endings_list_the_known(self, media, tmp_path, name):
        with pytest.raises(
            SignalError, match=r"cannot be written; use \.mp4, \.mkv, \.png \(one frame\), or a path without"
        ):
            write_signal(media.signal(1), tmp_path / name)

    @pytest.mark.parametrize("name", ["clip.mp4", "still.png", "frames"])
    def test_keeps_what_exists_when_told_to(self, media, tmp_path, name):
        write_signal(media.signal(1), tmp_path / name)
        with pytest.raises(SignalError, match=rf"{name} exists; choose another name"):
            write_signal(media.signal(1), tmp_path / name, overwrite=False)

    @pytest.mark.parametrize("name", ["clip.mp4", "still.png", "frames"])
    def test_parent_is_a_file(self, media, tmp_path, name):
        (tmp_path / "file").touch()
        with pytest.raises(SignalError, match="is a file, not a folder"):
            write_signal(media.signal(1), tmp_path / "file" / name)
        with pytest.raises(SignalError, match="cannot be written"):
            write_signal(media.signal(1), tmp_path / "file" / "deeper" / name)

    def test_folder_where_a_file_is_and_file_where_a_folder_is(self, media, tmp_path):
        (tmp_path / "clip.mp4").mkdir()
        with pytest.raises(SignalError, match=r"clip\.mp4 is a folder; name a file"):
            write_signal(media.signal(1), tmp_path / "clip.mp4")
        (tmp_path / "frames").touch()
        with pytest.raises(SignalError, match="frames is a file, and a folder is to be written"):
            write_signal(media.signal(1), tmp_path / "frames")

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
    def test_no_permission(self, media, tmp_path):
        write_signal(media.signal(1), tmp_path / "warm_up.png")  # imports what an unprivileged user may not read
        locked = Path(tempfile.mkdtemp())  # below tmp_path only its owner could even look
        locked.chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(SignalError, match=r"cannot be written .*Permission denied.*write permission"):
                write_signal(media.signal(1), locked / "still.png")
        finally:
            os.seteuid(user)
            locked.rmdir()

    def test_devices_survive(self, media, tmp_path):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(SignalError, match="neither a file nor a folder"):
            write_signal(media.signal(1), tmp_path / "pipe.png")
        assert (tmp_path / "pipe.png").is_fifo()


class TestAtomic:
    def test_write(self, tmp_path):
        atomic_write(tmp_path / "a" / "b.vov", b"first")
        atomic_write(tmp_path / "a" / "b.vov", b"second")
        assert (tmp_path / "a" / "b.vov").read_bytes() == b"second"
        assert names(tmp_path / "a") == ["b.vov"]

    def test_symbolic_link_stays(self, tmp_path):
        (tmp_path / "target").write_bytes(b"old")
        (tmp_path / "link").symlink_to("target")
        atomic_write(tmp_path / "link", b"new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == b"new"

    def test_permissions_follow_the_umask(self, tmp_path):
        umask = os.umask(0o027)
        try:
            atomic_write(tmp_path / "file", b"x")
        finally:
            os.umask(umask)
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("failure", [RuntimeError("bug"), KeyboardInterrupt()])
    def test_other_failures_pass_and_leave_nothing(self, tmp_path, failure):
        def write_half():
            with atomic_path(tmp_path / "file.vov") as temporary:
                assert temporary.parent == tmp_path
                assert temporary.suffix == ".vov"
                temporary.write_bytes(b"half")
                raise failure

        with pytest.raises(type(failure)):
            write_half()
        assert names(tmp_path) == []

    def test_errors_are_the_packages_own(self, tmp_path, monkeypatch):
        def fail(*args):
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(VovError, match=r"file\.vov cannot be written \(Read-only file system\)"):
            atomic_write(tmp_path / "file.vov", b"x")
        assert names(tmp_path) == []


class TestSideBySide:
    def test_shows_both(self, media):
        left, right = media.signal(3, 8, 10), media.signal(3, 8, 6)
        both = side_by_side(left, right)
        assert torch.equal(both.frames[..., :10], left.frames)
        assert torch.equal(both.frames[..., 10:], right.frames)
        assert both.fps == left.fps

    @pytest.mark.parametrize(
        ("right", "message"),
        [
            ((3, 10, 8, Fraction(25)), "height=8 and pattern height=10"),
            ((2, 8, 8, Fraction(25)), "num_frames=3 and pattern num_frames=2"),
            ((3, 8, 8, Fraction(24)), "fps=25 and pattern fps=24"),
        ],
    )
    def test_refuses_what_does_not_match(self, media, right, message):
        with pytest.raises(SignalError, match=message):
            side_by_side(media.signal(3, 8, 8, Fraction(25)), media.signal(*right))

    def test_accepts_any_signal_type(self):
        assert isinstance(
            side_by_side(*[Signal(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), Fraction(1), "x")] * 2), Signal
        )


@pytest.mark.parametrize(
    ("shape", "fps", "ending"),
    [((1, 32, 48), 25, ".png"), ((2, 32, 48), 25, ".mp4"), ((2, 31, 48), 25, ".mkv"), ((2, 32, 48), 2000, "")],
)
def test_ending_to_look_at(shape, fps, ending):
    frames, height, width = shape
    signal = Signal(torch.zeros(frames, 3, height, width, dtype=torch.uint8), Fraction(fps), "clip")
    assert viewing_ending(signal) == ending
