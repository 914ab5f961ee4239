"""What a source has and a file cannot keep is said, with a remedy that works; odd containers are read rightly."""

import subprocess
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video import open_clip, read_signal
from vov_lightning.video.leftovers import left_behind
from vov_lightning.video.sound import extract_sound

PQ = "log-level=0:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"


def run_remedy(message: str, media) -> None:
    """Run the command that ``message`` ends with, beside the file that it is about."""
    words = message.rpartition("ffmpeg ")[2].split()
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words], check=True, cwd=media.folder)


class TestAvi:
    """It has no times of presentation, and libav makes some up."""

    @pytest.mark.parametrize("fps", ["25", "30000/1001"])
    def test_rate_of_a_remuxed_mp4(self, media, x264, fps):
        video = media.source("clip.mp4", *x264, "-bf", "2", "-g", "5", rate=fps, frames=10)
        media.ffmpeg("-i", video, "-c", "copy", media.folder / "clip.avi")
        with open_clip(media.folder / "clip.avi") as clip:
            assert (clip.fps, clip.is_constant_rate, clip.num_frames) == (Fraction(fps), True, 10)
        assert torch.equal(read_signal(media.folder / "clip.avi").frames, read_signal(video).frames)

    def test_gaps_stay(self, media, x264):
        video = media.source(
            "clip.mp4", *x264, "-bf", "2", "-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr", frames=12
        )
        media.ffmpeg("-i", video, "-c", "copy", media.folder / "clip.avi")
        with open_clip(video) as clip, open_clip(media.folder / "clip.avi") as copied:
            assert not copied.is_constant_rate
            gaps, kept = ([b - a for a, b in zip(one.times, one.times[1:], strict=False)] for one in (clip, copied))
        assert max(kept) == pytest.approx(max(gaps), abs=0.005)


@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_titles_in_any_encoding(media, x264, ending):
    video = media.source("clip.mp4", *x264, frames=5)
    path = media.folder / f"titled.{ending}"
    media.ffmpeg("-i", video, "-c", "copy", "-metadata", "title=caf\udce9", path)
    assert (left_behind(path), extract_sound(path, "copy")) == ("", b"")
    assert torch.equal(read_signal(path).frames, read_signal(video).frames)


def test_sound_before_the_first_picture(media, x264):
    video = media.source("clip.mp4", *x264, frames=10)
    late, tone = media.folder / "late.mp4", ("-f", "lavfi", "-i", "sine=d=1.4")
    media.ffmpeg("-itsoffset", "1", "-i", video, *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", late)
    with pytest.warns(SignalWarning, match=r"sounds for 1\.\d\d s before its first picture") as told:
        extract_sound(late, "copy")
    run_remedy(str(told[0].message), media)
    with open_clip(media.folder / "late_whole.mkv") as clip:
        assert 1.3 < clip.num_frames / clip.fps < 1.5


def test_a_last_frame_that_is_held(media):
    pictures = [Image.fromarray(np.full((32, 48, 3), 60 * n, np.uint8)) for n in range(3)]
    path = media.folder / "held.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 100, 3000])
    with pytest.warns(SignalWarning, match=r"its last frame for 3\.00 s, a \.vov file for 0\.10 s") as told:
        assert read_signal(path).num_frames == 3
    run_remedy(str(told[0].message), media)
    assert read_signal(media.folder / "held_whole.mkv").num_frames == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", PQ), r"is HDR \(PQ\), and its 10 bits"),
        (("-pix_fmt", "yuv422p10le", "-c:v", "prores_ks"), "has 10 bits a sample, which are reduced to 8"),
    ],
)
def test_more_than_eight_bits(media, options, message):
    path = media.source("deep.mov", *options, size="96x64")
    with pytest.warns(SignalWarning, match=message):
        read_signal(path)


def test_transparent_avif(media):
    pixels = np.full((48, 64, 4), 200, np.uint8)
    Image.fromarray(pixels[..., :3]).save(media.folder / "solid.avif")
    pixels[..., 3] = 128
    Image.fromarray(pixels).save(media.folder / "glass.avif")
    assert read_signal(media.folder / "solid.avif").frames.shape == (1, 3, 48, 64)
    with pytest.raises(SignalError, match=r"glass\.avif has transparent pixels.*alphamerge"):
        read_signal(media.folder / "glass.avif")
