"""Hostile files: every section mutated, most of them behind right checksums, so that mutations reach the inner parsers.

Seeds are the golden files of both versions. Whatever comes of them is a file or a ``BitstreamError``, in bounded time
and memory, read strictly or not. A failure names the bytes.
"""

import random
import time
import tracemalloc
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vov_lightning.bitstream import BitstreamError, VovFile, describe, format_description
from vov_lightning.bitstream.head import read_head
from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.bitstream.parts import read_head_bytes, read_parts, write_parts
from vov_lightning.bitstream.wire import Reader, write_varint

GOLDEN = Path(__file__).parents[1] / "golden"
SEEDS = [bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob("v*/bitstream/*.hex"))]
SEEDS += [path.read_bytes() for path in sorted(GOLDEN.glob("v*/*.vov"))]

MOST_SECONDS = 5.0
"""A vector of 2^24 entries takes one; the rest is for busy test machines."""
MOST_BYTES = 5 * 64 * 2**20
"""A vector of 2^24 entries, and copies of it."""
LARGE = [write_varint(n) for n in (127, 128, 2**14, 2**24, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)]
LARGE += [b"\xff" * 10, b"\x80\0"]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """``data`` after one to four changes of any kind."""
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        at = dice.randrange(len(data) + 1)
        to = min(len(data), at + dice.choice([1, 1, 2, 4, 16]))
        kind = dice.randrange(7)
        if kind == 0 and data:
            at %= len(data)
            data = data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + dice.choice(LARGE) + data[dice.choice([at, to]) :]
        elif kind == 3:
            data = data[:at] + data[to:]
        elif kind == 4:
            data = data[:at] + data[at:to] * dice.choice([2, 3, 200]) + data[to:]
        elif kind == 5:
            data = data[:at] + dice.randbytes(dice.choice([1, 2, 8])) + data[to:]
        else:
            other = dice.choice(SEEDS)
            data = data[:at] + other[dice.randrange(len(other)) :][: dice.choice([4, 40, 4000])] + data[to:]
    return data


def deflated_inside(content: bytes, wbits: int, dice: random.Random) -> bytes:
    """A part that ends in a deflate stream, which inflates to something else."""
    for start in range(min(12, len(content))):
        try:
            inner = zlib.decompress(content[start:], wbits)
        except zlib.error:
            continue
        compressor = zlib.compressobj(wbits=wbits)
        return content[:start] + compressor.compress(mutated(inner, dice)) + compressor.flush()
    return mutated(content, dice)


def version_1(data: bytes, dice: random.Random) -> bytes:
    """A file of version 1 with one section changed, or all of them in another order, in sound frames."""
    reader, sections = Reader(data[4:], "seed"), []
    while reader.position < len(reader.data):
        number = reader.take(1)[0] & 127
        sections.append((number, reader.take(reader.varint())))
        reader.take(4)
    which = dice.randrange(len(sections))
    sections[which] = (sections[which][0], mutated(sections[which][1], dice))
    if dice.random() < 0.1:
        sections[which] = (dice.randrange(7), sections[which][1])
        dice.shuffle(sections)
    out = b"VOV\x01"
    for i, (number, content) in enumerate(sections):
        part = bytes([number | 128 * (i == len(sections) - 1)]) + write_varint(len(content)) + content
        out += part + zlib.crc32(part).to_bytes(4, "little")
    return out


def version_2(data: bytes, dice: random.Random) -> bytes:
    """A file of version 2 with its head or one of its parts changed, and all lengths and checksums right."""
    content, start = read_head_bytes(data)
    head = read_head(content, DEFAULT_LIMITS)
    parts = [part.content for part in read_parts(data, start, head.part_names, head.lengths)]
    kind = dice.randrange(4)
    if kind == 0 or not parts:
        return write_parts(mutated(content, dice), parts)
    if kind == 1:
        field = dice.choice(["caption", "vector"])
        changed: dict[str, Any] = {field: mutated(getattr(head, field), dice)}
        head = replace(head, **changed)
    elif kind == 2:
        which = dice.randrange(len(parts))
        parts[which] = deflated_inside(parts[which], -15, dice)
    else:
        parts[dice.randrange(len(parts))] = dice.choice(parts)
        head = replace(head, pad_frames=tuple(dice.choice([0, 1, 2**31]) for _ in head.frames))
    return write_parts(replace(head, lengths=tuple(map(len, parts))[:-1]).to_bytes(), parts)


def a_case(dice: random.Random) -> bytes:
    seed = dice.choice(SEEDS)
    if dice.random() < 0.25:
        return mutated(seed, dice)
    return (version_1 if seed[3] == 1 else version_2)(seed, dice)


def exercise(data: bytes, strict: bool) -> str:
    """What became of ``data``; whatever is read can be described, taken apart and written again."""
    try:
        file = VovFile.from_bytes(data, strict=strict)
    except BitstreamError:
        return "refused"
    assert file.to_bytes() == data
    assert sum(file.section_bytes().values()) == len(data)
    assert not (strict and file.damage)
    for number, segment in enumerate(file.segments[:3]):
        try:
            assert file.part(number).segments == (segment,)
        except BitstreamError:
            assert segment.damage
    if len(file.symbols) < 2**16:
        assert all(line.isprintable() for line in format_description(describe(file)).splitlines())
        if not file.damage:
            assert VovFile.from_bytes(replace(file).to_bytes()) == file
    return "damaged" if file.damage else "read"


def bounded(data: bytes, strict: bool, traced: bool) -> str:
    """What became of ``data``, in little time, and in little memory where that is traced (which takes time)."""
    start = time.process_time()
    if traced:
        tracemalloc.start()
    try:
        outcome = exercise(data, strict)
        assert not traced or tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < MOST_SECONDS
    return outcome


DURATION_S = 60


@pytest.mark.slow
def test_hostile_files_are_read_or_refused():
    dice, outcomes, end = random.Random(DURATION_S), Counter(), time.monotonic() + DURATION_S
    while time.monotonic() < end:
        data, strict = a_case(dice), dice.random() < 0.5
        try:
            outcomes[bounded(data, strict, traced=dice.random() < 0.1)] += 1
        except Exception as error:
            raise AssertionError(f"strict={strict}, {type(error).__name__}: {error}; bytes {data.hex()}") from error
    assert min(outcomes[name] for name in ("read", "damaged", "refused")) > 2 * DURATION_S, outcomes
