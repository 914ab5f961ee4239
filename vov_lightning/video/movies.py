"""Frames and sound into an ``.mp4`` or ``.mkv``, frame by frame, in memory that does not grow with the clip.

The picture is H.264 in the flavour that every player and browser plays (8 bits, 4:2:0, BT.709 in limited range and
tagged so); sound goes in as it is. An ``.mp4`` keeps each frame's time exactly, an ``.mkv`` to half a millisecond (its
clock). Clips of variable rate are written without B-frames, so that the file states each frame's length itself.
"""

import contextlib
import io
import math
import os
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.video.matroska import read_track
from vov_lightning.video.sound import describe_sound, open_sound

FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
BT709 = 1  # the number of BT.709 in all three of H.264's colour fields (ITU-T H.273, tables 2 to 4)
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
MAX_CLOCK = 2**31 - 1  # ticks a second, in libav and MP4


class MovieWriter:
    """Encodes frames as they come.

    Args:
        path: File to write; its ending is ``.mp4`` or ``.mkv``.
        height: Height of the frames; even, or the file is 4:4:4 (which MP4 players do not take).
        width: Width of the frames.
        fps: Frames per second; for a variable rate the average.
        times: When each frame begins, in seconds, or ``None`` for a constant rate.
        end: When the last frame ends; with ``times`` only.
        sample_aspect_ratio: Width of a pixel divided by its height.
        sound: Matroska file of the sound, or no bytes.
        crf: H.264 quality, 0 (best) to 51.

    Raises:
        av.FFmpegError, ValueError: If libx264 is missing, the disk is full, ...
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        fps: Fraction,
        *,
        times: Sequence[Fraction] | None,
        end: Fraction | None,
        sample_aspect_ratio: Fraction,
        sound: bytes,
        crf: int,
    ) -> None:
        self._sound = _SoundQueue(sound) if sound else None
        self._num_written = 0
        self._time_base = 1 / fps if times is None else _common_clock([*times, *([end] if end else [])])
        self._ticks = None if times is None else [round(time / self._time_base) for time in times]
        self._end_ticks = None if end is None else round(end / self._time_base)
        self._tick_of_frame = max(1, round(1 / fps / self._time_base))
        self._durations: dict[int, int] = {}  # of frames inside the encoder, by their time
        self._pixels = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        ending = path.suffix.lower()
        options = {"movflags": "+faststart", "movie_timescale": str(_fine(self._time_base.denominator))}
        self._container = av.open(str(path), "w", format=FORMATS[ending], options=options if ending == ".mp4" else {})
        encoding = {"crf": str(crf), **({} if times is None else {"bf": "0"})}
        stream = self._container.add_stream("libx264", rate=fps, options=encoding)
        stream.height, stream.width, stream.pix_fmt = height, width, self._pixels
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE
        codec.sample_aspect_ratio = stream.sample_aspect_ratio = sample_aspect_ratio
        codec.time_base = stream.time_base = self._time_base
        self._stream = stream
        if self._sound:
            self._sound.join(self._container)

    def write(self, frame: Tensor) -> None:
        """Encode one frame ``[3, H, W]`` uint8."""
        # [3, H, W] -> [H, W, 3]
        picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().cpu().numpy(), format="rgb24")
        picture = picture.reformat(format=self._pixels, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
        picture.pts, picture.time_base = self._begin(self._num_written), self._time_base
        self._durations[picture.pts] = self._begin(self._num_written + 1) - picture.pts
        self._num_written += 1
        self._mux(self._stream.encode(picture))

    def close(self) -> None:
        """Encode what is left and complete the file."""
        self._mux(self._stream.encode(None))
        if self._sound:
            self._container.mux(self._sound.packets_until(None))
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file, which is to be thrown away."""
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    def _begin(self, index: int) -> int:
        """Tick at which a frame begins; for the one after the last, at which the clip ends."""
        if self._ticks is None:
            return index
        if index < len(self._ticks):
            return self._ticks[index]
        return self._ticks[-1] + self._tick_of_frame if self._end_ticks is None else self._end_ticks

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            begin = packet.pts or 0
            packet.duration = self._durations.pop(begin)
            if self._sound:
                self._container.mux(self._sound.packets_until(begin * self._time_base))
            self._container.mux(packet)


def check_takes_sound(path: str | os.PathLike[str], sound: bytes) -> None:
    """Raise if a file with the ending of ``path`` cannot hold the codec of ``sound``.

    Raises:
        SignalError: With the ending that takes it.
    """
    ending = Path(path).suffix.lower()
    if not sound or ending not in FORMATS:
        return
    try:
        with av.open(io.BytesIO(), "w", format=FORMATS[ending]) as container:
            queue = _SoundQueue(sound)
            queue.join(container)
            container.mux(queue.packets_until(None)[:1])  # some formats refuse only at the end of a file with packets
    except (av.FFmpegError, ValueError) as cause:
        if isinstance(cause, SignalError):
            raise
        raise SignalError(
            f"{path} cannot hold this sound ({describe_sound(sound)}) in an {ending}; write "
            f"{Path(path).with_suffix('.mkv').name}, which takes any sound"
        ) from cause


class _SoundQueue:
    """Packets of sound that wait for the picture to reach their time: players read both side by side."""

    def __init__(self, sound: bytes) -> None:
        track = read_track(sound)
        # libav undoes what Matroska does to some codecs' packets; their exact times only read_track knows.
        with open_sound(sound) as source:
            data = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
        if len(data) != len(track.packets):
            raise SignalError(f"sound of {len(sound)} bytes is damaged ({len(data)} of {len(track.packets)} packets)")
        self._timed = deque((time, packet) for (time, _), packet in zip(track.packets, data, strict=True))
        self._sound, self._rate = sound, track.sample_rate
        self._duration = round(track.packet_duration * track.sample_rate)
        self._last_ticks: int | None = None
        self._stream: av.AudioStream | None = None

    def join(self, container: av.container.OutputContainer) -> None:
        """Add the stream to the file."""
        with open_sound(self._sound) as source:
            self._stream = container.add_stream_from_template(source.streams.audio[0])

    def packets_until(self, time: Fraction | None) -> list[av.Packet]:
        """Packets that begin before ``time`` seconds and were not given yet; all that are left for ``None``."""
        packets = []
        while self._timed and (time is None or self._timed[0][0] < time):
            begin, data = self._timed.popleft()
            packet = av.Packet(data)
            ticks = round(begin * self._rate)
            if self._last_ticks is not None:  # times of packets that differ are rounded and may coincide
                ticks = max(ticks, self._last_ticks + 1)
            packet.time_base, packet.is_keyframe = Fraction(1, self._rate), True
            if self._stream is not None:
                packet.stream = self._stream
            packet.pts = packet.dts = self._last_ticks = ticks
            packet.duration = self._duration
            packets.append(packet)
        return packets


def _common_clock(times: Sequence[Fraction]) -> Fraction:
    """The tick that all times are multiples of; a microsecond where that would be too fine for a file."""
    ticks = math.lcm(*(time.denominator for time in times))
    return Fraction(1, ticks if ticks <= MAX_CLOCK else 1_000_000)


def _fine(clock: int) -> int:
    """A multiple of ``clock`` of at least 10,000 a second, as libav chooses for the picture's own clock.

    An ``.mp4`` states its whole length in this clock; in the usual milliseconds the last frame would lose some.
    """
    while clock < 10_000:
        clock *= 2
    return clock
