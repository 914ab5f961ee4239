"""Media made on the spot: smooth moving patterns in whatever container, codec and pixel format a test needs."""

import struct
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from vov_lightning.video import Signal

NTSC = Fraction(30000, 1001)


class Media:
    """Writes test media into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def pattern(num_frames: int = 5, height: int = 32, width: int = 64) -> np.ndarray:
        """``[T, H, W, 3]`` uint8; smooth, so that 4:2:0 colour costs little, and different in every frame."""
        y, x = np.mgrid[0:height, 0:width]
        frames = [
            np.stack([np.sin(x / 19 + t / 3), np.cos(y / 17 - t / 4), np.sin((x + y) / 23 + t / 2)], axis=-1)
            for t in range(num_frames)
        ]
        return (128 + 90 * np.stack(frames)).astype(np.uint8)

    @classmethod
    def signal(cls, num_frames: int = 5, height: int = 32, width: int = 64, fps: Fraction = NTSC) -> Signal:
        pixels = torch.from_numpy(cls.pattern(num_frames, height, width)).permute(0, 3, 1, 2).contiguous()
        return Signal(pixels, fps, "pattern")

    def video(
        self,
        name: str,
        frames: np.ndarray,
        *,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        fps: Fraction = NTSC,
        matrix: int | None = None,
        full_range: bool = False,
        times_ms: Iterable[int] | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        """Encode ``[T, H, W, C]`` (RGB or RGBA); ``matrix`` 1 is BT.709, ``None`` leaves BT.601 untagged."""
        if options is None:
            options = {"crf": "1", "preset": "ultrafast", "bf": "2", "g": "6"} if codec == "libx264" else {}
        source = "rgba" if frames.shape[-1] == 4 else "rgb24"
        value_range = (2 if full_range else 1) if pixels.startswith("yuv") else None
        with av.open(str(self.folder / name), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
            if matrix is not None:
                stream.codec_context.colorspace = matrix
            if full_range:
                stream.codec_context.color_range = value_range
            time_base = 1 / fps if times_ms is None else Fraction(1, 1000)
            stream.codec_context.time_base = stream.time_base = time_base
            for index, pts in enumerate(range(len(frames)) if times_ms is None else times_ms):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[index]), format=source)
                if pixels != source:
                    picture = picture.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=value_range)
                picture.pts, picture.time_base = pts, time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return self.folder / name

    def y4m(self, name: str, frames: np.ndarray) -> Path:
        height, width = frames.shape[1:3]
        with (self.folder / name).open("wb") as file:
            file.write(f"YUV4MPEG2 W{width} H{height} F30000:1001 Ip A1:1 C420jpeg\n".encode())
            for frame in frames:
                planes = av.VideoFrame.from_ndarray(frame, format="rgb24").to_ndarray(format="yuv420p")
                file.write(b"FRAME\n" + planes.tobytes())
        return self.folder / name

    @staticmethod
    def ffmpeg(*arguments: str | Path) -> bytes:
        """What ffmpeg writes to its standard output."""
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def source(self, name: str, *options: str, size: str = "48x32", rate: str = "25", frames: int = 3) -> Path:
        """A moving test pattern, encoded by ffmpeg's ``options``."""
        # At its own size testsrc2 is even and hardly moves.
        graph = f"testsrc2=s=320x180:r={rate},format=gbrp,scale={size.replace('x', ':')}"
        self.ffmpeg("-f", "lavfi", "-i", graph, "-frames:v", str(frames), *options, self.folder / name)
        return self.folder / name

    def remux(self, source: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> Path:
        """The same stream in another file, after ``options``, with ``before`` applied to the source."""
        self.ffmpeg(*before, "-i", source, "-c", "copy", *options, self.folder / name)
        return self.folder / name

    def ffmpeg_frames(self, path: Path, like: torch.Tensor, *options: str) -> torch.Tensor:
        """ffmpeg's own frames of a video, of the shape of ``like [T, 3, H, W]``."""
        raw = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        data = np.frombuffer(self.ffmpeg("-i", path, "-map", "0:V:0", *options, *raw), np.uint8)
        num_frames, channels, height, width = like.shape
        assert data.size == like.numel()
        return torch.from_numpy(data.reshape(num_frames, height, width, channels).copy()).permute(0, 3, 1, 2)

    @staticmethod
    def patch(path: Path, box: bytes, offset: int, values: bytes) -> None:
        """Overwrite bytes ``offset`` after the name of an MP4 box, for what PyAV has no way to write."""
        data = bytearray(path.read_bytes())
        position = data.index(box) + 4 + offset
        data[position : position + len(values)] = values
        path.write_bytes(data)

    def turn_clockwise(self, path: Path, height: int) -> None:
        one = 1 << 16
        self.patch(path, b"tkhd", 40, struct.pack(">9i", 0, one, 0, -one, 0, 0, height * one, 0, 1 << 30))

    @staticmethod
    def psnr_db(frames: torch.Tensor, pattern: np.ndarray) -> float:
        """PSNR between ``[T, 3, H, W]`` and ``[T, H, W, 3]``."""
        error = frames.permute(0, 2, 3, 1).double() - torch.from_numpy(pattern.copy()).double()
        return float(10 * torch.log10(255**2 / error.square().mean()))


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return Media(tmp_path)


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-bf", "2", "-pix_fmt", "yuv420p")


@pytest.fixture
def x264() -> tuple[str, ...]:
    """Options of ffmpeg for H.264 with frames out of order."""
    return X264
