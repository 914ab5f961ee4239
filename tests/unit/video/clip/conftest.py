"""Clips with sound as telephones make them, and what a file says when it is asked."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

CLOCK = 90_000  # ticks a second, a telephone's


def recorded_times(num_frames: int) -> list[Fraction]:
    """30 frames a second, of which every seventh was not recorded."""
    kept = [index for index in range(2 * num_frames) if index % 7 != 3][:num_frames]
    return [Fraction(index * CLOCK // 30, CLOCK) for index in kept]


@dataclass(frozen=True)
class Probe:
    """What libav finds in a file; times in seconds of the file's clock."""

    format: str
    frame_times: list[Fraction]
    frame_ends: list[Fraction]
    seconds: Fraction
    aspect: Fraction
    codec: str
    sound: list[tuple[Fraction, bytes]]


class Clips:
    """Makes and probes clips in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(
        self,
        name: str,
        num_frames: int = 40,
        *,
        times: Sequence[Fraction] | None = None,
        height: int = 32,
        width: int = 48,
        audio: str | None = "aac",
        rate: int = 44100,
        layout: str = "stereo",
        sound_from: Fraction = Fraction(0),
        sound_s: float | None = None,
        pixels: np.ndarray | None = None,
    ) -> Path:
        """Plain colours with a :meth:`sweep`; frames are at :func:`recorded_times` unless ``times`` are given."""
        times = recorded_times(num_frames) if times is None else times
        generator = np.random.default_rng(0)
        sound_s = float(times[-1]) if sound_s is None else sound_s
        with av.open(str(self.folder / name), "w") as container:
            video = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "20", "bf": "0"})
            video.height, video.width, video.pix_fmt = height, width, "yuv420p"
            video.codec_context.time_base = video.time_base = Fraction(1, CLOCK)
            packets = []
            if audio:
                stream = container.add_stream(audio, rate=rate, layout=layout)
                packets = self._sound(stream, rate, layout, sound_s, sound_from)
            for index, time in enumerate(times):
                level = generator.integers(0, 255, (1, 1, 3))
                values = pixels[index] if pixels is not None else np.broadcast_to(level, (height, width, 3))
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(values.astype(np.uint8)), format="rgb24")
                picture.pts, picture.time_base = int(time * CLOCK), Fraction(1, CLOCK)
                packets += video.encode(picture)
            packets += video.encode(None)
            for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
                container.mux(packet)
        return self.folder / name

    @staticmethod
    def sweep(time_s: np.ndarray) -> np.ndarray:
        """A tone that rises by 400 Hz a second: no two places sound alike."""
        return np.sin(2 * np.pi * (300 + 200 * time_s) * time_s) / 4

    @staticmethod
    def lag_ms(path: Path | io.BytesIO, offset_s: float = 0) -> float:
        """How much later than :meth:`sweep` from ``offset_s`` on a file sounds, with 0 where it should be.

        Measured against the first frame shown, where there is a picture; NaN if it sounds like something else.
        """
        zero = 0.0
        with av.open(path if isinstance(path, io.BytesIO) else str(path)) as container:
            if container.streams.video:
                zero = next(container.decode(video=0)).time
                container.seek(0)
            frames = list(container.decode(audio=0))
            rate, step = frames[0].sample_rate, 1 if frames[0].format.is_planar else frames[0].layout.nb_channels
            heard = np.concatenate([frame.to_ndarray()[0, ::step].astype(np.float64) for frame in frames])
            begin = frames[0].time - zero
        part = slice(len(heard) // 3, len(heard) // 3 + rate // 8)
        time_s = offset_s + begin + np.arange(len(heard))[part] / rate
        lags = np.arange(-rate // 20, rate // 20, 4)
        alike = [np.corrcoef(heard[part], Clips.sweep(time_s - lag / rate))[0, 1] for lag in lags]
        return float(1000 * lags[np.argmax(alike)] / rate) if max(alike) > 0.95 else float("nan")

    @staticmethod
    def _sound(stream, rate: int, layout: str, seconds: float, begin: Fraction) -> list[av.Packet]:
        """A :meth:`sweep` of ``seconds``, in the stream's codec."""
        samples = Clips.sweep(np.arange(round(seconds * rate)) / rate)
        planes = np.tile(samples, (av.AudioLayout(layout).nb_channels, 1)).astype(np.float32)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        packets: list[av.Packet] = []
        size = stream.codec_context.frame_size or 1024
        for start in range(0, planes.shape[1], size):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(planes[:, start : start + size]), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, start + round(begin * rate), Fraction(1, rate)
            for converted in resampler.resample(frame):
                packets += stream.encode(converted)
        return packets + stream.encode(None)

    @staticmethod
    def probe(path: Path) -> Probe:
        times, ends, sound = [], [], []
        with av.open(str(path)) as container:
            video, audio = container.streams.best("video"), container.streams.best("audio")
            for packet in container.demux():
                if packet.size and packet.stream is video:
                    times.append(packet.pts * packet.time_base)
                    ends.append((packet.pts + packet.duration) * packet.time_base)
                elif packet.size and packet.stream is audio:
                    sound.append((packet.pts * packet.time_base, bytes(packet)))
            return Probe(
                container.format.name,
                sorted(times),
                sorted(ends),
                Fraction(container.duration or 0, av.time_base),
                (video.sample_aspect_ratio or Fraction(1)) if video else Fraction(1),
                audio.codec_context.name if audio else "",
                sound,
            )


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    return Clips(tmp_path)
