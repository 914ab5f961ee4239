"""What a video's packets tell without being decoded: how many frames, when each is shown, and what is missing.

libav takes a broken download for an ordinary end of file, and the part of a frame at its end for a whole one. So what a
file announces (an index in MP4, a number in AVI, a duration in Matroska, a length in bytes in most) is compared with
what is there. MPEG-PS and MXF announce nothing that would tell.
"""

import re
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av

from vov_lightning.video.cropping import SEGMENT, ebml_elements

UNKNOWN = -(2**63)  # a time that is not there, in an array of times


class Timeline(NamedTuple):
    """A video's frames without their pixels.

    Attributes:
        num_held: Frames that are there and sound, up to the first that is damaged or missing.
        num_lost: Frames that are announced or begun besides; 0 for a sound file.
        ticks: When each of the held frames is shown, by the stream's clock, ascending; ``None`` where a time is missing
            or the clock jumps back.
        last_duration: Ticks that the last packet is shown; 0 if unknown.
        num_sound_packets: How many packets come before the first damaged one.
        safe_tick: After this time something is missing; ``None`` if nothing is, or the time is unknown.
    """

    num_held: int
    num_lost: int
    ticks: array | None
    last_duration: int
    num_sound_packets: int
    safe_tick: int | None


def read_timeline(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> Timeline:
    """Timeline of the packets; reads them all and decodes none."""
    pts, dts, shown = array("q"), array("q"), bytearray()
    last_shown, last_duration, last_byte = UNKNOWN, 0, 0
    num_sound: int | None = None  # unknown until the first damaged packet
    is_cut, format_name = False, container.format.name
    try:
        for packet in packets_of(container, stream):
            if packet.is_corrupt and num_sound is None:
                num_sound = len(pts)
            time = packet.dts if format_name == "avi" else packet.pts  # AVI has no other, and libav makes one up
            pts.append(UNKNOWN if time is None else time)
            dts.append(UNKNOWN if packet.dts is None else packet.dts)
            shown.append(not packet.is_discard)
            if pts[-1] >= last_shown:
                last_shown, last_duration = pts[-1], packet.duration or 0
            last_byte = max(last_byte, (packet.pos or 0) + packet.size)
    except av.FFmpegError:
        is_cut = True
    total = sum(shown)
    is_cut = is_cut or _lacks_bytes(path, format_name, last_byte)
    announced = max(total, _num_announced(format_name, stream, total, last_shown + last_duration, is_cut))
    if num_sound is None:
        # Where bytes are missing, the last packet is but a part, which libav hands on except in Y4M.
        num_sound = len(pts) - (is_cut and len(pts) > 0 and format_name != "yuv4mpegpipe")
    is_whole = not is_cut and announced == total and num_sound == len(pts)
    # What is missing would have been decoded after the last sound packet, and nothing is shown before it is decoded.
    safe_tick = None if is_whole or num_sound == 0 or dts[num_sound - 1] == UNKNOWN else dts[num_sound - 1]
    held = array("q", (pts[i] for i in range(num_sound) if shown[i] and (safe_tick is None or pts[i] <= safe_tick)))
    num_lost = 0 if is_whole else max(announced - len(held), 1)
    has_jumps = any(later < earlier for earlier, later in pairwise(dts) if later != UNKNOWN)
    is_timed = UNKNOWN not in held and not has_jumps
    ticks = array("q", sorted(held)) if is_timed else None
    return Timeline(len(held), num_lost, ticks, last_duration, num_sound, safe_tick)


def packets_of(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets of a stream without the empty ones, which say that the frame before stays (Theora, AVI)."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size > 0)
    except IndexError as cause:  # PyAV's, where a damaged file gets more streams on the way
        raise av.error.InvalidDataError(0, "streams appear on the way") from cause


def _num_announced(format_name: str, stream: av.VideoStream, total: int, end: int, is_cut: bool) -> int:
    """How many frames a file announces of which ``total`` are there, up to ``end`` on the stream's clock."""
    if format_name == "mov,mp4,m4a,3gp,3g2,mj2":
        return sum(not entry.is_discard for entry in stream.index_entries)
    if format_name == "avi":  # counts frames that were dropped, too
        return stream.frames if is_cut else total
    duration = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if format_name == "matroska,webm" and duration and stream.time_base and is_cut:
        announced_s = 3600 * int(duration[1]) + 60 * int(duration[2]) + Fraction(duration[3])
        return total + round((announced_s - end * stream.time_base) * (stream.average_rate or 25))
    return total


def _lacks_bytes(path: Path, format_name: str, last_byte: int) -> bool:
    """Whether the file is shorter than it says; ``last_byte`` is the end of the last packet."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(-1, 2)
        last = file.read()
    if format_name == "matroska,webm":
        return any(name == SEGMENT and end > size for name, _, end in ebml_elements(head))
    if format_name == "avi":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if format_name == "yuv4mpegpipe":
        return last_byte < size
    if format_name == "gif":
        return last != b";"
    if format_name == "mpegts":
        return size % 188 != 0 and size % 192 != 0
    return False
