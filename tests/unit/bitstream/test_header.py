"""The header: fields in canonical form, and clear about what it refuses; and the types that write them."""

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from importlib.metadata import entry_points

import numpy as np
import pytest

from vov_lightning.bases import ENTRY_POINTS
from vov_lightning.bitstream import BitstreamError, Header, short_float32
from vov_lightning.bitstream.codes import KNOWN_NAMES, Name, Rate
from vov_lightning.bitstream.wire import Float32, Reader, Revision, Unsigned, write_varint

NANO = Header("nano", "1", bytes(range(8)), frames=9, height=64, width=64, fps=Fraction(24), k=4096, step=0.5)
GIT_HASH = "0123456789abcdef0123456789abcdef01234567"


def test_header_is_frozen_and_hashable():
    with pytest.raises(FrozenInstanceError):
        NANO.k = 3
    assert len({NANO, replace(NANO), replace(NANO, k=5)}) == 2


def test_a_fingerprint_is_its_first_four_bytes():
    assert NANO.base_fingerprint == bytes(range(4))
    assert replace(NANO, base_fingerprint=bytes(range(4))) == NANO
    assert NANO.names_model("nano", bytes(range(8)))
    assert not NANO.names_model("nano", bytes([0, 1, 2, 4, 4, 5, 6, 7]))
    assert not NANO.names_model("pico", bytes(range(8)))
    assert not NANO.names_model("nano", bytes(range(3)))


@pytest.mark.parametrize(
    ("fps", "coded"),
    [
        (Fraction(1), "01"),
        (Fraction(25), "19"),
        (Fraction(120), "78"),
        (Fraction(24000, 1001), "79"),
        (Fraction(30000, 1001), "7a"),
        (Fraction(120000, 1001), "7c"),
        (Fraction(121), "007901"),
        (Fraction(25, 2), "001902"),
    ],
)
def test_usual_rates_take_a_byte(fps, coded):
    assert Rate().write(fps).hex() == coded
    assert Rate().read(Reader(bytes.fromhex(coded), "test")) == fps


def test_known_names_take_a_byte():
    assert [Name().write(name).hex() for name in KNOWN_NAMES] == [f"{code:x}" for code in range(128, 139)]
    assert Name().write("own") == b"\x03own"
    for name in (*KNOWN_NAMES, "own"):
        assert Name().read(Reader(Name().write(name), "test")) == name
    for data in (b"", b"\x04own"):
        with pytest.raises(BitstreamError, match="ends after"):
            Name().read(Reader(data, "test"))


def test_every_shipped_base_model_has_a_code():
    assert set(KNOWN_NAMES) == {
        point.name for point in entry_points(group=ENTRY_POINTS) if point.value.startswith("vov_lightning.")
    }


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
        ({"base_fingerprint": bytes(3)}, "base_fingerprint.*4 bytes"),
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
        (
            {"compute_dtype": "float64"},
            "compute_dtype: 'float64' is not one of 'float32', 'bfloat16', 'float16', 'weights'",
        ),
        ({"vae_tiling": 1}, "vae_tiling: 1 is not one of False, True"),
        ({"window": (3, 8, 8, 1)}, "window.* is not 5 whole numbers"),
        ({"window": (3, 8, 8, 3, 2)}, "window.* an overlap is at least 0 and below"),
        ({"window": (3, 8, 4, 1, 4)}, "window.* an overlap is at least 0 and below"),
        ({"window": (0, 8, 8, 0, 2)}, "window.* are 1 to 65535"),
        ({"window": (3, 8, 8, 1, 2.0)}, "window.* is not 5 whole numbers"),
        ({"context": -1}, "header field context: -1 is not a whole number"),
        ({"context": 1}, r"context: 1, but window is \(\); context wants windows of more latent frames"),
        ({"deblock": True}, "deblock: True, but context=0 samples no blocks; leave it at False"),
        ({"context": 3, "window": (3, 8, 8, 0, 2)}, r"context: 3, but window is \(3, 8, 8, 0, 2\)"),
        ({"context": 1, "window": (3, 8, 8, 1, 2)}, "context: 1, but .* without overlap in time"),
        ({"sample_aspect_ratio": Fraction(0)}, "sample_aspect_ratio: 0 is not a positive fraction"),
        ({"sample_aspect_ratio": 1.5}, "sample_aspect_ratio: 1.5 is not a Fraction"),
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
    assert len(Revision().write(GIT_HASH)) == 21
    assert len(Revision().write(GIT_HASH.upper())) == 41


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
