"""Video files as libav opens them, and which of their videos is read."""

from pathlib import Path

import av
from av.stream import Disposition


def open_container(path: Path) -> av.container.InputContainer:
    """The file, ready to be read.

    Raises:
        av.FFmpegError, OSError: If libav knows no such format, or the file cannot be opened.
    """
    # An absolute path, because libav takes "take:2.mp4" for a protocol named "take". Titles may be of any encoding.
    return av.open(str(path.absolute()), metadata_errors="replace")


def coded_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The video that is read, as ffmpeg chooses it among several; None if there is none."""
    return max(videos_of(container), key=_weight, default=None)


def videos_of(container: av.container.InputContainer) -> list[av.VideoStream]:
    """Video streams without cover pictures and thumbnails."""
    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & stills]


def _weight(stream: av.VideoStream) -> int:
    """Rank by which ffmpeg chooses among several videos: the mark "default" counts five million pixels."""
    pixels = stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0
    return pixels + 5_000_000 * bool(stream.disposition & Disposition.default)
