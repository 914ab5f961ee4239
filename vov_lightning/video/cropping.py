"""The cropping rectangle that a container asks for, apart from the one in the stream.

MP4 and QuickTime state a clean aperture (``clap``), Matroska ``PixelCrop...``. libav hands it on as side data of the
stream, which ``ffmpeg`` obeys and PyAV does not show. But PyAV copies it into a file of the same codec parameters, so
the header of an empty Matroska file in memory tells.
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import av

# Elements of Matroska on the way to the rectangle.
SEGMENT, TRACKS, TRACK_ENTRY, VIDEO = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"
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
    for wanted in (SEGMENT, TRACKS, TRACK_ENTRY, VIDEO):
        level = [data[begin:end] for data in level for name, begin, end in ebml_elements(data) if name == wanted]
    found = {
        SIDES[name]: int.from_bytes(data[begin:end], "big")
        for data in level
        for name, begin, end in ebml_elements(data)
        if name in SIDES
    }
    return Crop(**found)


def ebml_elements(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Identifier of each EBML element of ``data``, where its content begins and where it ends.

    The end may lie beyond ``data``; one of unknown length ends with it.
    """
    position = 0
    while position + 2 <= len(data) and data[position] > 0:
        id_length = 9 - data[position].bit_length()
        name = data[position : position + id_length]
        position += id_length
        if position >= len(data) or data[position] == 0:
            return
        size_length = 9 - data[position].bit_length()
        unknown = (1 << 7 * size_length) - 1
        size = int.from_bytes(data[position : position + size_length], "big") & unknown
        position += size_length
        end = len(data) if size == unknown else position + size
        yield name, position, end
        position = end
