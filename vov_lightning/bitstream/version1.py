"""Version 1 of the format: always read, never written (FORMAT_V1.md).

    V O V 1 | header | caption (omitted if empty) | vector (omitted if k = 0) | indices (omitted if kernel = ode)

A section is ``id, length, content, CRC-32``; its checksum covers all three, and the last section's id carries a mark.
The contents of caption, vector and indices are those of version 2; the header lays the same fields out otherwise.
"""

import zlib
from collections.abc import Mapping
from typing import Any, get_args

from vov_lightning.bitstream.caption import NUMBERED
from vov_lightning.bitstream.flags import DEFAULTS, KINDS, read_flags, write_flags
from vov_lightning.bitstream.header import FloatType, Header
from vov_lightning.bitstream.wire import Choice, Ratio, Reader, Text, write_varint
from vov_lightning.errors import BitstreamError

SECTIONS = {1: "header", 2: "caption", 3: "vector", 4: "indices"}
LAST = 0x80
"""Set in the id of the last section."""

FINGERPRINT_BYTES = 8
_FLAGS = (
    *("compute_dtype", "grid", "k", "step", "targets", "rank", "steps", "shift", "guidance", "pad_frames"),
    *("pad_height", "pad_width", "vae_tiling", "seed", "hash_seed", "eta", "kernel", "scheduler", "hash_scheme"),
    *("codebook", "index_bits"),
)
LAYOUT = {name: KINDS[name] for name in _FLAGS} | {"compute_dtype": Choice(2, get_args(FloatType))}
"""Fields with a default, in the order of their bits. The others stand before the flags."""

_NAME, _RATE = Text(r"[a-z0-9._-]{1,64}", "1 to 64 characters of a-z 0-9 . _ -"), Ratio()


def read_sections(data: bytes) -> tuple[Header, dict[str, bytes]]:
    """The header, and the contents of the sections that follow it by name, of a whole file.

    Raises:
        BitstreamError: If the frame around them is not sound, or they are not those that the header announces.
    """
    contents = _split(data)
    header = read_header(contents["header"])
    for name, title, wanted, reason in (
        ("vector", "a vector section", header.k > 0, f"k={header.k}"),
        ("indices", "an index section", header.kernel != "ode", f"kernel={header.kernel}"),
    ):
        if (name in contents) != wanted:
            have = "has" if name in contents else "lacks"
            raise BitstreamError(f"header says {reason}, but the file {have} {title}")
    for name, content in contents.items():
        if not content or (name == "caption" and content[0] == NUMBERED):
            raise BitstreamError(f"section {name} starts with {content[:1].hex() or 'nothing'}; the file is damaged")
    return header, contents


def write_header(header: Header, fingerprint: bytes) -> bytes:
    """The header section's content, with the base model's fingerprint of eight bytes."""
    names = _NAME.write(header.base_name) + KINDS["base_revision"].write(header.base_revision)
    size = b"".join(map(write_varint, (header.frames, header.height, header.width))) + _RATE.write(header.fps)
    return names + fingerprint + size + write_flags(LAYOUT, vars(header), _default)


def read_header(data: bytes) -> Header:
    """The header that ``write_header`` wrote; anything else raises ``BitstreamError``."""
    reader = Reader(data, "the header")
    values: dict[str, Any] = {"base_name": _NAME.read(reader)}
    values["base_revision"] = KINDS["base_revision"].read(reader)
    values["base_fingerprint"] = fingerprint = reader.take(FINGERPRINT_BYTES)
    values |= {name: reader.varint() for name in ("frames", "height", "width")}
    values["fps"] = _RATE.read(reader)
    values |= read_flags(reader, LAYOUT, _default)
    reader.finish()
    header = Header(**values)
    if header.hash_scheme == "dictionary":
        raise BitstreamError("hash scheme 3 is unknown to version 1 of the format; the file is damaged")
    if write_header(header, fingerprint) != data:
        raise BitstreamError("the header is not in its canonical form; the file was not written by this format")
    return header


def _default(name: str, _: Mapping[str, Any]) -> Any:
    return DEFAULTS[name]


def _split(data: bytes) -> dict[str, bytes]:
    """Contents of the sections by name, once the frame around them is found to be sound."""
    contents: dict[str, bytes] = {}
    position, previous, mark = 4, 0, 0
    while not mark:
        if position == len(data):
            raise BitstreamError(f"file ends after {position} bytes, but more sections follow; the file is truncated")
        number, mark = data[position] & ~LAST, data[position] & LAST
        name = SECTIONS.get(number)
        if name is None:
            raise BitstreamError(f"section {number} is unknown to version 1 of the format; the file is damaged")
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
