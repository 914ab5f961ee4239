"""Files of each version of the format, byte for byte; they are read for ever.

``VOV_WRITE_GOLDEN=1 pytest tests/golden`` rewrites those of version 2, to be reviewed as a diff. A change in them
breaks the format: add ``v3/`` and keep these. Version 1 is written no more: its files stay as they are. zlib promises
no bytes (zlib-ng deflates otherwise), so a file with deflated parts is read, but not expected to be written alike.
"""

import os
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from independent_reader import read

from vov_lightning.bitstream import FrameTimes, Header, Segment, VovFile
from vov_lightning.bitstream.caption import DEFLATED, encode_caption

FOLDER = Path(__file__).parent
WRITE = os.environ.get("VOV_WRITE_GOLDEN") == "1"


def laplacian_like(k: int) -> np.ndarray:
    """Symbols from plain integer arithmetic: about 2 bits an entry, no random generator whose stream could change."""
    state, symbols = 1, []
    for _ in range(k):
        state = (1103515245 * state + 12345) % 2**31
        bits = state >> 8
        trailing_zeros = (bits & -bits).bit_length() - 1 if bits else 0
        symbols.append(trailing_zeros if state >> 30 else -trailing_zeros)
    return np.array(symbols, np.int32)


def steps(*counts: int, index_bits: int = 8, first: int = 5) -> tuple[np.ndarray, ...]:
    """Indices of steps that carry ``counts`` of them."""
    return tuple(np.array([(first + 37 * i * i) % 2**index_bits for i in range(count)], np.int64) for count in counts)


