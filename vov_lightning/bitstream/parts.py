"""The frame of a version 2 file: the head and the parts behind it, each with its checksum (FORMAT.md, "File").

A part's checksum goes on from the head's and its own number, so that a part which was moved, or comes from another
file, is found as surely as one that has changed.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from vov_lightning.bitstream.wire import Reader, write_varint
from vov_lightning.errors import BitstreamError

START = b"VOV\x02"
CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Part:
    """Content of one part; ``damage`` says why it must not be used, and is empty for a sound one."""

    content: bytes
    damage: str = ""


def write_parts(head: bytes, contents: Sequence[bytes]) -> bytes:
    """A whole file of a head and the contents of its parts."""
    data = START + write_varint(len(head)) + head
    start = zlib.crc32(data)
    chunks = [data, _bytes(start)]
    for number, content in enumerate(contents):
        chunks += [content, _bytes(_checksum(start, number, content))]
    return b"".join(chunks)


def read_head_bytes(data: bytes) -> tuple[bytes, int]:
    """Content of the head of a file that begins with ``START``, and the position behind its checksum.

    Raises:
        BitstreamError: If it is damaged or not whole: nothing can be read without it.
    """
    reader = Reader(data[: len(START) + 10], "the length of the head")
    reader.take(len(START))
    size = reader.varint()
    end = reader.position + size
    if end + CHECKSUM_BYTES > len(data):
        raise BitstreamError(
            f"the head announces {end + CHECKSUM_BYTES} bytes, the file holds {len(data)}; the file is truncated"
        )
    wanted, found = data[end : end + CHECKSUM_BYTES], _bytes(zlib.crc32(data[:end]))
    if wanted != found:
        raise BitstreamError(_mismatch("the head", found, wanted))
    return data[reader.position : end], end + CHECKSUM_BYTES


def read_parts(data: bytes, start: int, names: Sequence[str], lengths: Sequence[int]) -> list[Part]:
    """The parts behind the head, which ends at ``start``; ``lengths`` are those of all but the last.

    Raises:
        BitstreamError: If there are no parts, and yet bytes.
    """
    if not names and start < len(data):
        raise BitstreamError(f"the file goes on for {len(data) - start} bytes after its end; it is damaged")
    head, parts, position = zlib.crc32(data[: start - CHECKSUM_BYTES]), [], start
    for number in range(len(names)):
        last = number == len(names) - 1
        end = max(position, len(data) - CHECKSUM_BYTES) if last else position + lengths[number]
        content, wanted = data[position:end], data[end : end + CHECKSUM_BYTES]
        if len(wanted) < CHECKSUM_BYTES:
            there = max(0, len(data) - position)
            parts.append(Part(b"", f"only {there} of its bytes are there; the file is truncated"))
        else:
            found = _bytes(_checksum(head, number, content))
            parts.append(Part(content, "" if found == wanted else _mismatch("it", found, wanted)))
        position = end + CHECKSUM_BYTES
    return parts


def _checksum(head: int, number: int, content: bytes) -> int:
    """CRC-32 of the head's bytes, the part's number and its content, one after the other, from that of the head."""
    return zlib.crc32(content, zlib.crc32(write_varint(number), head))


def _bytes(checksum: int) -> bytes:
    return checksum.to_bytes(CHECKSUM_BYTES, "little")


def _mismatch(name: str, found: bytes, wanted: bytes) -> str:
    return f"{name} has checksum {found.hex()}, wanted {wanted.hex()}; the file is damaged"
