"""Every kind of picture against ffmpeg's own frames: orientation, crop, subsampling, depth, odd sizes, rate, container.

The reference is the command line that a user would run, ``ffmpeg -i clip -fps_mode passthrough -f rawvideo -pix_fmt
rgb24``. Both use libswscale's C or SIMD code of another version on the same decoded samples; so frames are equal, and a
tolerance stands where the decoder itself may differ.
"""

import subprocess
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video.stream import open_clip

FFMPEG = pytest.importorskip(
    "imageio_ffmpeg", reason="imageio-ffmpeg brings the ffmpeg to compare with"
).get_ffmpeg_exe()


def ffmpeg(*arguments: str | Path) -> bytes:
    done = subprocess.run([FFMPEG, "-v", "error", "-y", "-nostdin", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make(path: Path, size: str, *options: str, rate: str = "25", frames: int = 3, copy: tuple[str, ...] = ()) -> Path:
    """A moving test pattern; ``options`` encode it."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}", "-frames:v", str(frames), *options, path)
    return path


def assert_equals_ffmpeg(path: Path, *filters: str, decoding: tuple[str, ...] = (), tolerance: int = 0) -> None:
    with open_clip(path) as clip:
        frames = list(clip.frames())
        assert len(frames) == clip.num_frames == len(clip.times)
        assert [frame.time for frame in frames] == clip.times
        ours = torch.stack([frame.pixels for frame in frames]).permute(0, 2, 3, 1).numpy()
        assert ours.shape[1:3] == (clip.height, clip.width)
    raw = ffmpeg(*decoding, "-i", path, "-map", "0:V:0", *(["-vf", *filters] if filters else []),
        "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")  # fmt: skip
    theirs = np.frombuffer(raw, np.uint8)
    assert theirs.size == ours.size
    assert np.abs(ours.astype(int) - theirs.reshape(ours.shape)).max() <= tolerance


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-bf", "2")
CODECS = {"h264": X264, "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1")}


class TestOrientation:
    @pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
    @pytest.mark.parametrize("mirror", [(), ("-display_hflip",), ("-display_vflip",)])
    @pytest.mark.parametrize("angle", ["0", "90", "180", "270"])
    def test_all_eight(self, tmp_path, ending, mirror, angle):
        source = make(tmp_path / "source.mp4", "48x32", *X264, "-pix_fmt", "yuv420p")
        path = tmp_path / f"turned.{ending}"
        ffmpeg("-display_rotation", angle, *mirror, "-i", source, "-c", "copy", path)
        assert_equals_ffmpeg(path)


class TestCrop:
    @pytest.mark.parametrize("codec", ["h264", "hevc"])
    @pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
    @pytest.mark.parametrize(
        "crop", [(32, 0, 0, 0), (2, 0, 0, 0), (0, 6, 0, 0), (0, 0, 2, 0), (10, 4, 6, 2), (62, 0, 34, 0)]
    )
    @pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "yuv444p"])
    def test_rectangle(self, tmp_path, codec, ending, crop, pixels):
        left, right, top, bottom = crop
        source = make(tmp_path / f"source.{ending}", "96x64", *CODECS[codec], "-pix_fmt", pixels)
        path = tmp_path / f"cropped.{ending}"
        ffmpeg(
            "-i",
            source,
            "-c",
            "copy",
            "-bsf:v",
            f"{codec}_metadata=crop_left={left}:crop_right={right}:crop_top={top}:crop_bottom={bottom}",
            path,
        )
        assert_equals_ffmpeg(path, decoding=("-flags", "unaligned"))
        assert_equals_ffmpeg(path)
