"""Video files, decoded by PyAV (FFmpeg's libraries), frame by frame.

A file is read three times, the first two cheaply: all packets, undecoded, for their timestamps; the first frame for its
geometry; and the frames themselves. ``pictures.py`` says how they become RGB. Every frame comes once, in the order of
presentation; a variable frame rate is not resampled.

A file that ends before the frames that it announces, or in which a frame cannot be decoded, is refused, unless only
frames before that are wanted: libav takes a broken download for an ordinary end of file.
"""

import warnings
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path

import av
from av.codec.context import Flags

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video.clip import ClipReader, TimedFrame, ends_before
from vov_lightning.video.containers import coded_video, open_container, videos_of
from vov_lightning.video.cropping import container_crop
from vov_lightning.video.images import transparency_error
from vov_lightning.video.pictures import PictureConverter, display_matrix, turns_sides
from vov_lightning.video.timeline import Timeline, packets_of, read_timeline
from vov_lightning.video.timing import rate_of

# Containers in which every packet is one frame, but for codecs that have packets of hidden frames.
ONE_PACKET_A_FRAME = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "yuv4mpegpipe", "dv")
HIDDEN_FRAMES = ("vp8",)

# Of these two the second video is the alpha of the first.
AVIF = ("avif", "avis")

# VP8 and VP9 keep alpha in a second stream, which only these decoders return; libav's own drop it silently.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class VideoReader(ClipReader):
    """Frames of a video file.

    Args:
        path: An existing file.
        fps: Constant rate that replaces the file's times.

    Raises:
        SignalError: If the file is no video, is damaged at its beginning, or is of a kind that cannot be shown rightly.
    """

    def __init__(self, path: Path, fps: Fraction | None) -> None:
        self.path, self.name = path, path.stem
        with _open(path) as (container, stream):
            codec = stream.codec_context.name
            decoder = ALPHA_DECODERS.get(codec)
            if decoder and any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items()):
                raise transparency_error(path, f"{path.stem}_flat.mkv", f"-c:v {decoder} ")
            if container.metadata.get("major_brand") in AVIF and len(videos_of(container)) > 1:
                merge = '-filter_complex "[0:v:0][0:v:1]alphamerge,{}"'
                raise transparency_error(path, f"{path.stem}_flat.png", filters=merge)
            _warn_of_other_videos(path, container, stream)
            self._crop = container_crop(stream)
            self.has_sound = bool(container.streams.audio)
            self._time_base = stream.time_base or Fraction(1, 90000)
            self._packets_are_frames = container.format.name in ONE_PACKET_A_FRAME and codec not in HIDDEN_FRAMES
            stated = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
            self._packets = read_timeline(path, container, stream)
            self.sample_aspect_ratio = stream.sample_aspect_ratio or Fraction(1)
        first = next(self._good_frames(), None)
        if first is None:
            raise ends_before(path, 0, 0)
        if first.interlaced_frame and codec == "hevc":
            raise SignalError(
                f"{path} codes every field as a picture of its own; wanted whole frames, so join them first: "
                f"ffmpeg -i {path.name} -vf weave,bwdif -c:v ffv1 {path.stem}_whole.mkv"
            )
        _, height, width = PictureConverter(path, self._crop)(first).shape
        self._size = height, width
        if turns_sides(display_matrix(first) or (1, 0, 0, 1)):
            self.sample_aspect_ratio = 1 / self.sample_aspect_ratio
        last_duration = self._packets.last_duration
        rate, self.is_constant_rate = rate_of(self._packets.ticks or (), self._time_base, stated, last_duration)
        if not self._packets_are_frames and (first.interlaced_frame or not self.is_constant_rate):
            # A packet may hold a single field, or a frame that is not shown.
            rate, self.is_constant_rate = rate_of(self._decoded.ticks or (), self._time_base, stated, last_duration)
        last_s = last_duration * self._time_base
        if fps is not None:
            rate, self.is_constant_rate = fps, True
        elif rate is not None and last_s > 2 / rate:
            warnings.warn(
                f"{path} shows its last frame for {float(last_s):.2f} s, a .vov file for {float(1 / rate):.2f} s like "
                f"the others; to keep it, repeat it: ffmpeg -i {path.name} -vf fps={rate} {path.stem}_whole.mkv",
                SignalWarning,
                stacklevel=4,
            )
        if rate is None:
            raise SignalError(f"{path} states no frame rate; give it as fps=25 or --data.fps 25")
        self.fps = rate

    @property
    def size(self) -> tuple[int, int]:
        return self._size

    @property
    def num_frames(self) -> int:
        return self._timeline.num_held + self._timeline.num_lost

    @property
    def times(self) -> list[Fraction]:
        ticks = self._timeline.ticks
        if self.is_constant_rate or ticks is None:
            return super().times
        return [(tick - ticks[0]) * self._time_base for tick in ticks]

    @property
    def _timeline(self) -> Timeline:
        return self._packets if self._packets_are_frames else self._decoded

    @cached_property
    def _decoded(self) -> Timeline:
        """The timeline of what decoding gives."""
        ticks, num_held, is_damaged = array("q"), 0, False
        for frame in self._decode():
            if frame is None:
                is_damaged = True
                break
            num_held += 1
            if frame.pts is not None:
                ticks.append(frame.pts)
        is_timed = len(ticks) == num_held and all(a <= b for a, b in pairwise(ticks))
        num_lost = max(self._packets.num_lost, int(is_damaged))
        known = self._packets.ticks if len(self._packets.ticks or ()) == num_held else None
        return self._packets._replace(num_held=num_held, num_lost=num_lost, ticks=ticks if is_timed else known)

    def _frames(self, start: int, count: int | None) -> Iterator[TimedFrame]:
        stop = None if count is None else start + count
        if self._packets.num_lost and (stop is None or stop > self._packets.num_held):
            for _ in self._good_frames():  # raises at its end, before anyone has worked on the frames
                pass
        convert = PictureConverter(self.path, self._crop)
        ticks: Sequence[int] = () if self.is_constant_rate else self._timeline.ticks or ()
        for index, frame in enumerate(self._good_frames()):
            convert.follow(frame)
            if index >= start:
                time = index / self.fps
                if index < len(ticks):
                    time = (ticks[index] - ticks[0]) * self._time_base
                pixels = convert(frame)
                if pixels.shape[1:] != self._size:
                    raise SignalError(
                        f"{self.path} changes its picture size on the way, from {self.height}x{self.width} to "
                        f"{pixels.shape[1]}x{pixels.shape[2]} (height x width) at frame {index}; convert it to "
                        f"one size first: ffmpeg -i {self.path.name} {self.name}_copy.mp4"
                    )
                yield TimedFrame(pixels, time)
            if index + 1 == stop:
                return

    def _good_frames(self) -> Iterator[av.VideoFrame]:
        """Decoded frames in order of presentation; raises in place of the first that is damaged or missing."""
        num_good = 0
        for frame in self._decode():
            if frame is None:
                raise self._cut_short(num_good)
            yield frame
            num_good += 1
        if self._packets_are_frames and num_good < self._packets.num_held:
            raise self._cut_short(num_good)

    def _cut_short(self, num_good: int) -> SignalError:
        if num_good == 0:
            return _unreadable(self.path, "it is damaged from its first frames on")
        lost = "those after it are"
        if self._packets_are_frames or self._packets.num_lost:
            num_lost = max(self._packets.num_held + self._packets.num_lost - num_good, 1)
            lost = f"{num_lost} of the {num_good + num_lost} that it announces are"
        return SignalError(
            f"{self.path} is truncated or damaged: its first {num_good} frame(s) can be read, {lost} lost or damaged; "
            f"fetch it again, or read what is left with max_frames={num_good}"
        )

    def _decode(self) -> Iterator[av.VideoFrame | None]:
        """Frames in order of presentation; ``None`` stands for the first that is damaged or missing, and ends them."""
        index = 0
        with _open(self.path) as (container, stream):
            frames = _decode(container, stream, self._packets.num_sound_packets)
            try:
                for frame in frames:
                    if not self._belongs(frame, index):
                        yield None
                        return
                    yield frame
                    index += 1
            except av.FFmpegError:
                with suppress(av.FFmpegError):  # frames before the damage, which other threads were busy with
                    for frame in stream.codec_context.decode(None):
                        if not self._belongs(frame, index):
                            break
                        yield frame
                        index += 1
                yield None
                return
        if self._packets.num_lost:
            yield None

    def _belongs(self, frame: av.VideoFrame, index: int) -> bool:
        """Whether ``frame`` is sound and nothing is missing between the ``index`` frames before and it."""
        _, _, expected, _, _, safe_tick = self._packets
        if frame.is_corrupt or (safe_tick is not None and frame.pts is not None and frame.pts > safe_tick):
            return False
        return not (self._packets_are_frames and expected and _is_later(frame.pts, expected, index))


