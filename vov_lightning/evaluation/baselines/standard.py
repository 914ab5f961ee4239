"""x265, SVT-AV1 and VVenC at the size of a ``.vov`` file.

Each makes one closed group of pictures with one key frame at its start, no side information that a decoder could do
without (SEI, access unit delimiters, timing), on one thread so that the bytes repeat, in a slow preset. The quantiser
is searched until the size matches (``search.py``); the rest is the encoder's own default.
"""

import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from vov_lightning.evaluation.baselines.base import Baseline, Coded, Task, UnreachableError
from vov_lightning.evaluation.baselines.ffmpeg import Ffmpeg
from vov_lightning.evaluation.baselines.obu import TEMPORAL_DELIMITER, units
from vov_lightning.evaluation.baselines.search import match_size


class StandardCodec(Baseline):
    """An encoder in ffmpeg.

    Args:
        preset: The encoder's own name of how hard it tries.
        timeout_s: Longest time of one encoding or decoding.
    """

    muxer: ClassVar[str]
    """ffmpeg's name of the elementary stream, also the ending of its file."""
    num_settings: ClassVar[int]
    """Number of quantiser settings; setting 0 is the coarsest."""
    settings_per_octave: ClassVar[float]
    """About how many settings double the size."""

    def __init__(self, preset: str, timeout_s: float = 3600.0) -> None:
        self.preset, self.timeout_s = str(preset), timeout_s

    @property
    def about(self) -> str:
        return f"{self.description} Preset {self.preset}."

    @abstractmethod
    def encoder(self, setting: int, num_frames: int) -> list[str]:
        """ffmpeg's arguments for the encoder at a quantiser setting."""

    def counted(self, stream: bytes) -> int:
        """Bytes of ``stream`` that count."""
        return len(stream)

    def code(self, task: Task) -> Coded:
        frames = task.source.frames
        if frames.shape[2] % 2 or frames.shape[3] % 2:
            raise UnreachableError(
                f"{task.source!r} has an odd side, and 4:2:0 video needs even ones; compare at an even size"
            )
        with TemporaryDirectory() as folder:
            ffmpeg = Ffmpeg(Path(folder), self.timeout_s)
            source = ffmpeg.write_source(frames, task.source.fps)
            sizes, seconds = {}, {}

            def arguments(setting: int) -> list[str]:
                return [*source, *self.encoder(setting, len(frames)), "-f", self.muxer, self._file(setting)]

            def size_of(setting: int) -> int:
                start = time.perf_counter()
                ffmpeg.run(arguments(setting))
                seconds[setting] = time.perf_counter() - start
                sizes[setting] = self.counted((ffmpeg.folder / self._file(setting)).read_bytes())
                return sizes[setting]

            try:
                found = match_size(size_of, self.num_settings, task.num_bytes, self.settings_per_octave)
            except UnreachableError as error:
                raise UnreachableError(f"{self.label}: {error} ({ffmpeg.shown(arguments(0))})") from None
            start = time.perf_counter()
            decoded = ffmpeg.decode(self._file(found), tuple(frames.shape)).contiguous()
            decode_s = time.perf_counter() - start
        settings = f"{ffmpeg.shown(arguments(found))} (ffmpeg {ffmpeg.version})"
        return Coded(decoded, sizes[found], settings, seconds[found], decode_s)

    def _file(self, setting: int) -> str:
        return f"coded_{setting}.{self.muxer}"


class X265(StandardCodec):
    """HEVC; the Annex B stream counts whole."""

    key = "x265"
    label = "x265 (HEVC)"
    description = (
        "HEVC by libx265, 8-bit 4:2:0, one key frame, constant rate factor searched to the bytes; the "
        "Annex B stream counts, parameter sets included, without SEI, delimiters and timing."
    )
    muxer, num_settings, settings_per_octave = "hevc", 511, 60.0

    def __init__(self, preset: str = "veryslow", timeout_s: float = 3600.0) -> None:
        super().__init__(preset, timeout_s)

    def encoder(self, setting: int, num_frames: int) -> list[str]:
        """Constant rate factor 51 to 0 in tenths."""
        options = {
            "crf": f"{51 - setting / 10:.1f}",
            "keyint": -1,
            "scenecut": 0,
            "open-gop": 0,
            "repeat-headers": 1,
            "info": 0,  # a SEI of the encoder's settings, longer than a small clip
            "aud": 0,
            "vui-timing-info": 0,
            "pools": "none",
            "frame-threads": 1,
            "wpp": 0,
            "log-level": "error",
        }
        return ["-c:v", "libx265", "-preset", self.preset, "-x265-params", _joined(options), "-bitexact"]


class SvtAv1(StandardCodec):
    """AV1; temporal delimiters do not count. They are two bytes a shown frame that say nothing: one stands at the start
    and one after each shown frame but the last, so a decoder can put them back, and containers leave them out."""

    key = "svtav1"
    label = "SVT-AV1"
    description = (
        "AV1 by SVT-AV1, 8-bit 4:2:0, one key frame, constant rate factor searched to the bytes; the "
        "low-overhead stream counts, sequence header included, without temporal delimiters."
    )
    muxer, num_settings, settings_per_octave = "obu", 281, 40.0

    def __init__(self, preset: str = "0", timeout_s: float = 3600.0) -> None:
        super().__init__(preset, timeout_s)

    def encoder(self, setting: int, num_frames: int) -> list[str]:
        """Constant rate factor 70 to 0 in quarters; ffmpeg's own option ends at 63."""
        options = {"crf": f"{70 - setting / 4:.2f}", "keyint": -1, "lp": 1}
        if num_frames == 1:
            options["avif"] = 1  # a still picture has a shorter header
        return ["-c:v", "libsvtav1", "-preset", self.preset, "-svtav1-params", _joined(options), "-bitexact"]

    def counted(self, stream: bytes) -> int:
        return sum(size for kind, size in units(stream) if kind != TEMPORAL_DELIMITER)


class VVenC(StandardCodec):
    """VVC by VVenC, which is not the reference software VTM; the Annex B stream counts whole."""

    key = "vvenc"
    label = "VVenC (VVC)"
    description = (
        "VVC by VVenC (not VTM), 4:2:0 of 8 bits coded internally with 10 as is its default, perceptual "
        "adaptation off, one key frame, quantiser searched to the bytes; the Annex B stream counts, parameter sets "
        "included, without SEI and delimiters."
    )
    muxer, num_settings, settings_per_octave = "vvc", 64, 6.0

    def __init__(self, preset: str = "slow", timeout_s: float = 3600.0) -> None:
        super().__init__(preset, timeout_s)

    def encoder(self, setting: int, num_frames: int) -> list[str]:
        """Quantisation parameter 63 to 0; groups of 16 pictures where no more follow, whose headers are shorter."""
        options = {
            "gopsize": 16 if num_frames <= 17 else 32,
            "intraperiod": -1,
            "refreshsec": 0,
            "accessunitdelimiter": 0,
            "threads": 1,
        }
        quantiser = ["-qp", str(63 - setting), "-qpa", "0", "-vvenc-params", _joined(options)]
        return ["-pix_fmt", "yuv420p10le", "-c:v", "libvvenc", "-preset", self.preset, *quantiser, "-bitexact"]


def _joined(options: Mapping[str, object]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())
