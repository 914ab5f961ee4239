"""``vov-info``: everything that the file says, and where its bytes go."""

import json
import zlib
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from vov_lightning.bitstream import FrameTimes, Header, Segment, VovFile, describe, entropy_bits, format_description

HEADER = Header("nano", "1", b"\x3f" * 8, frames=9, height=64, width=64, fps=Fraction(24), k=6, step=0.5)
FILE = VovFile(HEADER, "red, still\x1b[2J", np.array([0, 1, 0, -2, 0, 0]))


def test_description_is_json_and_complete():
    description = describe(FILE)
    assert json.loads(json.dumps(description)) == description
    assert list(description["header"]) == [item.name for item in fields(Header)]
    assert description["header"]["fps"] == "24"
    assert description["header"]["base_fingerprint"] == "3f" * 4
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


def test_a_clip_with_sound_and_damage():
    header = replace(HEADER, k=0, step=1.0, frames=20, kernel="ancestral", eta=1.0, seed=3, window=(3, 8, 8, 1, 2))
    segments = (Segment(9, 0, (np.array([1, 2]),)), Segment(11, 2, (np.array([3]),)))
    times = FrameTimes(Fraction(1, 600), 20 * np.arange(20))
    clip = VovFile(header, segments=segments, sound=bytes(100), times=times)
    data = clip.to_bytes()
    description = describe(VovFile.from_bytes(data))
    assert json.loads(json.dumps(description)) == description
    assert description["header"]["window"] == [3, 8, 8, 1, 2]
    assert description["segments"] == [
        {"frames": 9, "pad_frames": 0, "indices": 2, "seed": 3},
        {"frames": 11, "pad_frames": 2, "indices": 1, "seed": 4},
    ]
    assert description["bytes"]["total"] == len(data)
    assert description["bytes"]["sound"] == 100
    assert description["bpp"] == 8 * len(data) / (20 * 64 * 64)
    assert description["bpp_without_sound"] == 8 * (len(data) - 100) / (20 * 64 * 64)
    assert description["seconds"] == pytest.approx(380 / 600 + 1 / 24)
    text = format_description(description)
    assert "2, of 9, 11 (+2) frames" in text
    assert "bpp without sound" in text
    assert "3 x 8 x 8 latents, overlaps 1 and 2" in text

    broken = describe(VovFile.from_bytes(data[:-106], strict=False))
    assert [line[:9] for line in broken["damage"]] == ["segment 1", "sound: on"]
    assert "damage" in broken["segments"][1]
    assert "file is truncated" in format_description(broken)


def test_a_file_of_version_1_says_so():
    content = bytes.fromhex("046e616e6f01310001020304050607094040180100")
    section = bytes([129, len(content)]) + content
    file = VovFile.from_bytes(b"VOV\x01" + section + zlib.crc32(section).to_bytes(4, "little"))
    assert describe(file)["format_version"] == 1
    assert describe(replace(file))["format_version"] == 2
