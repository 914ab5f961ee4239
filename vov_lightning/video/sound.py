"""The sound of a clip as bytes that travel with it: a small Matroska file of one track (``matroska.py``).

Sound is never judged, only carried: its packets are copied, or encoded again as Opus where the source's are too many
bits. Time 0 is the first frame of the clip. Sound that begins later keeps its place. What sounds before is left out
with a warning; what a decoder needs from before time 0 stays in the file, marked as not to be played.
"""

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video.containers import coded_video, open_container
from vov_lightning.video.images import IMAGE_ENDINGS
from vov_lightning.video.matroska import SoundTrack, read_track, write_track

SoundMode = Literal["copy", "opus", "none"]

OPUS_RATE = 48000
MIN_BITRATE, MAX_BITRATE = 6000, 256000  # what libopus takes of one channel (RFC 6716, section 2.1.1)
# How much a decoder hears before it is right: 80 ms of Opus (RFC 7845, section 4.6), one packet of anything else.
OPUS_PRE_ROLL = Fraction(80, 1000)
PROBED_PACKETS = 10  # that a decoder plays: a file that was cut begins with some that it leaves out
NOTICED = Fraction(1, 10)
"""Seconds of sound that are missed; encoders begin a packet or two early."""
BIT_EXACT = {"fflags": "+bitexact"}  # no random numbers, no version of libav
ENCRYPTED = ("enca", "drms")  # what MP4 calls sound under DRM


@dataclass(frozen=True)
class _Window:
    """The part of a file's sound that belongs to the clip, in the file's own clock."""

    start: Fraction
    stop: Fraction | None

    def holds(self, begin: Fraction, end: Fraction) -> bool:
        return end > self.start and (self.stop is None or begin < self.stop)


def extract_sound(
    path: str | os.PathLike[str],
    mode: SoundMode,
    start: Fraction = Fraction(0),
    duration: Fraction | None = None,
    *,
    bitrate: int = 32000,
) -> bytes:
    """The sound of a video file, or no bytes where it has none (as images and folders have none).

    Of several audio streams the best is taken, as FFmpeg chooses it.

    Args:
        path: The source.
        mode: ``copy`` keeps the packets bit for bit, ``opus`` encodes them again, ``none`` leaves the sound out.
        start: Where the clip begins, in seconds after the first frame that the source shows.
        duration: Seconds of the clip; ``None`` takes the sound to its end, even where that is after the last frame.
        bitrate: Bits per second of Opus; mono stays mono, everything else becomes stereo.

    Returns:
        A Matroska file whose time 0 is ``start``. Copied packets that overlap the clip are kept whole.

    Raises:
        SignalError: If the sound cannot be copied or decoded; the message says what to do instead.
    """
    if mode not in get_args(SoundMode):
        raise SignalError(f"audio={mode!r} is unknown; use --data.audio {', '.join(get_args(SoundMode))}")
    if mode == "opus" and not MIN_BITRATE <= bitrate <= MAX_BITRATE:
        raise SignalError(f"bitrate={bitrate} of Opus; wanted {MIN_BITRATE} to {MAX_BITRATE} bits per second")
    path = Path(path)
    if mode == "none" or path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS:
        return b""
    try:
        with open_container(path) as container:
            stream = container.streams.best("audio")
            if stream is None:
                return b""
            begin = _first_frame_time(path) + start
            if start == 0:
                _warn_of_earlier_sound(path, stream, begin)
            window = _Window(begin, None if duration is None else begin + duration)
            if mode == "copy":
                track = _copied(container, stream, window, path)
            else:
                track = _encoded(container, stream, window, path, bitrate)
    except (av.FFmpegError, OSError, ValueError) as cause:
        if isinstance(cause, SignalError):
            raise
        raise _unusable(path, mode, getattr(cause, "strerror", None) or str(cause)) from cause
    return b"" if track is None else write_track(track)


def cut_sound(sound: bytes, start: Fraction, stop: Fraction) -> bytes:
    """The part of ``sound`` between two times in seconds; time 0 of the result is ``start``.

    Packets stay as they are, so the end may be up to one packet late; what the decoder needs from before ``start`` is
    kept and not played. No bytes if nothing sounds there.

    Raises:
        SignalError: If the bytes are no sound, or ``stop`` is not after ``start``.
    """
    if stop <= start:
        raise SignalError(f"sound from {float(start):g} s to {float(stop):g} s is empty; wanted an end after the start")
    if not sound:
        return b""
    track = read_track(sound)
    packets = _packets_in(list(track.packets), track.packet_duration, _Window(start, stop), track.codec == "A_OPUS")
    return write_track(replace(track, packets=packets)) if packets else b""


