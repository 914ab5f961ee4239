"""The header: one byte string for each, small, and clear about what it refuses."""

from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction

import numpy as np
import pytest

from vov_lightning.bitstream import BitstreamError, Header, short_float32
from vov_lightning.bitstream.wire import Float32, Reader, Revision, Unsigned, write_varint

NANO = Header("nano", "1", bytes(range(8)), frames=9, height=64, width=64, fps=Fraction(24), k=4096, step=0.5)
WAN = Header(
    base_name="wan2.1-t2v-1.3b-diff",  # 20 characters
    base_revision="0123456789abcdef0123456789abcdef01234567",
    base_fingerprint=bytes(range(8)),
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


def test_literal_bytes_of_nano():
    assert (
        NANO.to_bytes().hex()
        == (
            "04" + b"nano".hex() + "0131" + "0001020304050607" + "094040" + "1801"  # required fields
            "18" + "8020" + "fc01"  # flags: k and step; their values
        )
    )
    assert Header.from_bytes(NANO.to_bytes()) == NANO


def test_header_of_the_largest_usual_file_is_small():
    assert len(WAN.to_bytes()) == 69  # 93 with the container, see test_container.py
    assert Header.from_bytes(WAN.to_bytes()) == WAN


def test_every_field_round_trips_away_from_its_default():
    header = replace(
        WAN,
        base_revision="refs/pr/7",
        compute_dtype="float16",
        fps=Fraction(30000, 1001),
        rank=7,
        steps=1000,
        shift=5.0,
        pad_frames=3,
        pad_width=1,
        vae_tiling=True,
        seed=2**64 - 1,
        hash_seed=2**63,
        hash_scheme="unilora_numpy",
        kernel="ancestral",
        eta=0.5,
        codebook="iid",
        index_bits=12,
    )
    assert Header.from_bytes(header.to_bytes()) == header
    unchanged = {item.name for item in fields(header) if getattr(header, item.name) == item.default}
    assert replace(NANO, grid="linear").to_bytes() != NANO.to_bytes()
    assert Header.from_bytes(replace(NANO, grid="linear").to_bytes()).grid == "linear"
    assert unchanged == {"grid", "scheduler"}  # the linear grid has no shift; unipc has no kernel


def test_header_is_frozen_and_hashable():
    with pytest.raises(FrozenInstanceError):
        NANO.k = 3
    assert len({NANO, replace(NANO), WAN}) == 2


def test_numpy_numbers_become_plain_ones_and_floats_float32():
    header = replace(NANO, k=np.int64(5), step=np.float32(0.1), guidance=0.3)
    assert type(header.k) is int
    assert header.step == float(np.float32(0.1))
    assert header.guidance == float(np.float32(0.3))
    assert replace(NANO, guidance=-0.0).guidance.hex() == "0x0.0p+0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_name": "Nano"}, "header field base_name: 'Nano' is not 1 to 64 characters"),
        ({"base_name": ""}, "base_name"),
        ({"base_name": "n" * 65}, "base_name"),
        ({"base_name": "a/b"}, "base_name"),
        ({"base_name": "nano\n"}, "base_name"),
        ({"base_revision": "a b"}, "base_revision"),
        ({"base_revision": "é"}, "base_revision"),
        ({"base_revision": None}, "base_revision"),
        ({"base_fingerprint": bytes(7)}, "base_fingerprint.*8 bytes"),
        ({"base_fingerprint": "3f1a9c00"}, "base_fingerprint"),
        ({"frames": 0}, "header field frames: 0 is not a whole number from 1"),
        ({"height": 2**32}, "height"),
        ({"width": 64.0}, "width"),
        ({"width": True}, "width"),
        ({"fps": Fraction(0)}, "fps: 0 is not a positive fraction"),
        ({"fps": 23.976}, r"fps: 23.976 is not a Fraction; write Fraction\(30000, 1001\)"),
        ({"fps": Fraction(1, 2**32)}, "fps"),
        ({"k": -1}, "header field k"),
        ({"rank": 0}, "rank"),
        ({"targets": 0}, "targets"),
        ({"step": 0.0}, "step: 0.0 is not a finite float32 > 0"),
        ({"step": 1e-60}, "step"),
        ({"step": float("nan")}, "step"),
        ({"step": 1e39}, "step"),
        ({"step": "1"}, "step"),
        ({"guidance": -1.0}, "guidance: -1.0 is not a finite float32 >= 0"),
        ({"guidance": float("inf")}, "guidance"),
        ({"seed": 2**64}, "seed"),
        ({"compute_dtype": "float64"}, "compute_dtype: 'float64' is not one of 'float32', 'bfloat16', 'float16'"),
        ({"vae_tiling": 1}, "vae_tiling: 1 is not one of False, True"),
        ({"scheduler": "dpm"}, "scheduler: 'dpm' is not one of 'flow_euler', 'unipc'"),
        ({"scheduler": "unipc", "kernel": "ancestral", "eta": 1.0}, "kernel: 'ancestral', but the unipc scheduler"),
        ({"kernel": "ancestral"}, "kernel"),
        ({"hash_scheme": "v2"}, "hash_scheme"),
        ({"eta": 0.5}, "eta: 0.5, but the ode kernel takes no indices; leave it at 0.0"),
        ({"grid": "linear", "shift": 5.0}, "shift: 5.0, but the linear grid has no shift; leave it at 3.0"),
        ({"k": 0}, "step: 0.5, but k=0 sends no vector; leave it at 1.0"),
        ({"k": 0, "step": 1.0, "rank": 2}, "rank"),
        ({"k": 0, "step": 1.0, "targets": 3}, "targets"),
        ({"k": 0, "step": 1.0, "hash_seed": 1}, "hash_seed"),
        ({"hash_scheme": "lora", "hash_seed": 1}, "hash_seed: 1, but scheme lora draws no hash; leave it at 0"),
        (
            {"k": 0, "step": 1.0, "hash_scheme": "unilora_numpy"},
            "hash_scheme: 'unilora_numpy', but k=0 sends no vector",
        ),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(BitstreamError, match=message):
        replace(NANO, **change)


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
        (HEAD + bytes.fromhex("18018080808004"), "flags that this version"),  # bit 30
        (HEAD + bytes.fromhex("1801808018"), "kernel: choice 3 is unknown to this version"),
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
def test_wrong_bytes_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        Header.from_bytes(data)


