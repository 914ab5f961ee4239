"""The ``.vov`` file: magic, version, and up to four checked sections (FORMAT.md).

    V O V 1 | header | caption (omitted if empty) | vector (omitted if k = 0) | indices (omitted if kernel = ode)

A section is ``id, length, content, CRC-32``; its checksum covers all three, and the last section's id carries a mark,
so that a file which was cut between two sections is known to be cut. Sections stand in the order of their ids. Parsing
is total: any bytes give a ``VovFile`` or a ``BitstreamError``, in time and memory bounded by the file and the limits.
"""

import os
import zlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vov_lightning.bitstream.caption import decode_caption, encode_caption
from vov_lightning.bitstream.coder import decode_symbols, encode_symbols
from vov_lightning.bitstream.counts import check_symbols
from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.indices import Indices, check_indices, decode_indices, encode_indices
from vov_lightning.bitstream.limits import DEFAULT_LIMITS, Limits
from vov_lightning.bitstream.wire import Reader, write_varint
from vov_lightning.errors import BitstreamError
from vov_lightning.files import atomic_write

MAGIC = b"VOV"
VERSION = 1
SECTIONS = {1: "header", 2: "caption", 3: "vector", 4: "indices"}
LAST = 0x80
"""Set in the id of the last section."""


@dataclass(frozen=True, eq=False)
class VovFile:
    """What a ``.vov`` file says. ``symbols`` is the quantised vector, int32 ``[k]``, ``indices`` those of each step.

    Example:
        >>> from fractions import Fraction
        >>> header = Header("nano", "1", bytes(8), frames=9, height=64, width=64, fps=Fraction(24), k=4, step=0.5)
        >>> file = VovFile(header, "red, still", np.array([0, -1, 2, 0]))
        >>> VovFile.from_bytes(file.to_bytes()) == file
        True
        >>> file.section_bytes()
        {'container': 22, 'header': 24, 'caption': 7, 'count_table': 7, 'vector': 4, 'indices': 0}
    """

    header: Header
    caption: str = ""
    symbols: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    indices: Indices = ()

    def __post_init__(self) -> None:
        symbols = check_symbols(self.symbols).copy()  # the bytes are kept, so the symbols must not change
        if len(symbols) != self.header.k:
            raise BitstreamError(f"header says k={self.header.k}, but {len(symbols)} symbols are given")
        symbols.setflags(write=False)
        object.__setattr__(self, "symbols", symbols)
        indices = check_indices(self.indices, self.header.index_bits)
        if bool(indices) != (self.header.kernel != "ode") or len(indices) > self.header.steps - 1:
            raise BitstreamError(
                f"header says kernel={self.header.kernel}, steps={self.header.steps}, but indices of {len(indices)} "
                "steps are given; ode takes none, another kernel some for all steps but the last"
            )
        object.__setattr__(self, "indices", indices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VovFile):
            return NotImplemented
        same_words = (self.header, self.caption) == (other.header, other.caption)
        same_steps = len(self.indices) == len(other.indices) and all(map(np.array_equal, self.indices, other.indices))
        return same_words and same_steps and np.array_equal(self.symbols, other.symbols)

    def __hash__(self) -> int:
        return hash((self.header, self.caption, self.symbols.tobytes()))

    @cached_property
    def _encoded(self) -> tuple[bytes, dict[str, int]]:
        """The file, and the bytes of each of its parts. A file that was read keeps the bytes that it was read from."""
        header, caption = self.header.to_bytes(), encode_caption(self.caption)
        table, payload = encode_symbols(self.symbols)
        indices = encode_indices(self.indices, self.header.index_bits)
        contents = {1: header, 2: caption, 3: table + payload, 4: indices}
        present = [number for number, content in contents.items() if content]
        data = MAGIC + bytes([VERSION])
        for number in present:
            mark = LAST if number == present[-1] else 0
            section = bytes([number | mark]) + write_varint(len(contents[number])) + contents[number]
            data += section + zlib.crc32(section).to_bytes(4, "little")
        return data, _sizes(data, header, caption, len(table), len(payload), len(indices))

    def to_bytes(self) -> bytes:
        """The file."""
        return self._encoded[0]

    def section_bytes(self) -> dict[str, int]:
        """Bytes of each part of the file; they sum to its size.

        ``container`` (magic, ids, lengths, checksums), ``header``, ``caption``, ``count_table``, ``vector`` and
        ``indices``.
        """
        return dict(self._encoded[1])

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> "VovFile":
        """The file behind ``data``; ``BitstreamError`` says what is wrong with any other bytes."""
        data = bytes(data)
        contents = _split(data, limits)
        header = Header.from_bytes(contents["header"])
        limits.check_header(header)
        for name, title, wanted, reason in (
            ("vector", "a vector section", header.k > 0, f"k={header.k}"),
            ("indices", "an index section", header.kernel != "ode", f"kernel={header.kernel}"),
        ):
            if (name in contents) != wanted:
                have = "has" if name in contents else "lacks"
                raise BitstreamError(f"header says {reason}, but the file {have} {title}")
        coded_caption, coded_vector = contents.get("caption"), contents.get("vector", b"")
        caption = "" if coded_caption is None else decode_caption(coded_caption, limits.caption_bytes)
        symbols, table_size = decode_symbols(coded_vector, header.k)
        coded_indices = contents.get("indices", b"")
        indices: Indices = ()
        if coded_indices:
            most = min(limits.indices, limits.candidates >> header.index_bits)
            indices = decode_indices(coded_indices, header.index_bits, header.steps - 1, most)
        file = cls(header, caption, symbols, indices)
        parts = (coded_caption or b"", table_size, len(coded_vector) - table_size, len(coded_indices))
        sizes = _sizes(data, contents["header"], *parts)
        file.__dict__["_encoded"] = (data, sizes)  # fills the cached property
        return file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: whole or not at all."""
        atomic_write(path, self.to_bytes())

    @classmethod
    def open(cls, path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> "VovFile":
        """Read the file at ``path``; at most ``limits.file_bytes`` of it are ever in memory.

        Raises:
            BitstreamError: If it cannot be read or is not a valid file; the message begins with the path.
        """
        try:
            with open(path, "rb") as stream:
                limits.check("file_bytes", os.fstat(stream.fileno()).st_size)
                return cls.from_bytes(stream.read(limits.file_bytes + 1), limits)
        except OSError as error:
            raise BitstreamError(f"{path} cannot be read: {error.strerror}") from error
        except BitstreamError as error:
            raise BitstreamError(f"{path}: {error}") from error


def _sizes(data: bytes, header: bytes, caption: bytes, table: int, payload: int, indices: int) -> dict[str, int]:
    contents = {"header": len(header), "caption": len(caption), "count_table": table, "vector": payload}
    contents["indices"] = indices
    return {"container": len(data) - sum(contents.values()), **contents}


def _split(data: bytes, limits: Limits) -> dict[str, bytes]:
    """Contents of the sections by name, once the frame around them is found to be sound."""
    limits.check("file_bytes", len(data))
    _check_magic(data)
    contents: dict[str, bytes] = {}
    position, previous, mark = len(MAGIC) + 1, 0, 0
    while not mark:
        if position == len(data):
            raise BitstreamError(f"file ends after {position} bytes, but more sections follow; the file is truncated")
        number, mark = data[position] & ~LAST, data[position] & LAST
        name = SECTIONS.get(number)
        if name is None:
            raise BitstreamError(f"section {number} is unknown to version {VERSION} of the format; the file is damaged")
        if number <= previous:
            raise BitstreamError(f"section {name} is repeated or out of order; the file is damaged")
        if not contents and name != "header":
            raise BitstreamError(f"file starts with section {name}, wanted header; the file is damaged")
        contents[name], position = _section(data, position, name)
        previous = number
    if position != len(data):
        raise BitstreamError(f"file goes on for {len(data) - position} bytes after its last section; it is damaged")
    return contents


def _section(data: bytes, start: int, name: str) -> tuple[bytes, int]:
    """Content of the section at ``start`` and the position after it."""
    reader = Reader(data[start : start + 11], f"the frame of section {name}")  # an id and a varint
    reader.take(1)
    size = reader.varint()
    content = start + reader.position
    end = content + size + 4
    if end > len(data):
        raise BitstreamError(f"{name} section announces {end} bytes, file holds {len(data)}; the file is truncated")
    wanted, found = int.from_bytes(data[end - 4 : end], "little"), zlib.crc32(data[start : end - 4])
    if wanted != found:
        raise BitstreamError(f"{name} section has checksum {found:08x}, wanted {wanted:08x}; the file is damaged")
    return data[content : end - 4], end


def _check_magic(data: bytes) -> None:
    if data[:3] != MAGIC:
        start = f"starts with {data[:8]!r}" if data else "is empty"
        raise BitstreamError(f"not a .vov file: {start}, wanted {MAGIC!r}")
    if len(data) == 3:
        raise BitstreamError("file ends after 3 bytes; the file is truncated")
    if data[3] > VERSION:
        raise BitstreamError(
            f"file is in version {data[3]} of the .vov format, this vov_lightning reads up to {VERSION}; "
            "upgrade it: pip install --upgrade vov_lightning"
        )
    if data[3] != VERSION:
        raise BitstreamError(f"file is in version {data[3]} of the .vov format, which does not exist; it is damaged")
