"""One track of sound as a small Matroska file (``.mka``), and back (RFC 9559).

libav's own Matroska spends about seven bytes a packet and a few hundred on the file, which beside a clip of a few
kilobytes is much. Matroska can do with less: many packets share one block (*lacing*), and packets of one duration need
no time each. This module writes that form and reads it and libav's, so libav's muxer still finds the codec's name and
header for whatever codec comes. Every player that reads Matroska plays the result.

Times may be negative: what a decoder needs before time 0 but must not play. Matroska holds that as ``CodecDelay``.
"""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from vov_lightning.errors import SignalError

EBML, DOC_TYPE, DOC_TYPE_VERSION, DOC_TYPE_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
SEGMENT, INFO, TIMESTAMP_SCALE, MUXING_APP, WRITING_APP = 0x18538067, 0x1549A966, 0x2AD7B1, 0x4D80, 0x5741
DURATION = 0x4489
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83
CODEC_ID, CODEC_PRIVATE, CODEC_DELAY, SEEK_PRE_ROLL, DEFAULT_DURATION = 0x86, 0x63A2, 0x56AA, 0x56BB, 0x23E383
AUDIO, SAMPLING_FREQUENCY, OUTPUT_FREQUENCY = 0xE1, 0xB5, 0x78B5
CLUSTER, TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1

SOUND = 2  # TrackType of sound
TICK = Fraction(1, 1000)  # the clock of the file, as in libav's
NANOSECOND = Fraction(1, 10**9)
MAX_LACED = 256  # a byte counts them
FIXED_LACING, EBML_LACING = 0x04, 0x06
SAME_CLOCK = 2 * TICK  # packets that follow one another this closely lie on one grid: containers round their times


@dataclass(frozen=True)
class SoundTrack:
    """Packets of sound and what a decoder needs to know about them.

    Args:
        codec: Matroska's name of the codec, such as ``A_AAC``.
        header: The codec's own header (``CodecPrivate``); may be empty.
        audio: Content of Matroska's ``Audio`` element: sampling frequency, channels, bit depth.
        seek_pre_roll_ns: How much a decoder must decode before the place to play from, where the codec says.
        packet_duration: Seconds of sound in each packet; 0 if packets differ.
        packets: ``(time, data)``: when the packet's sound begins, in seconds; ascending.
    """

    codec: str
    header: bytes
    audio: bytes
    seek_pre_roll_ns: int
    packet_duration: Fraction
    packets: tuple[tuple[Fraction, bytes], ...]

    @property
    def sample_rate(self) -> int:
        """Samples per second of the decoded sound."""
        elements = dict(_elements(self.audio))
        return round(_float(elements.get(OUTPUT_FREQUENCY) or elements[SAMPLING_FREQUENCY]))

    @property
    def end(self) -> Fraction:
        """Where the sound ends, in seconds; for packets that differ, where the last one begins."""
        return self.packets[-1][0] + self.packet_duration

    @property
    def num_bytes(self) -> int:
        """Bytes of the packets alone."""
        return sum(len(data) for _, data in self.packets)


