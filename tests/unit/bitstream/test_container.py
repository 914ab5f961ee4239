"""The file: parts that sum to its size, and a refusal in words for everything that is not a ``.vov`` file."""

import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from support import BEYOND_LIMITS

from vov_lightning.bitstream import BitstreamError, Header, Limits, VovFile, short_float32
from vov_lightning.bitstream.caption import DICTIONARY, decode_caption, encode_caption
from vov_lightning.bitstream.head import Head
from vov_lightning.bitstream.parts import write_parts

HEADER = Header("nano", "2", bytes(range(8)), frames=9, height=64, width=64, fps=Fraction(24), k=6, step=0.5)
SYMBOLS = np.array([0, 1, 0, -1, 0, 0], np.int32)
FILE = VovFile(HEADER, "red, still", SYMBOLS)
BARE = VovFile(replace(HEADER, k=0, step=1.0))


@pytest.mark.parametrize("file", [FILE, BARE, replace(BARE, caption="x"), VovFile(HEADER, symbols=SYMBOLS)])
def test_round_trip(file):
    data = file.to_bytes()
    again = VovFile.from_bytes(data)
    assert again == file
    assert again.to_bytes() == data
    assert again.section_bytes() == file.section_bytes()
    names = ["container", "header", "caption", "count_table", "vector", "indices", "times", "sound"]
    assert list(file.section_bytes()) == names
    assert sum(file.section_bytes().values()) == len(data)
    assert again.symbols.dtype == np.int32


def test_overhead():
    """What a file costs besides caption, count table and vector: 27 bytes for nano, 77 for the largest usual."""
    nano = VovFile(replace(HEADER, k=4096), symbols=np.resize(SYMBOLS, 4096)).section_bytes()
    assert nano["container"] + nano["header"] == 27
    header = Header(
        "wan2.1-t2v-1.3b-diff",
        "0123456779abcdef0123456779abcdef01234567",
        bytes(range(8)),
        frames=81,
        height=480,
        width=832,
        fps=Fraction(16),
        compute_dtype="bfloat16",
        guidance=5.0,
        k=131072,
        step=short_float32(0.0123456),
        targets=3,
        pad_height=8,
    )
    wan = VovFile(header, "a cat", np.resize(SYMBOLS, 131072)).section_bytes()
    assert wan["container"] + wan["header"] == 77


def test_symbols_are_read_only_and_belong_to_the_file():
    symbols = SYMBOLS.copy()
    file = VovFile(HEADER, "", symbols)
    symbols[0] = 9
    assert file.symbols[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        file.symbols[0] = 1


def test_files_compare_by_value():
    assert VovFile(HEADER, "red, still", SYMBOLS.astype(np.int64)) == FILE
    assert replace(FILE, caption="red") != FILE
    assert FILE != "file"
    assert len({FILE, VovFile.from_bytes(FILE.to_bytes())}) == 1


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (SYMBOLS[:5], "header says k=6, but 5 symbols are given"),
        (SYMBOLS.astype(np.float32), "wanted integers"),
        (SYMBOLS.astype(np.int64) + 2**32, "-32768 to 32768"),
        (SYMBOLS.reshape(2, 3), "wanted integers"),
    ],
)
def test_wrong_symbols_are_refused(symbols, message):
    with pytest.raises(BitstreamError, match=message):
        VovFile(HEADER, "", symbols)


