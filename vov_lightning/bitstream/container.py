"""The ``.vov`` file: a head, then times, segments and sound, each with its own checksum (FORMAT.md, "File").

    V O V 2 | length of the head | head | CRC-32 | times | CRC-32 | segment 0 | CRC-32 | ... | sound | CRC-32

The head says where every part lies, so a damaged segment never hides the others, and a file that is cut keeps its
first ones. Parsing is total: any bytes give a ``VovFile`` or a ``BitstreamError``, in time and memory bounded by the
file and the limits. Files of version 1 (``version1.py``) are read as clips of one segment.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from vov_lightning.bitstream.caption import decode_caption, encode_caption
from vov_lightning.bitstream.coder import decode_symbols, encode_symbols
from vov_lightning.bitstream.counts import check_symbols
from vov_lightning.bitstream.head import Head, read_head
from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.indices import Indices, decode_indices, encode_indices
from vov_lightning.bitstream.limits import DEFAULT_LIMITS, Limits
from vov_lightning.bitstream.parts import Part, read_head_bytes, read_parts, write_parts
from vov_lightning.bitstream.segments import (
    Segment,
    check_segments,
    first_steps,
    mark_checked,
    segment_seed,
    without_indices,
)
from vov_lightning.bitstream.times import FrameTimes, decode_times, encode_times
from vov_lightning.bitstream.version1 import read_sections
from vov_lightning.errors import BitstreamError
from vov_lightning.files import atomic_write

MAGIC = b"VOV"
VERSION = 2
PIECE_BYTES = 2**20
"""What is written; files of version 1 are read, too."""


@dataclass(frozen=True, eq=False)
class VovFile:
    """What a ``.vov`` file says.

    ``symbols`` is the quantised vector, int32 ``[k]``; ``segments`` are one for a file without any. ``sound`` is the
    content of a small audio file, opaque here; ``times`` those of the frames where their rate varies. ``lost`` says
    which of the two were damaged in a file that was read with ``strict=False``.

    Example:
        >>> from fractions import Fraction
        >>> header = Header("nano", "2", bytes(8), frames=9, height=64, width=64, fps=Fraction(24), k=4, step=0.5)
        >>> file = VovFile(header, "red, still", np.array([0, -1, 2, 0]))
        >>> VovFile.from_bytes(file.to_bytes()) == file
        True
        >>> {name: size for name, size in file.section_bytes().items() if size}
        {'container': 10, 'header': 16, 'caption': 3, 'count_table': 7, 'vector': 4}
    """

    header: Header
    caption: str = ""
    symbols: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    segments: tuple[Segment, ...] = ()
    sound: bytes = b""
    times: FrameTimes | None = None
    lost: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", _own(check_symbols(self.symbols)))
        if len(self.symbols) != self.header.k:
            raise BitstreamError(f"header says k={self.header.k}, but {len(self.symbols)} symbols are given")
        object.__setattr__(self, "segments", check_segments(self.segments, self.header))
        if not isinstance(self.sound, bytes):
            raise BitstreamError(f"sound is {type(self.sound).__name__}, wanted bytes")
        if self.times is not None and len(self.times.ticks) != self.header.frames:
            raise BitstreamError(f"times are of {len(self.times.ticks)} frames, the header says {self.header.frames}")

    @classmethod
    def single(
        cls, header: Header, caption: str = "", symbols: np.ndarray | None = None, indices: Sequence[np.ndarray] = ()
    ) -> "VovFile":
        """A file of one segment, with ``indices`` for each of its steps."""
        segment = Segment(header.frames, header.pad_frames, tuple(indices))
        return cls(header, caption, np.zeros(0, np.int32) if symbols is None else symbols, (segment,))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VovFile):
            return NotImplemented
        same = (self.header, self.caption, self.segments) == (other.header, other.caption, other.segments)
        same = same and (self.sound, self.times) == (other.sound, other.times)
        return same and np.array_equal(self.symbols, other.symbols)

    def __hash__(self) -> int:
        return hash((self.header, self.caption, self.symbols.tobytes(), self.segments))

    @property
    def indices(self) -> Indices:
        """Indices of the only segment.

        Raises:
            BitstreamError: If there are several.
        """
        if len(self.segments) > 1:
            raise BitstreamError(
                f"the file has {len(self.segments)} segments with their own indices; take one by part()"
            )
        return self.segments[0].indices

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file: every byte counts."""
        return 8 * len(self.to_bytes()) / self.header.num_pixels

    @property
    def bytes_without_sound(self) -> int:
        """Bytes of the file but those of the sound itself: what budgets and comparisons count."""
        return len(self.to_bytes()) - len(self.sound)

    @property
    def duration(self) -> Fraction:
        """Seconds; the last frame is shown for 1 / fps."""
        if self.times is None:
            return self.header.frames / self.header.fps
        return int(self.times.ticks[-1]) * self.times.time_base + 1 / self.header.fps

    @property
    def damage(self) -> tuple[str, ...]:
        """Everything that the file should hold and cannot give, one line each; empty for a sound file."""
        segments = enumerate(self.segments)
        return (*(f"segment {number}: {one.damage}" for number, one in segments if one.damage), *self.lost)

    def part(self, number: int) -> "VovFile":
        """Segment ``number`` (from 0) as a file of its own, without sound.

        Its seed is the file's plus ``number``, modulo 2^64.

        Raises:
            BitstreamError: If there is no such segment, or it is damaged.
        """
        return self.cut(number, number + 1)

    def cut(self, start: int, stop: int) -> "VovFile":
        """The segments from ``start`` to before ``stop`` as a file of their own, without sound.

        Raises:
            BitstreamError: If there are no such segments, or one of them is damaged.
        """
        if not 0 <= start < stop <= len(self.segments):
            raise BitstreamError(
                f"segments {start} to {stop - 1} were asked for, the file has 0 to {len(self.segments) - 1}"
            )
        segments, first = self.segments[start:stop], sum(segment.frames for segment in self.segments[:start])
        for number, segment in enumerate(segments, start):
            if segment.damage:
                raise BitstreamError(f"segment {number} cannot be decoded: {segment.damage}")
        header = replace(
            self.header if any(segment.indices for segment in segments) else without_indices(self.header),
            frames=sum(segment.frames for segment in segments),
            pad_frames=segments[0].pad_frames if len(segments) == 1 else 0,
            seed=segment_seed(self.header.seed, start),
        )
        times = None if self.times is None else self.times.between(first, first + header.frames)
        return VovFile(header, self.caption, self.symbols, segments, times=times)

    def keep_steps(self, number: int) -> "VovFile":
        """The file with the indices of the first ``number`` steps only, of each block of each segment: shorter, and
        still valid."""
        segments = tuple(
            replace(segment, indices=first_steps(segment.indices, number, self.header)) for segment in self.segments
        )
        steered = any(segment.damage or any(map(len, segment.indices)) for segment in segments)
        header = self.header if steered else without_indices(self.header)
        return replace(self, header=header, segments=segments)

    @cached_property
    def _encoded(self) -> tuple[bytes, dict[str, int]]:
        """The file, and the bytes of each of its parts. A file that was read keeps the bytes that it was read from."""
        for number, segment in enumerate(self.segments):
            if segment.damage:
                raise BitstreamError(f"segment {number} cannot be written: {segment.damage}; leave it out by cut()")
        contents = {"times": encode_times(self.times)} if self.times else {}
        if self.header.kernel != "ode":
            for number, segment in enumerate(self.segments):
                contents[f"segment {number}"] = encode_indices(
                    segment.indices, self.header.index_bits, self.header.block_steps
                )
        contents |= {"sound": self.sound} if self.sound else {}
        table, payload = encode_symbols(self.symbols)
        head = Head(
            self.header,
            tuple(segment.frames for segment in self.segments),
            tuple(segment.pad_frames for segment in self.segments),
            self.times is not None,
            bool(self.sound),
            tuple(map(len, contents.values()))[:-1],
            encode_caption(self.caption),
            table + payload,
        )
        data = write_parts(head.to_bytes(), list(contents.values()))
        return data, _sizes(data, head, len(table), {name: len(content) for name, content in contents.items()})

    def to_bytes(self) -> bytes:
        """The file."""
        return self._encoded[0]

    @property
    def version(self) -> int:
        """Version of the format: 1 for a file that was read in it, else what is written."""
        return self.to_bytes()[len(MAGIC)]

    def section_bytes(self) -> dict[str, int]:
        """Bytes of each part of the file; they sum to its size.

        ``container`` (magic, lengths, checksums), ``header``, ``caption``, ``count_table``, ``vector``, ``indices`` (of
        all segments), ``times`` and ``sound``.
        """
        return dict(self._encoded[1])

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> "VovFile":
        """The file behind ``data``.

        Args:
            data: A whole file.
            limits: What the reader is willing to handle.
            strict: Refuse a file with a damaged or missing part. Otherwise that segment gets its ``damage``, and a
                lost sound or time is named by ``lost``; only a file whose head is damaged is refused.

        Raises:
            BitstreamError: What is wrong with any other bytes.
        """
        data = bytes(data)
        limits.check("file_bytes", len(data))
        if check_magic(data) == 1:
            return _read_version1(data, limits)
        file = _read(data, limits)
        if strict and file.damage:
            raise BitstreamError(file.damage[0])
        return file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: whole or not at all."""
        atomic_write(path, self.to_bytes())

    @classmethod
    def open(cls, path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS, strict: bool = True) -> "VovFile":
        """Read the file at ``path``; at most ``limits.file_bytes`` of it are ever in memory.

        Raises:
            BitstreamError: If it cannot be read or is not a valid file (see `from_bytes`); the message begins with the
                path.
        """
        try:
            with open(path, "rb") as stream:
                limits.check("file_bytes", os.fstat(stream.fileno()).st_size)
                data = bytearray()
                while piece := stream.read(min(PIECE_BYTES, limits.file_bytes + 1 - len(data))):
                    data += piece
                return cls.from_bytes(bytes(data), limits, strict)
        except OSError as error:
            raise BitstreamError(f"{path} cannot be read: {error.strerror}") from error
        except BitstreamError as error:
            raise BitstreamError(f"{path}: {error}") from error


def check_magic(data: bytes) -> int:
    """Version of a file, once it is found to be one that this package reads."""
    if data[:3] != MAGIC:
        start = f"starts with {data[:8]!r}" if data else "is empty"
        raise BitstreamError(f"not a .vov file: {start}, wanted {MAGIC!r}")
    if len(data) == 3:
        raise BitstreamError("file ends after 3 bytes; the file is truncated")
    version = data[3]
    if version > VERSION:
        raise BitstreamError(
            f"file is in version {version} of the .vov format, this vov_lightning reads up to {VERSION}; "
            "upgrade it: pip install --upgrade vov_lightning"
        )
    if version == 0:
        raise BitstreamError("file is in version 0 of the .vov format, which does not exist; it is damaged")
    return version


def _read(data: bytes, limits: Limits) -> VovFile:
    """A file of version 2, whatever parts of it are damaged."""
    content, start = read_head_bytes(data)
    head = read_head(content, limits)
    names = head.part_names
    parts = dict(zip(names, read_parts(data, start, names, head.lengths), strict=True))
    caption = decode_caption(head.caption, limits.caption_bytes) if head.caption else ""
    symbols, table_size = decode_symbols(head.vector, head.header.k)
    sound, times, lost = parts.get("sound", Part(b"")), None, []
    limits.check("sound_bytes", len(sound.content))
    if "sound" in parts and not sound.content and not sound.damage:
        raise BitstreamError("the head announces sound, and there is none; the file is damaged")
    if "times" in parts:
        times, damage = _times(parts["times"], head.header.frames)
        lost += [f"times: {damage}"] if damage else []
    lost += [f"sound: {sound.damage}"] if sound.damage else []
    file = VovFile(
        head.header,
        caption,
        symbols,
        _segments(head, parts, limits),
        b"" if sound.damage else sound.content,
        times,
        tuple(lost),
    )
    sizes = _sizes(data, head, table_size, {name: len(part.content) for name, part in parts.items()})
    file.__dict__["_encoded"] = (data, sizes)  # fills the cached property
    return file


def _times(part: Part, frames: int) -> tuple[FrameTimes | None, str]:
    """Times, or why there are none."""
    if part.damage:
        return None, part.damage
    try:
        return decode_times(part.content, frames), ""
    except BitstreamError as error:
        return None, str(error)


def _segments(head: Head, parts: dict[str, Part], limits: Limits) -> tuple[Segment, ...]:
    """The segments with their indices, or with what is wrong with them."""
    header, found, num_indices, num_steps = head.header, [], 0, 0
    most = min(limits.indices, limits.candidates >> header.index_bits)
    for number, (frames, pad_frames) in enumerate(zip(head.frames, head.pad_frames, strict=True)):
        part = parts.get(f"segment {number}", Part(b"\0"))
        indices: Indices = ()
        damage = part.damage
        if not damage:
            try:
                most_blocks = frames + pad_frames if header.context else None
                indices = decode_indices(
                    part.content, header.index_bits, header.steps - 1, most, most_blocks, limits.all_steps
                )
            except BitstreamError as error:
                damage = str(error)
        num_indices, num_steps = num_indices + sum(map(len, indices)), num_steps + len(indices)
        limits.check("all_indices", num_indices)
        limits.check("all_steps", num_steps)
        segment = Segment(frames, pad_frames, indices, damage)
        found.append(segment if damage else mark_checked(segment, header))
    return tuple(found)


def _read_version1(data: bytes, limits: Limits) -> VovFile:
    header, contents = read_sections(data)
    limits.check_header(header)
    caption, vector = contents.get("caption", b""), contents.get("vector", b"")
    symbols, table_size = decode_symbols(vector, header.k)
    indices: Indices = ()
    if "indices" in contents:
        most = min(limits.indices, limits.candidates >> header.index_bits)
        indices = decode_indices(contents["indices"], header.index_bits, header.steps - 1, most)
    file = VovFile.single(header, decode_caption(caption, limits.caption_bytes) if caption else "", symbols, indices)
    sizes = {"header": len(contents["header"]), "caption": len(caption), "count_table": table_size}
    sizes |= {"vector": len(vector) - table_size, "indices": len(contents.get("indices", b"")), "times": 0, "sound": 0}
    file.__dict__["_encoded"] = (data, {"container": len(data) - sum(sizes.values()), **sizes})
    return file


def _sizes(data: bytes, head: Head, table_size: int, parts: dict[str, int]) -> dict[str, int]:
    """Bytes of each part of a version 2 file of this head; what is left is the container."""
    sizes = {
        "header": len(head.field_bytes()),
        "caption": len(head.caption),
        "count_table": table_size,
        "vector": len(head.vector) - table_size,
        "indices": sum(size for name, size in parts.items() if name not in ("times", "sound")),
        "times": parts.get("times", 0),
        "sound": parts.get("sound", 0),
    }
    return {"container": len(data) - sum(sizes.values()), **sizes}


def _own(symbols: np.ndarray) -> np.ndarray:
    """Read-only ``symbols``, since the file keeps its bytes; a copy if others could change them."""
    if symbols.flags.writeable or symbols.base is not None:
        symbols = symbols.copy()
        symbols.setflags(write=False)
    return symbols