def write_track(track: SoundTrack) -> bytes:
    """``track`` as a Matroska file; the same track gives the same bytes. Times are kept to half a millisecond."""
    # An Opus decoder drops the encoder's delay by its own header; the container must say at least as much.
    delay = max(_opus_delay(track), -track.packets[0][0], Fraction(0))
    entry = (
        _element(TRACK_NUMBER, b"\x01")
        + _element(TRACK_UID, b"\x01")
        + _element(TRACK_TYPE, bytes([SOUND]))
        + _element(CODEC_ID, track.codec.encode("ascii"))
        + _element(AUDIO, track.audio)
    )
    for name, value in (
        (CODEC_DELAY, round(delay / NANOSECOND)),
        (SEEK_PRE_ROLL, track.seek_pre_roll_ns),
        (DEFAULT_DURATION, round(track.packet_duration / NANOSECOND)),
    ):
        if value:
            entry += _element(name, _unsigned(value))
    if track.header:
        entry += _element(CODEC_PRIVATE, track.header)
    head = _element(
        EBML,
        _element(DOC_TYPE, b"matroska")
        + _element(DOC_TYPE_VERSION, b"\x04")
        + _element(DOC_TYPE_READ_VERSION, b"\x02"),
    )
    information = _element(DURATION, struct.pack(">f", (track.end + delay) / TICK))
    information += _element(TIMESTAMP_SCALE, _unsigned(round(TICK / NANOSECOND)))
    information += _element(MUXING_APP, b"vov") + _element(WRITING_APP, b"vov")
    segment = [_element(INFO, information), _element(TRACKS, _element(TRACK_ENTRY, entry))]

    cluster, cluster_ticks = bytearray(), 0
    for time, laced in _runs(track):
        ticks = round((time + delay) / TICK)
        if cluster and ticks - cluster_ticks > 32767:  # a block counts from its cluster in 16 bits
            segment.append(_element(CLUSTER, bytes(cluster)))
            cluster.clear()
        if not cluster:
            cluster_ticks = ticks
            cluster += _element(TIMESTAMP, _unsigned(ticks))
        cluster += _element(SIMPLE_BLOCK, _block(ticks - cluster_ticks, laced))
    segment.append(_element(CLUSTER, bytes(cluster)))
    return head + _element(SEGMENT, b"".join(segment))


def read_track(data: bytes) -> SoundTrack:
    """The one track of sound that a Matroska file holds, written by :func:`write_track` or by libav.

    Raises:
        SignalError: If the bytes are no such file.
    """
    try:
        track = _read_track(data)
        if track.sample_rate < 1:
            raise ValueError(f"{track.sample_rate} samples a second")
        return track
    except (ValueError, LookupError, ArithmeticError, struct.error) as cause:
        reason = "an element is missing" if isinstance(cause, KeyError) else cause
        raise SignalError(f"sound of {len(data)} bytes is damaged ({reason}); wanted a Matroska file") from cause


def _read_track(data: bytes) -> SoundTrack:
    segment = _elements(dict(_elements(data))[SEGMENT])
    entry: dict[int, bytes] = {}
    packets: list[tuple[Fraction, bytes]] = []
    duration = delay = Fraction(0)
    for name, value in segment:
        if name == TRACKS:
            entry = dict(_elements(dict(_elements(value))[TRACK_ENTRY]))
            duration, delay = (
                int.from_bytes(entry.get(field, b""), "big") * NANOSECOND for field in (DEFAULT_DURATION, CODEC_DELAY)
            )
            rate = round(_float(dict(_elements(entry[AUDIO]))[SAMPLING_FREQUENCY]))
            duration = Fraction(round(duration * rate), rate)  # nanoseconds round what is a whole number of samples
        elif name == CLUSTER:
            _read_cluster(value, packets, duration, delay)
    if not packets:
        raise ValueError("no packets")
    return SoundTrack(
        entry[CODEC_ID].rstrip(b"\0").decode("ascii"),
        entry.get(CODEC_PRIVATE, b""),
        entry[AUDIO],
        int.from_bytes(entry.get(SEEK_PRE_ROLL, b""), "big"),
        duration,
        tuple(packets),
    )


def _read_cluster(cluster: bytes, packets: list[tuple[Fraction, bytes]], duration: Fraction, delay: Fraction) -> None:
    """Append the cluster's packets; times that lie within a tick of the grid before them go on it."""
    cluster_ticks = 0
    for name, value in _elements(cluster):
        if name == TIMESTAMP:
            cluster_ticks = int.from_bytes(value, "big")
        elif name in (SIMPLE_BLOCK, BLOCK_GROUP):
            block = value if name == SIMPLE_BLOCK else dict(_elements(value))[BLOCK]
            time = (cluster_ticks + struct.unpack(">h", block[1:3])[0]) * TICK - delay
            if packets and duration and abs(packets[-1][0] + duration - time) <= SAME_CLOCK:
                time = packets[-1][0] + duration
            for packet in _laced_packets(block):
                packets.append((time, packet))
                time += duration