def describe_sound(sound: bytes) -> str:
    """Codec, sampling rate, channels, length and rate, such as ``aac, 44100 Hz, stereo, 10.02 s, 64 kbit/s``.

    Raises:
        SignalError: If the bytes are no sound.
    """
    if not sound:
        return "no sound"
    track = read_track(sound)
    with open_sound(sound) as container:
        context = container.streams.audio[0].codec_context
        name, layout = (context.name, context.layout.name) if context else (track.codec, "unknown channels")
    length = track.end - max(track.packets[0][0], Fraction(0))
    rate = f", {float(8 * track.num_bytes / length) / 1000:.0f} kbit/s" if length > 0 else ""
    return f"{name}, {track.sample_rate} Hz, {layout}, {float(length):.2f} s{rate}"


def open_sound(sound: bytes) -> av.container.InputContainer:
    """libav's view of the bytes, for the stream that a muxer takes as its template."""
    try:
        container = av.open(io.BytesIO(sound), "r", metadata_errors="replace")
    except (av.FFmpegError, ValueError) as cause:  # ValueError: a codec's name that is no text
        raise SignalError(f"sound of {len(sound)} bytes is damaged ({cause}); wanted a Matroska file") from cause
    if not container.streams.audio:
        container.close()
        raise SignalError(f"sound of {len(sound)} bytes is damaged (it holds no track of sound)")
    return container


def _first_frame_time(path: Path) -> Fraction:
    """When the file shows its first frame, in its own clock; 0 where it shows none."""
    with open_container(path) as container:
        video = coded_video(container)
        if video is None or video.codec_context is None:
            return Fraction(0)
        frame = next(container.decode(video), None)
        return Fraction(0) if frame is None or frame.pts is None else frame.pts * frame.time_base


def _copied(
    container: av.container.InputContainer, stream: av.AudioStream, window: _Window, path: Path
) -> SoundTrack | None:
    duration = _packet_duration(path)
    packets: list[tuple[Fraction, bytes]] = []
    for packet in container.demux(stream):
        ticks = packet.dts if packet.pts is None else packet.pts
        if packet.size == 0:
            continue
        if packet.is_corrupt:
            raise _unusable(path, "copy", "it is broken")
        time = packets[-1][0] + duration if ticks is None and packets else (ticks or 0) * packet.time_base
        if window.stop is not None and time >= window.stop:
            break
        if time > window.start - 1:  # a second covers every codec's packets before the one that sounds first
            packets.append((time, bytes(packet)))
    opus = stream.codec_context is not None and stream.codec_context.name in ("opus", "libopus")
    kept = _packets_in(packets, duration, window, opus)
    if not kept:
        return None
    return _with_times(_muxed(stream, [data for _, data in kept]), [time for time, _ in kept], duration)


def _warn_of_earlier_sound(path: Path, stream: av.AudioStream, begin: Fraction) -> None:
    """Say what a viewer of the source hears before its first picture, at ``begin``."""
    lost = begin - (stream.start_time or 0) * (stream.time_base or 0)
    if stream.start_time is not None and lost > NOTICED:
        warnings.warn(
            f"{path} sounds for {float(lost):.2f} s before its first picture, which is left out; to keep it, show that "
            f"picture from the beginning: ffmpeg -i {path.name} -vf fps=source_fps:start_time=0 {path.stem}_whole.mkv",
            SignalWarning,
            stacklevel=2,
        )


def _packet_duration(path: Path) -> Fraction:
    """Seconds of sound in a packet, 0 if they differ; refuses sound that no decoder can read."""
    lengths: Counter[Fraction] = Counter()
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream.codec_context is None:  # a codec unknown here: copied unseen
            return Fraction(0)
        if _is_encrypted(stream):
            raise _unusable(path, "copy", "it is encrypted", decodable=False)
        failure = "it holds no packets"
        for packet in container.demux(stream):
            if sum(lengths.values()) == PROBED_PACKETS:
                break
            try:
                frames = packet.decode()
            except av.FFmpegError as cause:
                failure = f"it cannot be decoded: {cause.strerror}"
                continue
            if frames and packet.size:
                lengths[sum((Fraction(frame.samples, frame.sample_rate) for frame in frames), Fraction(0))] += 1
    if not lengths:
        raise _unusable(path, "copy", failure, decodable=False)
    # The first packet may be shortened, where the file says that its beginning is not to be played.
    duration, count = lengths.most_common(1)[0]
    return duration if count >= sum(lengths.values()) - 1 else Fraction(0)