@pytest.mark.parametrize(("value", "size"), [(1.0, 2), (3.0, 2), (7.5, 2), (0.1, 5), (2.0**-149, 5), (3.4e38, 5)])
def test_round_floats_are_short(value, size):
    value = float(np.float32(value))
    coded = Float32().write(value)
    assert len(coded) == size
    assert Float32().read(Reader(coded, "test")) == value


def test_short_float32_is_close_and_takes_three_bytes():
    for value in np.geomspace(1e-4, 1e4, 500).tolist():
        rounded = short_float32(value)
        assert abs(rounded / value - 1) <= 2**-13 + 1e-7
        assert short_float32(rounded) == rounded
        assert len(Float32().write(rounded)) <= 3


def test_git_hashes_are_packed():
    assert len(Revision().write(WAN.base_revision)) == 21
    assert len(Revision().write(WAN.base_revision.upper())) == 41


@pytest.mark.parametrize("value", [0, 127, 128, 300, 2**32, 2**64 - 1])
def test_varints(value):
    coded = write_varint(value)
    assert Unsigned(0, 2**64).read(Reader(coded, "test")) == value
    for cut in range(len(coded)):
        with pytest.raises(BitstreamError):
            Reader(coded[:cut], "test").varint()


@pytest.mark.parametrize("data", ["80" * 9 + "02", "80" * 11, "ff" * 10, "8000", "80808000"])
def test_over_long_varints(data):
    with pytest.raises(BitstreamError, match="varint"):
        Reader(bytes.fromhex(data), "test").varint()
