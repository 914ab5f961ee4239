"""Video files to RGB bytes: decord where it can be trusted, PyAV for everything else.

decord seeks to the wanted frames and decodes on several threads, but it has no wheels for some machines, silently
repeats frames where a container hides some (edit lists, MPEG-TS), returns nothing for rotated video and truncates
10-bit samples. So PyAV looks at the file first, and decord decodes what both were found to decode alike: 8-bit,
opaque, upright, in one of ``DECORD_CONTAINERS``. PyAV decodes the rest, and all where decord is missing. On x86 the
two agree bit for bit (``tests/unit/video/test_read.py``).

What comes out:

- Colour: the matrix (BT.601, BT.709, BT.2020) and range that the stream states, and where it states none BT.601 and
  limited range at every size, as FFmpeg does. HDR is not tone-mapped. 4:2:0 takes swscale's fast conversion, the only
  one that decord offers: measured on a smooth pattern, one grey level darker and 36 dB where an exact one has 40.
- Depth: more than 8 bits are converted to 8.
- Timing: every frame once, in the order of presentation. Variable frame rate is not resampled: the signal's rate is
  the average rate that the file states.
- Geometry: rotation by multiples of 90 degrees is applied; pixels are taken to be square.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.video.images import transparency_error

DECORD_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")

# VP8 and VP9 keep alpha in a second stream, which only these decoders return; libav's own drop it silently.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def read_video(path: Path, start: int, max_frames: int | None) -> tuple[Tensor, Fraction | None]:
    """Frames ``[T, 3, H, W]`` uint8 and the average frame rate (``None`` where the file states none).

    Args:
        path: An existing file.
        start: First frame to return, counted in order of presentation from 0.
        max_frames: How many frames to return at most; all that follow if ``None``.

    Raises:
        SignalError: If the file is no video, is damaged, has transparent pixels, or ends before ``start``.
    """
    try:
        fps = _frame_rate(path)
        frames = _decode_with_decord(path, start, max_frames)
        if frames is None:
            frames = _decode_with_pyav(path, start, max_frames)
    except (av.FFmpegError, OSError) as cause:
        reason = getattr(cause, "strerror", None) or cause
        raise SignalError(
            f"{path} cannot be read as a video ({reason}); wanted an undamaged video, an image or a folder of frames; "
            f"if a player shows it, convert it: ffmpeg -i {path.name} {path.stem}_copy.mp4"
        ) from cause
    # [T, H, W, 3] -> [T, 3, H, W]
    return frames.permute(0, 3, 1, 2).contiguous(), fps


def _frame_rate(path: Path) -> Fraction | None:
    """Average frame rate that the file states; refuses files whose alpha no decoder here would show."""
    with _open(path) as (_, stream):
        decoder = ALPHA_DECODERS.get(stream.codec_context.name)
        if decoder and any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items()):
            raise transparency_error(path, f"{path.stem}_flat.mkv", f"-c:v {decoder} ")
        return stream.average_rate or stream.guessed_rate


def _decode_with_decord(path: Path, start: int, max_frames: int | None) -> Tensor | None:
    """Frames ``[T, H, W, 3]``, or ``None`` where decord is missing or cannot be trusted with this file."""
    try:
        import decord
    except (ImportError, OSError):  # OSError: installed, but its library does not load
        return None
    num_frames = _count_if_plain(path)
    if num_frames is None:
        return None
    decord.logging.set_level(decord.logging.QUIET)
    try:
        # fault_tol: refuse frames that decord "recovered" by repeating a neighbour.
        reader = decord.VideoReader(str(path.absolute()), num_threads=0, fault_tol=1e-9)
        if len(reader) != num_frames:
            return None
        stop = num_frames if max_frames is None else min(num_frames, start + max_frames)
        if start >= stop:
            raise ends_before(path, start, num_frames)
        with decord.bridge.use_torch():
            return reader.get_batch(range(start, stop))
    except SignalError:
        raise
    except Exception:  # decord raises bare RuntimeError, AssertionError and classes of its own; PyAV tries next
        return None


def _count_if_plain(path: Path) -> int | None:
    """Number of frames if decord gets every one of them right, else ``None``; reads the file, decodes one frame."""
    with _open(path) as (container, stream):
        if container.format.name not in DECORD_CONTAINERS or not _is_plain(stream.codec_context.format):
            return None
        first = next(container.decode(stream), None)
        if first is None or first.rotation:
            return None
    with _open(path) as (container, stream):
        num_frames = end_ticks = 0
        for packet in container.demux(stream):
            if packet.is_discard:
                return None
            num_frames += packet.size > 0
            end_ticks = max(end_ticks, _end_ticks(packet))
        return None if _is_cut_short(container, stream, end_ticks) else num_frames


def _is_plain(pixel_format: av.VideoFormat | None) -> bool:
    """Whether pixels are YUV of 8 bits without alpha; ``None`` stands for a stream in which no picture was found."""
    return (
        pixel_format is not None
        and pixel_format.name.startswith("yuv")
        and all(component.bits == 8 and not component.is_alpha for component in pixel_format.components)
    )


def _decode_with_pyav(path: Path, start: int, max_frames: int | None) -> Tensor:
    """Frames ``[T, H, W, 3]``; decodes from the beginning, and stops after the last frame that is wanted."""
    pictures: list[Tensor] = []
    num_seen = end_ticks = 0
    with _open(path) as (container, stream):
        for packet in container.demux(stream):
            end_ticks = max(end_ticks, _end_ticks(packet))
            for frame in packet.decode():
                num_seen += 1
                if start < num_seen and len(pictures) != max_frames:
                    pictures.append(_picture(frame, path))
            if len(pictures) == max_frames:
                break
        else:
            if num_seen and _is_cut_short(container, stream, end_ticks):
                raise SignalError(
                    f"{path} announces more than the {num_seen} frame(s) that it holds; it is truncated or damaged, so "
                    f"fetch it again, or read what is left with max_frames={num_seen}"
                )
    if not pictures:
        raise ends_before(path, start, num_seen)
    if len({picture.shape for picture in pictures}) > 1:
        raise SignalError(f"{path} changes its picture size on the way; convert it to one size first")
    return torch.stack(pictures)


def _picture(frame: av.VideoFrame, path: Path) -> Tensor:
    """Pixels ``[H, W, 3]`` uint8, turned upright."""
    quarter_turns, rest = divmod(frame.rotation, 90)
    if rest:
        raise SignalError(f"{path} is to be shown rotated by {frame.rotation} degrees; wanted a multiple of 90")
    if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
        pixels = frame.to_ndarray(format="rgba")
        if pixels[..., 3].min() < 255:
            raise transparency_error(path, f"{path.stem}_flat.mkv")
        pixels = pixels[..., :3]
    else:
        pixels = frame.to_ndarray(format="rgb24")
    return torch.from_numpy(pixels).rot90(quarter_turns)


def _end_ticks(packet: av.Packet) -> int:
    return 0 if packet.pts is None else packet.pts + (packet.duration or 0)


def _is_cut_short(container: av.container.InputContainer, stream: av.VideoStream, end_ticks: int) -> bool:
    """Whether the packets end well before the time that the file announces, as in a broken download.

    libav takes that for an ordinary end of file. Only MP4 and Matroska announce a duration of this stream that does
    not stem from the packets themselves.
    """
    duration = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if stream.time_base is None:
        return False
    if container.format.name == "mov,mp4,m4a,3gp,3g2,mj2" and stream.duration:
        announced_s = ((stream.start_time or 0) + stream.duration) * stream.time_base
    elif container.format.name == "matroska,webm" and duration:
        announced_s = 3600 * int(duration[1]) + 60 * int(duration[2]) + Fraction(duration[3])
    else:
        return False
    # A last frame of unstated duration and rounded clocks explain a frame or two.
    return announced_s - end_ticks * stream.time_base > Fraction(5, 2) / (stream.average_rate or 25)


def ends_before(path: Path, start: int, num_frames: int) -> SignalError:
    if num_frames == 0:
        return SignalError(f"{path} holds no frames; the file is damaged or truncated")
    return SignalError(f"start={start} is beyond the end of {path}, which has {num_frames} frame(s), counted from 0")


@contextmanager
def _open(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    # An absolute path, because libav takes "take:2.mp4" for a protocol named "take".
    with av.open(str(path.absolute())) as container:
        stream = container.streams.best("video")
        if stream is None:
            raise SignalError(f"{path} holds no video stream; wanted a video, an image or a folder of frames")
        if stream.codec_context is None:
            raise SignalError(f"{path} uses a video codec that PyAV cannot decode; convert it to H.264 first")
        stream.thread_type = "AUTO"
        yield container, stream
