"""Files that version 1 wrote, byte for byte; they decode for ever.

``VOV_WRITE_GOLDEN=1 pytest tests/golden`` rewrites them, to be reviewed as a diff. A change in them breaks the format:
add ``v2/`` and keep these. zlib promises no bytes (zlib-ng deflates otherwise), so a file with a deflated caption is
read, but not expected to be written alike.
"""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vov_lightning.bitstream import Header, VovFile
from vov_lightning.bitstream.caption import PLAIN, encode_caption

FOLDER = Path(__file__).parent / "v1" / "bitstream"
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


NANO = {"base_name": "nano", "base_revision": "1", "base_fingerprint": bytes(range(8))}
FILES = {
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


@pytest.mark.parametrize("name", FILES)
def test_golden_file(name):
    """Stored as hexadecimal text, 32 bytes a line, so that a diff can be read."""
    path, file = FOLDER / f"{name}.hex", FILES[name]
    if WRITE:
        digits = file.to_bytes().hex()
        path.write_text("".join(digits[i : i + 64] + "\n" for i in range(0, len(digits), 64)))
    expected = bytes.fromhex(path.read_text())
    assert VovFile.from_bytes(expected) == file
    assert VovFile.from_bytes(expected).header.to_bytes() in expected
    if not file.caption or encode_caption(file.caption)[0] == PLAIN:
        assert file.to_bytes() == expected