def _packets_in(
    packets: list[tuple[Fraction, bytes]], duration: Fraction, window: _Window, opus: bool
) -> tuple[tuple[Fraction, bytes], ...]:
    """Packets that sound in the window and those that a decoder needs before them; time 0 is the window's start."""
    ends = [time + duration for time, _ in packets]
    if not duration:  # a packet lasts until the next
        ends = [time for time, _ in packets[1:]] + [packets[-1][0] + 1] if packets else []
    inside = [index for index, (time, _) in enumerate(packets) if window.holds(time, ends[index])]
    if not inside:
        return ()
    first = max(0, inside[0] - 1)
    while opus and first > 0 and packets[first][0] > window.start - OPUS_PRE_ROLL:
        first -= 1
    return tuple((time - window.start, data) for time, data in packets[first : inside[-1] + 1])


def _encoded(
    container: av.container.InputContainer, stream: av.AudioStream, window: _Window, path: Path, bitrate: int
) -> SoundTrack | None:
    if stream.codec_context is None:
        raise _unusable(path, "opus", "PyAV has no decoder for it")
    layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
    begin: Fraction | None = None
    written = 0
    times: list[Fraction] = []
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options=BIT_EXACT) as sink:
        encoder = sink.add_stream("libopus", rate=OPUS_RATE, layout=layout, options={"b": str(bitrate)})

        def mux(packets: list[av.Packet]) -> None:
            times.extend(Fraction(packet.pts or 0, OPUS_RATE) for packet in packets)
            sink.mux(packets)

        for time, samples in _samples_in(container, stream, layout, window):
            begin = time if begin is None else begin
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = OPUS_RATE, written, Fraction(1, OPUS_RATE)
            written += frame.samples
            mux(encoder.encode(frame))
        if begin is None:
            return None
        mux(encoder.encode(None))
    shift = begin - window.start
    return _with_times(read_track(file.getvalue()), [time + shift for time in times], Fraction(960, OPUS_RATE))


def _samples_in(
    container: av.container.InputContainer, stream: av.AudioStream, layout: str, window: _Window
) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Time and values ``[1, samples * channels]`` at 48 kHz, without gaps: missing sound becomes silence."""
    resampler = av.AudioResampler(format="flt", layout=layout, rate=OPUS_RATE)
    channels = 1 if layout == "mono" else 2
    first = round(window.start * OPUS_RATE)
    stop = None if window.stop is None else round(window.stop * OPUS_RATE)
    position: int | None = None  # of the next sample to give, in the file's clock
    end: int | None = None  # of the frame before
    for frame in _decoded_frames(container, stream, resampler):
        values = frame.to_ndarray().reshape(-1, channels)
        begin = end or 0
        if frame.pts is not None and frame.time_base:
            begin = round(frame.pts * frame.time_base * OPUS_RATE)
        if end is not None and abs(begin - end) <= OPUS_RATE // 50:  # rounded times are no gap
            begin = end
        end = begin + len(values)
        if position is None:
            position = max(begin, first)
        if begin > position:
            silence = np.zeros((begin - position, channels), values.dtype)
            values, begin = np.concatenate([silence, values]), position
        values = values[position - begin :]
        if stop is not None:
            values = values[: max(0, stop - position)]
        if len(values):
            yield Fraction(position, OPUS_RATE), values.reshape(1, -1)
            position += len(values)
        if position == stop:
            return


def _decoded_frames(
    container: av.container.InputContainer, stream: av.AudioStream, resampler: av.AudioResampler
) -> Iterator[av.AudioFrame]:
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _muxed(template: av.AudioStream, packets: Iterable[bytes]) -> SoundTrack:
    """What libav's Matroska makes of the packets; their times are not the right ones."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options=BIT_EXACT) as sink:
        stream = sink.add_stream_from_template(template)
        for index, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = index
            sink.mux(packet)
    return read_track(file.getvalue())


def _with_times(track: SoundTrack, times: Sequence[Fraction], duration: Fraction) -> SoundTrack:
    """``track`` as libav's muxer made it, with the right times: that muxer rounds them and allows none below 0."""
    if len(track.packets) != len(times):
        raise ValueError(f"Matroska took {len(track.packets)} of its {len(times)} packets")
    timed = tuple((time, data) for time, (_, data) in zip(times, track.packets, strict=True))
    return replace(track, packets=timed, packet_duration=duration)


def _is_encrypted(stream: av.AudioStream) -> bool:
    try:
        return stream.codec_context.codec_tag in ENCRYPTED
    except UnicodeDecodeError:  # a number and no name, as in AVI and WAV
        return False


def _unusable(path: Path, mode: SoundMode, reason: str, *, decodable: bool = True) -> SignalError:
    verb = "copied" if mode == "copy" else "encoded as Opus"
    remedy = "opus, or none to go on without it" if mode == "copy" and decodable else "none to go on without it"
    return SignalError(f"sound of {path} cannot be {verb} ({reason}); use --data.audio {remedy}")