def _runs(track: SoundTrack) -> Iterator[tuple[Fraction, list[bytes]]]:
    """Packets that can share a block: each begins where the one before ends."""
    run: list[bytes] = []
    begin = Fraction(0)
    for time, data in track.packets:
        follows = track.packet_duration and abs(begin + len(run) * track.packet_duration - time) <= SAME_CLOCK
        if run and (not follows or len(run) == MAX_LACED):
            yield begin, run
            run = []
        if not run:
            begin = time
        run.append(data)
    yield begin, run


def _block(ticks: int, laced: list[bytes]) -> bytes:
    head = b"\x81" + struct.pack(">h", ticks)  # track 1
    keyframe = 0x80
    if len(laced) == 1:
        return head + bytes([keyframe]) + laced[0]
    lengths = [len(data) for data in laced]
    if len(set(lengths)) == 1:
        return head + bytes([keyframe | FIXED_LACING, len(laced) - 1]) + b"".join(laced)
    sizes = _size(lengths[0])
    for before, length in itertools.pairwise(lengths[:-1]):  # the last length is what is left
        sizes += _signed_size(length - before)
    return head + bytes([keyframe | EBML_LACING, len(laced) - 1]) + sizes + b"".join(laced)


def _laced_packets(block: bytes) -> list[bytes]:
    if block[0] != 0x81:
        raise ValueError("more than one track")
    lacing = block[3] & 0x06
    if not lacing:
        return [block[4:]]
    count, position = block[4] + 1, 5
    if lacing == FIXED_LACING:
        length, rest = divmod(len(block) - position, count)
        if rest:
            raise ValueError("packets of unequal length")
        lengths = [length] * count
    elif lacing == EBML_LACING:
        length, position = _read_size(block, position)
        lengths = [length]
        while len(lengths) < count - 1:
            start = position
            value, position = _read_size(block, position)
            length += value - (2 ** (7 * (position - start) - 1) - 1)
            lengths.append(length)
        lengths.append(len(block) - position - sum(lengths))
    else:
        raise ValueError("Xiph lacing")
    if min(lengths) < 0:
        raise ValueError("a packet of negative length")
    packets = []
    for length in lengths:
        packets.append(block[position : position + length])
        position += length
    return packets


def _opus_delay(track: SoundTrack) -> Fraction:
    """Seconds before the first sample to play, by the header of Opus (RFC 7845, section 5.1); 0 for other codecs."""
    if track.codec != "A_OPUS" or len(track.header) < 12:
        return Fraction(0)
    return Fraction(int.from_bytes(track.header[10:12], "little"), 48000)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Names and contents of the elements that ``data`` is made of."""
    position = 0
    while position < len(data):
        length = 9 - data[position].bit_length()
        name = int.from_bytes(data[position : position + length], "big")
        size, position = _read_size(data, position + length)
        if size > len(data) - position:
            raise ValueError(f"an element of {size} bytes where {len(data) - position} are left")
        yield name, data[position : position + size]
        position += size


def _element(name: int, content: bytes) -> bytes:
    return _unsigned(name) + _size(len(content)) + content


def _unsigned(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def _float(data: bytes) -> float:
    return float(struct.unpack(">f" if len(data) == 4 else ">d", data)[0])


def _size(value: int) -> bytes:
    """A number in one to eight bytes, seven bits in each; all ones is reserved."""
    length = next(length for length in range(1, 9) if value < 2 ** (7 * length) - 1)
    return (value | 1 << 7 * length).to_bytes(length, "big")


def _signed_size(value: int) -> bytes:
    """A difference: the number plus half the range of the shortest length that holds it."""
    length = next(length for length in range(1, 9) if abs(value) < 2 ** (7 * length - 1))
    return (value + 2 ** (7 * length - 1) - 1 | 1 << 7 * length).to_bytes(length, "big")


def _read_size(data: bytes, position: int) -> tuple[int, int]:
    """A number as :func:`_size` writes it, and the position after it."""
    length = 9 - data[position].bit_length()
    if length > 8 or position + length > len(data):
        raise ValueError("a number that is cut off")
    value = int.from_bytes(data[position : position + length], "big")
    return value & (1 << 7 * length) - 1, position + length
