"""Every kind of picture against ffmpeg's own frames: orientation, crop, subsampling, depth, odd sizes, colour, fields.

The reference is what a user would run, ``ffmpeg -i clip -fps_mode passthrough -f rawvideo -pix_fmt rgb24``. Frames are
equal, without a tolerance: both sides decode losslessly defined streams and convert them by libswscale's same code.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video import read_signal
from vov_lightning.video.stream import open_clip

FORMATS = (
    *("gray", "gray10le", "gray16le", "yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p"),
    *("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv420p16le", "yuv444p16le"),
    *("yuvj420p", "yuvj422p", "yuvj444p", "nv12", "nv21", "yuyv422", "uyvy422", "p010le"),
    *("rgb24", "bgr24", "bgr0", "gbrp", "gbrp10le", "rgb48le", "rgb565le", "pal8", "monow", "monob"),
    *("yuva420p", "ya8", "rgba"),
)
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1")
LOSSLESS = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")


def assert_equals_ffmpeg(media, path: Path, *options: str) -> torch.Tensor:
    frames = read_signal(path).frames
    assert torch.equal(frames, media.ffmpeg_frames(path, frames, *options))
    return frames


class TestOrientation:
    @pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
    @pytest.mark.parametrize("mirror", [(), ("-display_hflip",)])
    @pytest.mark.parametrize("angle", ["0", "90", "180", "270"])
    def test_all_eight(self, media, x264, ending, mirror, angle):
        source = media.source("source.mp4", *x264)
        path = media.remux(source, f"turned.{ending}", before=("-display_rotation", angle, *mirror))
        frames = assert_equals_ffmpeg(media, path)
        if ending == "mp4" and (mirror or angle != "0"):
            plain = read_signal(source).frames
            assert plain.shape != frames.shape or not torch.equal(plain, frames)

    @pytest.mark.parametrize("note", ["rotate=90", "rotate=270:flip=horizontal", "flip=vertical"])
    @pytest.mark.parametrize("ending", ["mp4", "ts"])
    def test_a_note_in_the_stream(self, media, x264, ending, note):
        source = media.source("source.mp4", *x264)
        path = media.remux(source, f"noted.{ending}", "-bsf:v", f"h264_metadata=display_orientation=insert:{note}")
        frames = assert_equals_ffmpeg(media, path)
        assert frames.shape[2:] == ((48, 32) if "rotate" in note else (32, 48))

    def test_vertical_mirror(self, media, x264):
        source = media.source("source.mp4", *x264)
        path = media.remux(source, "mirrored.mp4", before=("-display_vflip",))
        assert torch.equal(assert_equals_ffmpeg(media, path), read_signal(source).frames.flip(2))

    @pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p10le", "yuv411p", "gray16le", "gbrp"])
    @pytest.mark.parametrize("turn", [("90",), ("270", "-display_hflip"), ("180",)])
    def test_odd_sizes_and_other_formats_turn_too(self, media, pixels, turn):
        source = media.source("source.mov", "-c:v", "ffv1", "-pix_fmt", pixels, size="47x31")
        frames = assert_equals_ffmpeg(media, media.remux(source, "turned.mov", before=("-display_rotation", *turn)))
        assert frames.shape[2:] == ((31, 47) if turn == ("180",) else (47, 31))

    def test_pixels_that_are_not_square_turn_with_the_picture(self, media, x264):
        source = media.source("source.mp4", *x264, "-vf", "setsar=4/3")
        assert open_clip(source).sample_aspect_ratio.as_integer_ratio() == (4, 3)
        turned = media.remux(source, "turned.mp4", before=("-display_rotation", "90"))
        assert open_clip(turned).sample_aspect_ratio.as_integer_ratio() == (3, 4)

    def test_another_angle_is_refused_with_a_working_remedy(self, media, x264):
        path = media.remux(media.source("source.mp4", *x264), "leaning.mp4", before=("-display_rotation", "30"))
        with pytest.raises(SignalError, match=r"shown at an angle.*wanted a multiple of 90.*ffmpeg -i leaning\.mp4"):
            read_signal(path)
        media.ffmpeg("-i", path, media.folder / "leaning_turned.mp4")
        assert read_signal(media.folder / "leaning_turned.mp4").num_frames == 3


class TestCrop:
    @pytest.mark.parametrize(
        ("codec", "ending", "pixels"),
        [("h264", "mp4", "yuv420p"), ("h264", "ts", "yuv444p"), ("hevc", "mkv", "yuv420p10le")],
    )
    @pytest.mark.parametrize("crop", [(32, 0, 0, 0), (2, 0, 0, 0), (0, 6, 4, 0), (10, 4, 6, 2)])
    def test_rectangle_in_the_stream(self, media, x264, codec, ending, pixels, crop):
        encoder = x264 if codec == "h264" else X265
        source = media.source(f"source.{ending}", *encoder, "-pix_fmt", pixels, size="96x64")
        sides = ":".join(f"crop_{side}={by}" for side, by in zip(("left", "right", "top", "bottom"), crop, strict=True))
        path = media.remux(source, f"cropped.{ending}", "-bsf:v", f"{codec}_metadata={sides}")
        frames = assert_equals_ffmpeg(media, path)
        left, right, top, bottom = crop
        whole = read_signal(source).frames
        assert frames.shape[2:] == (64 - top - bottom, 96 - left - right)
        if pixels != "yuv420p10le":  # whose chroma is interpolated across the edge
            assert torch.equal(frames, whole[:, :, top : 64 - bottom, left : 96 - right])

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
    @pytest.mark.parametrize("rectangle", [(64, 48, 20, 10), (63, 47, 21, 11), (64, 48, 1, 1)])
    def test_rectangle_in_the_container(self, media, x264, ending, rectangle):
        path = media.source("clap.mp4", *x264, size="96x64")
        path.write_bytes(with_clean_aperture(path.read_bytes(), 96, 64, *rectangle))
        if ending != "mp4":
            path = media.remux(path, f"clap.{ending}", before=("-display_rotation", "90"))
        assert_equals_ffmpeg(media, path)


def with_clean_aperture(
    mp4: bytes, width: int, height: int, kept_width: int, kept_height: int, x: int, y: int
) -> bytes:
    """``mp4``, whose samples precede its index, with a box that asks to show a rectangle of its picture only."""
    offsets = (2 * x + kept_width - width, 2 * y + kept_height - height)  # of the centre, in half pixels
    aperture = struct.pack(">I4s4I2i0i", 40, b"clap", kept_width, 1, kept_height, 1, 0, 0)[:24]
    aperture += struct.pack(">iIiI", offsets[0], 2, offsets[1], 2)

    def grown(data: bytes, names: tuple[bytes, ...]) -> bytes:
        out, position = b"", 0
        while position < len(data):
            size, name = struct.unpack(">I4s", data[position : position + 8])
            body, position = data[position + 8 : position + size], position + size
            if names and name == names[0]:
                if name == b"stsd":
                    (entry,) = struct.unpack(">I", body[8:12])
                    body = (
                        body[:8] + struct.pack(">I", entry + 40) + body[12 : 8 + entry] + aperture + body[8 + entry :]
                    )
                else:
                    body = grown(body, names[1:])
            out += struct.pack(">I4s", len(body) + 8, name) + body
        return out

    return grown(mp4, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"))


class TestFormats:
    @pytest.mark.parametrize("size", ["48x32", "47x31"])
    @pytest.mark.parametrize("pixels", FORMATS)
    def test_subsampling_depth_and_odd_sizes(self, media, pixels, size):
        assert_equals_ffmpeg(media, media.source("clip.nut", "-c:v", "rawvideo", "-pix_fmt", pixels, size=size))

    @pytest.mark.parametrize("size", ["2x3", "642x5", "5x101"])
    def test_extreme_sizes(self, media, size):
        assert_equals_ffmpeg(media, media.source("clip.nut", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", size=size))

    @pytest.mark.parametrize(
        ("name", "options", "size"),
        [
            (
                "odd.mp4",
                ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-pix_fmt", "yuv420p"),
                "47x31",
            ),
            ("odd.webm", ("-c:v", "libvpx", "-cpu-used", "8", "-deadline", "realtime"), "47x31"),
            ("av1.mp4", ("-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p10le"), "66x66"),
            ("rgb.mp4", ("-c:v", "libx264rgb", "-preset", "ultrafast"), "47x31"),
            ("prores.mov", ("-c:v", "prores_ks"), "66x50"),
            ("mjpeg.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), "47x31"),
            ("mpeg4.avi", ("-c:v", "mpeg4", "-bf", "2"), "47x31"),
            ("anim.gif", (), "47x31"),
            ("cinema.mkv", ("-c:v", "jpeg2000", "-pix_fmt", "xyz12le"), "47x31"),
            ("ntsc.dv", ("-c:v", "dvvideo", "-pix_fmt", "yuv411p", "-r", "30000/1001"), "720x480"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*is interlaced")
    def test_codecs(self, media, name, options, size):
        assert_equals_ffmpeg(media, media.source(name, *options, size=size))


class TestColour:
    @pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le"])
    @pytest.mark.parametrize("range_", ["tv", "pc"])
    @pytest.mark.parametrize("matrix", ["bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc"])
    def test_matrix_and_range(self, media, matrix, range_, pixels):
        tags = f"scale=out_color_matrix={matrix}:out_range={range_},setparams=colorspace={matrix}:range={range_}"
        assert_equals_ffmpeg(media, media.source("clip.mkv", "-vf", tags, "-c:v", "ffv1", "-pix_fmt", pixels))

    @pytest.mark.parametrize(
        ("matrix", "name"),
        [
            ("ycgco", "YCgCo"),
            ("bt2020c", "BT.2020 constant luminance"),
            ("ictcp", "ICtCp"),
            ("chroma-derived-nc", "code 12"),
            ("chroma-derived-c", "code 13"),
            ("smpte2085", "SMPTE 2085"),
            ("ipt-c2", "IPT-C2"),
            ("ycgco-re", "code 16"),
            ("ycgco-ro", "code 17"),
            ("gbr", "RGB"),
        ],
    )
    @pytest.mark.parametrize("ending", ["mkv", "mov"])
    def test_others_are_refused_with_a_working_remedy(self, media, matrix, name, ending):
        pixels, codec = ("yuv420p", "ffv1") if ending == "mkv" else ("yuv422p10le", "prores_ks")
        graph = f"format={pixels},setparams=colorspace={matrix}:range=tv"
        path = media.source(f"clip.{ending}", "-vf", graph, "-c:v", codec)
        with pytest.raises(SignalError, match=rf"matrix {name}, which libswscale does not convert; wanted") as refusal:
            read_signal(path)
        command = str(refusal.value).partition(": ffmpeg ")[2].split()
        media.ffmpeg(*[media.folder / word if word.startswith("clip") else word for word in command])
        assert read_signal(media.folder / "clip_bt709.mkv").num_frames == 3

    def test_ycgco_is_converted_rightly_by_the_remedy(self, media):
        plain = media.source("plain.mkv", *LOSSLESS[:2], "-pix_fmt", "gbrp")
        path = media.folder / "clip.mkv"
        media.ffmpeg("-i", plain, "-vf", "zscale=matrix=ycgco:range=limited,format=yuv444p", "-c:v", "ffv1", path)
        with pytest.raises(SignalError, match="YCgCo"):
            read_signal(path)
        media.ffmpeg("-i", path, "-vf", "zscale=matrix=709", "-c:v", "ffv1", media.folder / "clip_bt709.mkv")
        error = read_signal(media.folder / "clip_bt709.mkv").frames.int() - read_signal(plain).frames.int()
        assert error.abs().max() <= 8  # two conversions in 8 bits


class TestFields:
    INTERLACED = ("-flags", "+ilme+ildct")

    @pytest.mark.parametrize(
        ("name", "options", "size"),
        [
            ("x264.mp4", ("-c:v", "libx264", "-x264opts", "tff=1", "-pix_fmt", "yuv420p", *INTERLACED), "64x48"),
            ("x264.ts", ("-c:v", "libx264", "-x264opts", "bff=1", "-pix_fmt", "yuv420p", *INTERLACED), "64x48"),
            ("mpeg2.ts", ("-c:v", "mpeg2video", "-q:v", "2", *INTERLACED), "64x48"),
            ("mpeg2.mpg", ("-c:v", "mpeg2video", "-q:v", "2", *INTERLACED), "64x48"),
            ("mpeg4.avi", ("-c:v", "mpeg4", "-q:v", "2", *INTERLACED), "64x48"),
            ("pal.dv", ("-c:v", "dvvideo", "-pix_fmt", "yuv420p"), "720x576"),
            ("odd.y4m", ("-vf", "setfield=tff,format=yuv420p"), "63x47"),
            ("raw.y4m", ("-vf", "setfield=bff,format=yuv420p"), "64x48"),
            ("ffv1.mkv", ("-vf", "setfield=tff,format=yuv420p", "-c:v", "ffv1"), "64x48"),
        ],
    )
    def test_chroma_is_converted_by_fields_and_a_warning_says_so(self, media, name, options, size):
        path = media.source(name, *options, size=size)
        with pytest.warns(SignalWarning, match=rf"{name} is interlaced.*ffmpeg -i {name} -vf bwdif"):
            frames = read_signal(path).frames
        assert torch.equal(frames, media.ffmpeg_frames(path, frames, "-vf", "scale=interl=1"))
        # With chroma of 4:2:0, ffmpeg's plain conversion mixes the fields.
        assert not torch.equal(frames, media.ffmpeg_frames(path, frames))

    def test_progressive_video_is_not_warned_of(self, media, x264, recwarn):
        assert_equals_ffmpeg(media, media.source("clip.mp4", *x264))
        assert not [warning for warning in recwarn if issubclass(warning.category, SignalWarning)]

    def test_fields_coded_as_pictures_are_refused_with_a_working_remedy(self, media):
        options = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1:interlace=tff")
        path = media.source("fields.mkv", "-vf", "setfield=tff,format=yuv420p", *options, size="64x48", frames=6)
        with pytest.raises(SignalError, match=r"codes every field as a picture of its own.*-vf (\S+) ") as refusal:
            read_signal(path)
        whole = media.folder / "whole.mkv"
        media.ffmpeg("-i", path, "-vf", str(refusal.value).split("-vf ")[1].split()[0], "-c:v", "ffv1", whole)
        assert read_signal(whole).height == 96


def test_the_pattern_tells_pictures_apart(media):
    """What the tests above compare is neither flat nor still."""
    frames = read_signal(media.source("clip.mkv", *LOSSLESS)).frames.numpy()
    assert np.std(frames) > 40
    assert not np.array_equal(frames[0], frames[1])
