"""Raw 8-bit 4:2:0 video (``.yuv``, ``.y4m``) to RGB: what a file states is checked against the table, never guessed.

A ``.yuv`` is pixels and nothing else, so its name and its length are all there is to check; a ``.y4m`` has a header.
Neither states a colour matrix, and FFmpeg would take BT.601 at every size: the table says which one is meant. The
range is limited. The conversion is swscale's accurate one: its fast one, which ``read_signal`` takes to agree with
ffmpeg, is one grey level darker on the mean (measured: -1.0 to -1.3), too much for a reference.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from testsets.table import Matrix, Member
from vov_lightning.errors import SignalError

# Level with every other column of luma and half-way between its rows, as in MPEG-2 and HEVC. A y4m's C420jpeg says
# otherwise and means nothing: FFmpeg writes it wherever it knows no better.
CHROMA = "left"
EXACT = "bitexact+accurate_rnd+full_chroma_int"
Y4M_MAGIC = b"YUV4MPEG2"
Y4M_FRAME = b"FRAME\n"


def count_frames(path: Path, member: Member) -> int:
    """Number of frames that ``path`` holds, after checking that they are those of ``member``.

    Raises:
        SignalError: If name or header state another size, rate, depth or chroma than the table, or the file's length
            is no whole number of such frames, or of about twice as many as were published.
    """
    wanted = {
        "size": f"{member.width}x{member.height}",
        "fps": member.fps,
        "bits": 8,
        "chroma": "420",
        "range": "limited",
        "scan": "progressive",
    }
    header = _y4m_header(path) if _is_y4m(path) else b""
    for place, stated in (("name", stated_by_name(path.stem)), ("header", stated_by_header(header, path))):
        for setting, found in stated.items():
            if found != wanted[setting]:
                raise SignalError(
                    f"{path} states {setting}={found} in its {place}, wanted {setting}={wanted[setting]}; put the "
                    f"{wanted['size']} 8-bit 4:2:0 file at {member.fps} fps in its place, or correct the {place} if "
                    "that is what it holds"
                )

    length = path.stat().st_size
    chroma_bytes = ((member.width + 1) // 2) * ((member.height + 1) // 2)
    frame_bytes = member.width * member.height + 2 * chroma_bytes + (len(Y4M_FRAME) if header else 0)
    num_frames, rest = divmod(length - len(header), frame_bytes)
    of_what = f"frames of {wanted['size']} in 8-bit 4:2:0 ({frame_bytes} bytes each)"
    if rest:
        raise SignalError(
            f"{path} is {length} bytes long, which is {num_frames} {of_what} and {rest} bytes more; "
            "it is truncated or holds something else, so fetch it again"
        )
    if num_frames >= 2 * member.frames:
        raise SignalError(
            f"{path} is {length} bytes long, which would be {num_frames} {of_what}, and about {member.frames} were "
            "published; its frames are larger or deeper, so fetch the 8-bit file of this size"
        )
    return num_frames


def read_rgb(path: Path, member: Member, matrix: Matrix, num_frames: int) -> Iterator[Tensor]:
    """The first ``num_frames`` frames, each ``[3, H, W]`` uint8 RGB.

    Args:
        path: A file that :func:`count_frames` has checked.
        member: Size and rate of the frames.
        matrix: Colour matrix of the samples.
        num_frames: How many to read; no more are decoded.

    Raises:
        SignalError: If FFmpeg cannot read the file, or ends before that many frames.
    """
    size = f"{member.width}x{member.height}"
    source: dict[str, Any] = {"format": "yuv4mpegpipe"}
    if not _is_y4m(path):
        options = {"video_size": size, "pixel_format": "yuv420p", "framerate": str(member.fps)}
        source = {"format": "rawvideo", "options": options}
    read = 0
    try:
        with av.open(str(path.absolute()), **source) as container:
            stream = container.streams.video[0]
            to_rgb = av.filter.Graph()
            to_rgb.link_nodes(
                to_rgb.add_buffer(template=stream),
                to_rgb.add("scale", f"in_color_matrix={matrix}:in_range=limited:in_chroma_loc={CHROMA}:flags={EXACT}"),
                to_rgb.add("format", "rgb24"),
                to_rgb.add("buffersink"),
            ).configure()
            for frame in islice(container.decode(stream), num_frames):
                to_rgb.push(frame)
                yield torch.from_numpy(to_rgb.pull().to_ndarray()).permute(2, 0, 1)  # [H, W, 3] -> [3, H, W]
                read += 1
    except av.FFmpegError as cause:
        raise SignalError(f"{path} cannot be read as {size} 4:2:0 video ({cause}); fetch it again") from cause
    if read < num_frames:
        raise SignalError(f"{path} gave {read} frames, wanted {num_frames}; it is damaged, so fetch it again")


def stated_by_name(stem: str) -> dict[str, object]:
    """Properties of the pictures that a file's name states; empty if it states none.

    Example:
        >>> stated_by_name("Beauty_1920x1080_120fps_420_8bit_YUV")
        {'size': '1920x1080', 'fps': Fraction(120, 1), 'bits': 8, 'chroma': '420'}
        >>> stated_by_name("BasketballDrive_1920x1080_50")
        {'size': '1920x1080', 'fps': Fraction(50, 1)}
        >>> stated_by_name("Beauty")
        {}
    """
    stated: dict[str, object] = {}
    if size := re.search(r"(?<!\d)\d+x\d+(?!\d)", stem):
        stated["size"] = size[0]
    rate = re.search(r"(\d+(?:\.\d+)?)(?:fps|hz)", stem, re.IGNORECASE)
    # A bare number after the size is the rate, unless it names the chroma.
    if rate := rate or re.search(r"\d+x\d+p?_(?!4(?:00|20|22|44)(?!\d))(\d+(?:\.\d+)?)(?=_|$)", stem):
        stated["fps"] = Fraction(rate[1])
    if bits := re.search(r"(\d+)[-_ ]?bit|4\d\dp(\d+)", stem, re.IGNORECASE):
        stated["bits"] = int(bits[1] or bits[2])
    if chroma := re.search(r"(?<!\d)4(?:00|20|22|44)(?!\d)", stem):
        stated["chroma"] = chroma[0]
    return stated


def stated_by_header(header: bytes, path: Path) -> dict[str, object]:
    """Properties that the first line of a ``.y4m`` states; none for an empty line. ``path`` is for messages.

    Example:
        >>> stated_by_header(b"YUV4MPEG2 W1920 H1080 F120:1 Ip C420jpeg\\n", Path("x.y4m"))
        {'size': '1920x1080', 'fps': Fraction(120, 1), 'bits': 8, 'chroma': '420', 'scan': 'progressive'}
    """
    if not header:
        return {}
    fields = header.decode("ascii", "replace").split()[1:]
    tags = {field[0]: field[1:] for field in fields if field[0] != "X"}
    try:
        fps = Fraction(*map(int, tags["F"].split(":")))
        stated: dict[str, object] = {"size": f"{tags['W']}x{tags['H']}", "fps": fps}
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as cause:
        raise SignalError(f"{path} has no size or frame rate in its header; write it again with FFmpeg") from cause
    samples = re.fullmatch(r"(4\d\d)(?:jpeg|mpeg2|paldv|p(\d+))?", tags.get("C", "420"))
    stated |= {"bits": int(samples[2] or 8), "chroma": samples[1]} if samples else {"chroma": tags["C"]}
    if "XCOLORRANGE=FULL" in fields:
        stated["range"] = "full"
    if (scan := tags.get("I", "?")) != "?":
        stated["scan"] = "progressive" if scan == "p" else "interlaced"
    return stated


def _is_y4m(path: Path) -> bool:
    return path.suffix.lower() == ".y4m"


def _y4m_header(path: Path) -> bytes:
    with path.open("rb") as file:
        header = file.readline(1024)
    if not header.startswith(Y4M_MAGIC) or not header.endswith(b"\n"):
        raise SignalError(
            f"{path} does not start with a line {Y4M_MAGIC.decode()} ...; fetch it again, or name it .yuv"
        )
    return header
