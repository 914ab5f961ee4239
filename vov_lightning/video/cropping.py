"""The cropping rectangle that a container asks for, apart from the one in the stream.

MP4 and QuickTime state a clean aperture (``clap``), Matroska ``PixelCrop...``. libav hands it on as side data of the
stream, which ``ffmpeg`` obeys and PyAV does not show. But PyAV copies it into a file of the same codec parameters, so
the header of an empty Matroska file in memory tells.
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import av

# Elements of Matroska on the way to the rectangle: Segment, Tracks, TrackEntry, Video.
VIDEO_PATH = (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0")
SIDES = {b"\x54\xcc": "left", b"\x54\xdd": "right", b"\x54\xbb": "top", b"\x54\xaa": "bottom"}


class Crop(NamedTuple):
    """How many pixels to cut off at each side of the decoded picture, before it is turned."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


def container_crop(stream: av.VideoStream) -> Crop:
    """What the container cuts off; nothing where Matroska does not take the codec."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="matroska") as container:
            container.add_stream_from_template(stream)
            container.start_encoding()
    except (av.FFmpegError, ValueError):
        return Crop()
    level = [file.getvalue()]
    for name in VIDEO_PATH:
        level = [body for data in level for found, body in _elements(data) if found == name]
    found = {
        SIDES[name]: int.from_bytes(body, "big") for data in level for name, body in _elements(data) if name in SIDES
    }
    return Crop(**found)


def _elements(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Identifier and content of each EBML element; an unknown length reaches to the end."""
    position = 0
    while position < len(data):
        id_length = 9 - data[position].bit_length()
        name = data[position : position + id_length]
        position += id_length
        size_length = 9 - data[position].bit_length()
        size = int.from_bytes(data[position : position + size_length], "big") & ((1 << 7 * size_length) - 1)
        position += size_length
        if size == (1 << 7 * size_length) - 1:
            size = len(data) - position
        yield name, data[position : position + size]
        position += size