def damaged(*parts: bytes, head: Head) -> bytes:
    """A file with right checksums around any head and parts."""
    return write_parts(head.to_bytes(), parts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a .vov file: is empty"),
        (b"VO", "not a .vov file: starts with b'VO'"),
        (b"VOV", "truncated"),
        (b"VOV\x02", "length of the head ends after 4 bytes"),
        (b"\0\0\0\x20ftypisom" + bytes(90), r"not a .vov file: starts with b'\\x00\\x00\\x00 ftyp'"),
        (b"hello world", "starts with b'hello wo'"),
        (b"VOV\x03" + bytes(50), "version 3 of the .vov format.*reads up to 2; upgrade it"),
        (b"VOV\x00" + bytes(50), "version 0.*does not exist"),
        (FILE.to_bytes() + b"\0", "goes on for 1 bytes after its end"),
        (FILE.to_bytes()[:-1], r"the head announces \d+ bytes, the file holds \d+; the file is truncated"),
        (FILE.to_bytes()[:-5] + b"\0" + FILE.to_bytes()[-4:], r"the head has checksum [0-9a-f]{8}, wanted [0-9a-f]{8}"),
        (b"VOV\x02" + b"\xff" * 9 + b"\x01", "the head announces 18446744073709551633 bytes"),
        (b"VOV\x02" + b"\xff" * 20, "varint"),
        (damaged(head=replace(Head(BARE.header, (9,), (0,)), vector=b"x")), "the vector section holds 1 bytes more"),
        (damaged(head=Head(HEADER, (9,), (0,))), "the vector section ends after 0 bytes"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\0")), "caption is empty"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\0\xff")), "caption is not UTF-8"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\3abc")), "caption starts with 03"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\2a")), "caption number 61 says no words"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\2\0\0")), "caption number 0000 says no words"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\2\0\x87")), "caption number 0087 says no words"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=b"\1abc")), "caption does not inflate|does not end"),
        (damaged(head=Head(BARE.header, (9,), (0,), caption=encode_caption("of the") + b"x")), "does not end where"),
        (damaged(b"", head=Head(BARE.header, (9,), (0,), sound=True)), "announces sound, and there is none"),
        (damaged(head=Head(replace(BARE.header, frames=1), (1,), (0,), times=True)), "times of a single frame"),
    ],
)
def test_wrong_bytes_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(data)


@pytest.mark.parametrize(("change", "limits", "message"), BEYOND_LIMITS)
def test_limits_are_checked_first(change, limits, message):
    header = replace(HEADER, **change)
    head = Head(header, (header.frames,), (0,), caption=encode_caption(FILE.caption), vector=b"\0\0")
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(damaged(head=head), limits)


def test_the_caption_is_bounded_whatever_it_inflates_to():
    bomb = encode_caption("a" * 10**6)
    assert len(bomb) < 1100
    with pytest.raises(BitstreamError, match=r"inflates to more than the limit of 4096 bytes.*--limits.caption_bytes"):
        decode_caption(bomb, 4096)
    assert decode_caption(bomb, 10**6) == "a" * 10**6
    with pytest.raises(BitstreamError, match="caption_bytes=5000 is above the limit"):
        decode_caption(b"\0" + b"b" * 5000, 4096)


@pytest.mark.parametrize("caption", ["x", "日本の海岸", "bright, moderate, gray, detailed, slow", "\0", "e" * 4096])
def test_captions(caption):
    assert decode_caption(encode_caption(caption), 4096) == caption
    assert len(encode_caption(caption)) <= len(caption.encode()) + 1


def test_half_a_surrogate_is_no_caption():
    with pytest.raises(BitstreamError, match="caption is not Unicode text"):
        VovFile(BARE.header, "\ud800").to_bytes()


def test_the_dictionary_never_changes():
    assert (len(DICTIONARY), zlib.crc32(DICTIONARY)) == (1477, 0xC2B487D2)


def test_save_and_open(tmp_path):
    path = tmp_path / "x.vov"
    FILE.save(path)
    assert path.read_bytes() == FILE.to_bytes()
    assert VovFile.open(path) == FILE
    assert VovFile.open(str(path)) == FILE
    with pytest.raises(BitstreamError, match=f"file_bytes={len(FILE.to_bytes())} is above the limit of 20"):
        VovFile.open(path, Limits(file_bytes=20))


def test_a_limit_beyond_any_memory_is_no_limit(tmp_path):
    path = tmp_path / "a.vov"
    FILE.save(path)
    for most in (2**40, 2**63 - 1, 10**20):
        assert VovFile.open(path, Limits(file_bytes=most)) == FILE
    with pytest.raises(BitstreamError, match=f"file_bytes={path.stat().st_size} is above the limit of 9"):
        VovFile.open(path, Limits(file_bytes=9))