def _is_later(tick: int | None, expected: array, index: int) -> bool:
    """Whether a frame shown at ``tick`` is one that belongs after frame ``index``, so that frames between are missing.

    A decoder may give times of its own; those that no frame was announced for tell nothing.
    """
    if tick is None or index >= len(expected) or tick <= expected[index]:
        return False
    place = bisect_left(expected, tick)
    return place < len(expected) and expected[place] == tick


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, max_packets: int | None = None
) -> Iterator[av.VideoFrame]:
    for packet in islice(packets_of(container, stream), max_packets):
        yield from packet.decode()
    yield from stream.codec_context.decode(None)


def _warn_of_other_videos(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> None:
    others = len(videos_of(container)) - 1
    if others:
        warnings.warn(
            f"{path} holds {others + 1} videos; stream {stream.index} is read, the largest or the one marked as "
            f"default, not the others; to take out another: ffmpeg -i {path.name} -map 0:v:1 -c copy {path.stem}_1.mkv",
            SignalWarning,
            stacklevel=4,
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its video, ready to decode; libav's errors become ``SignalError``."""
    try:
        with open_container(path) as container:
            stream = coded_video(container)
            if stream is None:
                what = "sound and a cover picture, but no video" if container.streams.video else "no video stream"
                raise SignalError(f"{path} holds {what}; wanted a video, an image or a folder of frames")
            if stream.codec_context is None:
                raise SignalError(f"{path} uses a video codec that PyAV cannot decode; convert it to H.264 first")
            # Not by frames, where libav forgets now and then that a frame is damaged (measured: 10 times of 12).
            stream.thread_type = "SLICE"
            # Else the left edge of a cropping rectangle moves to a multiple of 32 or so, and the right one with it.
            stream.codec_context.flags |= Flags.unaligned
            yield container, stream
    except (av.FFmpegError, OSError) as cause:
        raise _unreadable(path, getattr(cause, "strerror", None) or cause) from cause


def _unreadable(path: Path, reason: object) -> SignalError:
    return SignalError(
        f"{path} cannot be read as a video ({reason}); wanted an undamaged video, an image or a folder of frames; "
        f"if a player shows it, convert it: ffmpeg -i {path.name} {path.stem}_copy.mp4"
    )