NANO: dict[str, Any] = {"base_name": "nano", "base_revision": "1", "base_fingerprint": bytes(range(8))}
STEERED: dict[str, Any] = {"kernel": "ancestral", "eta": 1.0}
SINGLE = {
    "no_vector": VovFile(Header(**NANO, frames=1, height=64, width=96, fps=Fraction(1), steps=50, grid="linear")),
    "nano": VovFile(
        Header(**NANO, frames=9, height=64, width=64, fps=Fraction(24), k=256, step=0.5, seed=7, hash_seed=2**40),
        "red, still",
        laplacian_like(256),
    ),
    "unilora": VovFile(
        Header(
            **NANO, frames=5, height=64, width=64, fps=Fraction(25), k=16, hash_scheme="unilora_numpy", hash_seed=42
        ),
        "",
        laplacian_like(16),
    ),
    "lora": VovFile(
        Header(**NANO, frames=5, height=64, width=64, fps=Fraction(25), k=16, step=0.25, rank=3, hash_scheme="lora"),
        "",
        laplacian_like(16),
    ),
    "outlier": VovFile(
        Header(**NANO, frames=9, height=64, width=64, fps=Fraction(24), k=8, step=0.1),
        "é",
        np.array([0, 0, -32768, 0, 1, 0, 32768, 0]),
    ),
    "wan": VovFile(
        Header(
            base_name="wan2.1-t2v-1.3b",
            base_revision="0123456789abcdef0123456789abcdef01234567",
            base_fingerprint=bytes.fromhex("3f1a9c0000c0ffee"),
            frames=81,
            height=479,
            width=831,
            fps=Fraction(30000, 1001),
            compute_dtype="bfloat16",
            shift=5.0,
            k=20,
            step=0.25,
            targets=3,
            rank=2,
            steps=100,
            guidance=5.0,
            pad_height=1,
            pad_width=1,
            vae_tiling=True,
        ),
        "",
        np.full(20, -3),
    ),
}
"""What both versions can say."""
CLIPS = {
    "dictionary": VovFile(
        Header(
            **NANO,
            frames=9,
            height=64,
            width=64,
            fps=Fraction(25),
            k=12,
            step=0.5,
            hash_scheme="dictionary",
            hash_seed=9,
        ),
        "",
        laplacian_like(12),
    ),
    "instant": VovFile.single(
        Header(**NANO, frames=9, height=64, width=64, fps=Fraction(25), steps=50, **STEERED),
        "dark, flat, gray, smooth, still",
        indices=steps(0, 3, 4, 40),
    ),
    "padded": VovFile.single(
        Header(
            **NANO,
            frames=6,
            height=63,
            width=61,
            pad_frames=3,
            pad_height=1,
            pad_width=3,
            fps=Fraction(25),
            kernel="euler_maruyama",
            codebook="iid",
            index_bits=11,
        ),
        "a dog on a boat in the water, slowly turning towards the camera",
        indices=steps(2, 0, 1, index_bits=11),
    ),
    "segments": VovFile(
        Header(
            **NANO,
            frames=17 + 30 + 9 + 1,
            height=144,
            width=256,
            fps=Fraction(2997, 100),
            steps=50,
            k=64,
            step=0.5,
            rank=2,
            targets=783,
            kernel="ancestral",
            eta=0.5,
            seed=2**64 - 2,
            window=(3, 8, 8, 1, 2),
            sample_aspect_ratio=Fraction(16, 15),
        ),
        "bright, moderate, green, detailed, fast, moving left, zooming in",
        laplacian_like(64),
        (
            Segment(17, 0, steps(3, 3, 5)),
            Segment(30, 3, steps(0, 0, 7, first=200)),
            Segment(9),
            Segment(1, 8, steps(*[1] * 49)),
        ),
        b"OggS: the content of a small audio file",
        FrameTimes(Fraction(1, 90000), np.cumsum([0] + [3003, 3003, 3003, 6006] * 14)),
    ),
    "context": VovFile(
        Header(
            **NANO,
            frames=90 + 40,
            height=144,
            width=256,
            fps=Fraction(25),
            steps=6,
            window=(3, 8, 8, 0, 2),
            context=2,
            **STEERED,
        ),
        "dim, still",
        segments=(
            Segment(90, 0, steps(9, 9, 5, 0, 0, 0, *(2, 3, 3, 0, 0, 0) * 2, 0, 0, 0, 0, 0, 0, 1, 3, 4, 8)),
            Segment(40, 5, steps(0, 7, first=200)),
        ),
    ),
    "deblock": VovFile(
        Header(
            **NANO, frames=18, height=144, width=256, fps=Fraction(25), window=(3, 8, 8, 0, 2), context=2, deblock=True
        ),
        "dim, still",
    ),
    "plain_segments": VovFile(
        Header(**(NANO | {"base_name": "own.model"}), frames=150, height=64, width=64, fps=Fraction(15)),
        "two people",
        segments=(Segment(75), Segment(75)),
        times=FrameTimes(Fraction(1, 1000), 66 * np.arange(150) + np.arange(150) // 3),
    ),
    "sound_only": replace(SINGLE["no_vector"], sound=bytes(range(256))),
    "many": VovFile(
        Header(**NANO, frames=260, height=8, width=8, fps=Fraction(60000, 1001), **STEERED),
        segments=tuple(Segment(2, 0, steps(1, first=n)) for n in range(130)),
    ),
}
"""What only version 2 can say."""


def stored(version: str, name: str) -> bytes:
    """Files lie as hexadecimal text, 32 bytes a line, so that a diff can be read."""
    return bytes.fromhex((FOLDER / version / "bitstream" / f"{name}.hex").read_text())


@pytest.mark.parametrize("name", SINGLE)
def test_golden_file_of_version_1(name):
    file = VovFile.from_bytes(stored("v1", name))
    assert file == SINGLE[name]
    assert file.version == 1
    assert VovFile.from_bytes(replace(file).to_bytes()).version == 2


@pytest.mark.parametrize("name", [*SINGLE, *CLIPS])
def test_golden_file_of_version_2(name):
    file = (SINGLE | CLIPS)[name]
    if WRITE:
        digits = file.to_bytes().hex()
        path = FOLDER / "v2" / "bitstream" / f"{name}.hex"
        path.write_text("".join(digits[i : i + 64] + "\n" for i in range(0, len(digits), 64)))
    expected = stored("v2", name)
    assert VovFile.from_bytes(expected) == file
    deflated = file.times is not None or encode_caption(file.caption)[:1] == bytes([DEFLATED])
    if not deflated:
        assert file.to_bytes() == expected


@pytest.mark.parametrize("name", [*SINGLE, *CLIPS])
def test_the_independent_reader_agrees(name):
    file, found = VovFile.from_bytes(stored("v2", name)), read(stored("v2", name))
    header = asdict(file.header)
    header.pop("pad_frames")
    assert found["fields"] == header
    assert found["caption"] == file.caption
    assert found["symbols"] == file.symbols.tolist()
    assert found["segments"] == [
        (segment.frames, segment.pad_frames, [step.tolist() for step in segment.indices]) for segment in file.segments
    ]
    assert found["times"] == (file.times and (file.times.time_base, file.times.ticks.tolist()))
    assert found["sound"] == file.sound


def test_a_small_file_is_small():
    """Issue 15: 30 bytes for container and header of one segment of nano, 3 for its caption."""
    sizes = VovFile.from_bytes(stored("v2", "instant")).section_bytes()
    assert (sizes["container"] + sizes["header"], sizes["caption"]) == (26, 3)
