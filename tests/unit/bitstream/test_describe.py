"""``vov-info``: everything that the file says, and where its bytes go."""

import json
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from vov_lightning.bitstream import Header, VovFile, describe, entropy_bits, format_description

HEADER = Header("nano", "1", b"\x3f" * 8, frames=9, height=64, width=64, fps=Fraction(24), k=6, step=0.5)
FILE = VovFile(HEADER, "red, still\x1b[2J", np.array([0, 1, 0, -2, 0, 0]))


def test_description_is_json_and_complete():
    description = describe(FILE)
    assert json.loads(json.dumps(description)) == description
    assert list(description["header"]) == [item.name for item in fields(Header)]
    assert description["header"]["fps"] == "24"
    assert description["header"]["base_fingerprint"] == "3f" * 8
    assert description["header"]["compute_dtype"] == "float32"
    assert description["symbols"] == {"min": -2, "max": 1, "nonzero": 2}
    assert description["entropy_bits"] == entropy_bits([1, 4, 1])


def test_every_byte_counts():
    description, size = describe(FILE), len(FILE.to_bytes())
    assert description["bytes"] == {**FILE.section_bytes(), "total": size}
    assert description["bpp"] == 8 * size / (9 * 64 * 64)
    assert description["rate_kbps"] == pytest.approx(8 * size * 24 / 9 / 1000)
    assert description["bits_per_entry"]["total"] == 8 * size / 6


def test_table_names_every_field_and_escapes_the_caption():
    text = format_description(describe(FILE))
    for item in fields(Header):
        assert item.metadata["words"] in text
    assert r"'red, still\x1b[2J'" in text
    assert "\x1b" not in text
    assert "bits/entry" in text


def test_file_without_vector():
    bare = VovFile(replace(HEADER, k=0, step=1.0))
    description = describe(bare)
    assert "bits_per_entry" not in description
    assert "symbols" not in description
    text = format_description(description)
    assert "(none)" in text
    assert "bits/entry" not in text
