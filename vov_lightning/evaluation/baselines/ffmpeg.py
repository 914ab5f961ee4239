"""The ffmpeg binary that `imageio-ffmpeg` brings, so that everyone's encoders are the same.

Clips reach encoders as 8-bit 4:2:0, BT.709 in limited range, as in every published comparison; chroma at half the
resolution costs small frames: the round trip alone of a 64 x 64 clip is some 42 dB. Both conversions are swscale's,
with exact rounding, and only here, so they are the same for every codec.
"""

import os
import shlex
import subprocess
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vov_lightning.evaluation.baselines.base import BaselineError

SOURCE = "source.yuv"
_EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
TO_YUV = f"scale=out_color_matrix=bt709:out_range=tv:{_EXACT}"
TO_RGB = f"scale=in_color_matrix=bt709:in_range=tv:out_range=pc:{_EXACT}"


class Ffmpeg:
    """Runs ffmpeg in a folder, on file names relative to it.

    Args:
        folder: Where files lie; the caller's to remove.
        timeout_s: Longest time of one run.

    Raises:
        BaselineError: If there is no binary.
    """

    def __init__(self, folder: Path, timeout_s: float) -> None:
        self.folder, self.timeout_s = folder, timeout_s
        try:
            import imageio_ffmpeg

            self.binary, self.version = imageio_ffmpeg.get_ffmpeg_exe(), imageio_ffmpeg.get_ffmpeg_version()
        except ImportError:
            raise BaselineError(
                "no ffmpeg: standard codecs run in the binary of imageio-ffmpeg, which is not installed; "
                'run pip install "vov_lightning[eval]", or leave these baselines out'
            ) from None
        except (RuntimeError, OSError, subprocess.SubprocessError) as cause:
            raise BaselineError(
                f"no ffmpeg: imageio-ffmpeg has no working binary ({cause}); reinstall it with pip on a platform for "
                "which it has a wheel, or name a binary in IMAGEIO_FFMPEG_EXE"
            ) from None

    def run(self, arguments: list[str], data: bytes | None = None) -> bytes:
        """Standard output of ffmpeg.

        Raises:
            BaselineError: If it fails or takes too long; with the end of what it said.
        """
        command = [self.binary, "-v", "error", "-y", *([] if data is not None else ["-nostdin"]), *arguments]
        shown = self.shown(arguments)
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                input=data,
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
                env={**os.environ, "SVT_LOG": "1"},  # SVT-AV1 ignores -v
            )
        except subprocess.TimeoutExpired:
            raise BaselineError(
                f"timeout_s={self.timeout_s:g} passed before this ended; raise it or use a faster preset: {shown}"
            ) from None
        if done.returncode:
            said = " | ".join(done.stderr.decode(errors="replace").strip().splitlines()[-4:])
            raise BaselineError(
                f"ffmpeg failed with status {done.returncode}: {said[-600:]}; the command was {shown}; if this binary "
                "lacks the encoder, name one that has it in IMAGEIO_FFMPEG_EXE"
            )
        return done.stdout

    def shown(self, arguments: list[str]) -> str:
        """The command as one would type it in the folder."""
        return shlex.join(["ffmpeg", *arguments])

    def write_source(self, frames: Tensor, fps: Fraction) -> list[str]:
        """Arguments that read ``frames`` [T, 3, H, W] uint8, which are written into the folder as 4:2:0."""
        size = f"{frames.shape[3]}x{frames.shape[2]}"
        pixels = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy().tobytes()
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", "-"]
        self.run([*given, "-vf", TO_YUV, "-f", "rawvideo", "-pix_fmt", "yuv420p", SOURCE], pixels)
        return ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", str(fps), "-i", SOURCE]

    def decode(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Frames ``shape`` = [T, 3, H, W] uint8 of the stream ``name``: every decoded one, whatever its timestamp.

        Raises:
            BaselineError: If it holds more or fewer frames.
        """
        num_frames, _, height, width = shape
        output = ["-vf", TO_RGB, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        pixels = self.run(["-threads", "1", "-i", name, *output])
        if len(pixels) != num_frames * height * width * 3:
            raise BaselineError(
                f"{name} decodes to {len(pixels) / (height * width * 3):g} frames of {height}x{width}, and {num_frames}"
                " went in; figures would compare the wrong frames, so this baseline is left out"
            )
        return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(-1, height, width, 3).permute(0, 3, 1, 2)
