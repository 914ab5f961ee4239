"""Version 1: its files are read for ever, and everything else with its magic is refused in words."""

import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from support import BEYOND_LIMITS

from vov_lightning.bitstream import BitstreamError, Header, VovFile, encode_symbols
from vov_lightning.bitstream.version1 import read_header, write_header
from vov_lightning.bitstream.wire import write_varint

FINGERPRINT = bytes(range(8))
HEADER = Header("nano", "1", FINGERPRINT, frames=9, height=64, width=64, fps=Fraction(24), k=6, step=0.5)
SYMBOLS = np.array([0, 1, 0, -1, 0, 0], np.int32)
FILE = VovFile(HEADER, "red, still", SYMBOLS)
BARE = VovFile(replace(HEADER, k=0, step=1.0))


def section(number: int, content: bytes, last: bool = False) -> bytes:
    data = bytes([number | 128 * last]) + write_varint(len(content)) + content
    return data + zlib.crc32(data).to_bytes(4, "little")


def built(*sections: tuple[int, bytes]) -> bytes:
    """A file with sound frames around any content."""
    parts = [section(number, content, i == len(sections) - 1) for i, (number, content) in enumerate(sections)]
    return b"VOV\x01" + b"".join(parts)


BARE_HEADER = write_header(BARE.header, FINGERPRINT)
PARTS = ((1, write_header(HEADER, FINGERPRINT)), (2, b"\0red, still"), (3, b"".join(encode_symbols(SYMBOLS))))
DATA = built(*PARTS)


def test_a_file_is_read_and_kept():
    file = VovFile.from_bytes(DATA)
    assert file == FILE
    assert file.version == 1
    assert file.to_bytes() == DATA
    assert sum(file.section_bytes().values()) == len(DATA)
    assert file.section_bytes()["header"] == len(PARTS[0][1])


def test_what_is_written_is_the_newest_version():
    assert replace(VovFile.from_bytes(DATA), caption="red").to_bytes()[:4] == b"VOV\x02"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"VOV\x01", "ends after 4 bytes, but more sections follow; the file is truncated"),
        (DATA + b"\0", "goes on for 1 bytes after its last section"),
        (DATA[:-1], r"vector section announces \d+ bytes, file holds \d+; the file is truncated"),
        (b"VOV\x01" + section(*PARTS[0]) + section(*PARTS[1]), "more sections follow; the file is truncated"),
        (built(*PARTS[:2]), "header says k=6, but the file lacks a vector section"),
        (built((1, BARE_HEADER), PARTS[2]), "header says k=0, but the file has a vector section"),
        (built((1, BARE_HEADER), (3, b"")), "header says k=0, but the file has a vector section"),
        (built(PARTS[1], PARTS[2]), "starts with section caption, wanted header"),
        (built(PARTS[0], PARTS[2], PARTS[1]), "section caption is repeated or out of order"),
        (built(PARTS[0], PARTS[0], PARTS[2]), "section header is repeated"),
        (built(*PARTS, (4, b"")), "header says kernel=ode, but the file has an index section"),
        (built(*PARTS, (5, b"")), "section 5 is unknown to version 1"),
        (built((0, b""), *PARTS), "section 0 is unknown"),
        (built(PARTS[0], (2, b""), PARTS[2]), "section caption starts with nothing"),
        (built(PARTS[0], (2, b"\0"), PARTS[2]), "caption is empty"),
        (built(PARTS[0], (2, b"\0\xff"), PARTS[2]), "caption is not UTF-8"),
        (built(PARTS[0], (2, b"\2abc"), PARTS[2]), "section caption starts with 02"),
        (built(PARTS[0], (2, b"\1abc"), PARTS[2]), "caption does not inflate|does not end"),
        (b"VOV\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "header section announces 18446744073709551634 bytes"),
        (b"VOV\x01\x81" + b"\xff" * 20, "varint"),
        (b"VOV\x01\x81", "frame of section header ends"),
    ],
)
def test_wrong_bytes_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(data)


def test_a_damaged_section_is_named():
    data = bytearray(DATA)
    data[-6] ^= 1
    with pytest.raises(BitstreamError, match=r"vector section has checksum [0-9a-f]{8}, wanted [0-9a-f]{8}"):
        VovFile.from_bytes(bytes(data))


@pytest.mark.parametrize(("change", "limits", "message"), BEYOND_LIMITS)
def test_limits_are_checked_first(change, limits, message):
    data = built((1, write_header(replace(HEADER, **change), FINGERPRINT)), *PARTS[1:])
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(data, limits)


def test_literal_bytes_of_a_header():
    assert (
        write_header(replace(HEADER, k=4096), FINGERPRINT).hex()
        == (
            "04" + b"nano".hex() + "0131" + "0001020304050607" + "094040" + "1801"  # required fields
            "18" + "8020" + "fc01"  # flags: k and step; their values
        )
    )
    assert read_header(write_header(HEADER, FINGERPRINT)) == HEADER


HEAD = bytes.fromhex("046e616e6f" + "0131" + "0001020304050607" + "094040")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the header ends after 0 bytes"),
        (HEAD, "the header ends after 18 bytes"),
        (HEAD + bytes.fromhex("180100" + "00"), "1 bytes more"),
        (HEAD + bytes.fromhex("300200"), "canonical"),  # 48/2
        (HEAD + bytes.fromhex("180000"), "24/0"),
        (HEAD + bytes.fromhex("000100"), "fps: 0"),
        (HEAD + bytes.fromhex("18018000"), "over-long"),
        (HEAD + bytes.fromhex("180103"), "compute_dtype: choice 3 is unknown"),
        (HEAD + bytes.fromhex("18010800"), "canonical"),  # k, announced but 0
        (HEAD + bytes.fromhex("18018080808004"), "flags that"),  # bit 30
        (HEAD + bytes.fromhex("1801808018"), "kernel: choice 3 is unknown"),
        (HEAD + bytes.fromhex("18018001" + "00"), "steps: 0"),
        (HEAD + bytes.fromhex("18018004ffffffffff7f"), "more than 32 bits"),
        (HEAD + bytes.fromhex("18018004" + "fe03"), "guidance: inf"),
        (HEAD + bytes.fromhex("18018004" + "01"), "canonical"),  # guidance -0.0
        (b"\x04NANO" + HEAD[5:] + b"\x18\x01\x00", "base_name"),
        (b"\x02\xc3\xa9" + HEAD[5:] + b"\x18\x01\x00", "base_name"),
        (HEAD[:5] + b"\x42" + HEAD[7:] + b"\x18\x01\x00", "ends after"),
        (HEAD[:5] + b"\x28" + b"0" * 40 + HEAD[7:] + b"\x18\x01\x00", "canonical"),  # a git hash, not packed
    ],
)
def test_wrong_headers_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        read_header(data)
