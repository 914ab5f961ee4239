"""The head of version 2: literal bytes, every field, and one byte string for each head."""

from dataclasses import fields, replace
from fractions import Fraction

import pytest

from vov_lightning.bitstream import BitstreamError, Header
from vov_lightning.bitstream.head import LAYOUT, PARTS, REQUIRED, Head, read_head
from vov_lightning.bitstream.limits import Limits

NANO = Header("nano", "2", bytes(range(8)), frames=9, height=64, width=64, fps=Fraction(24), k=4096, step=0.5)
LIMITS = Limits(k=2**32, steps=2**32, rank=2**32, output_samples=2**100)


def head_of(header: Header) -> Head:
    """The head of one segment, with a vector of a byte where there is one."""
    return Head(header, (header.frames,), (header.pad_frames,), vector=b"v" if header.k else b"")


def test_literal_bytes():
    assert (
        head_of(NANO).to_bytes().hex()
        == "80" + "0132" + "00010203" + "094040" + "18" + ("9002" + "8020" + "fc01") + b"v".hex()  # flags: k and step
    )
    steered = replace(NANO, k=0, step=1.0, kernel="ancestral", eta=1.0)
    assert head_of(steered).to_bytes().hex() == "80" + "0132" + "00010203" + "094040" + "18" + "02"


def test_every_field_has_its_place():
    assert {*REQUIRED, *LAYOUT} - set(PARTS) == {item.name for item in fields(Header)} - {"pad_frames"}


def test_every_field_round_trips_away_from_its_default():
    header = replace(
        NANO,
        base_name="own",
        base_revision="refs/pr/7",
        compute_dtype="weights",
        fps=Fraction(30000, 1001),
        rank=7,
        steps=1000,
        shift=5.0,
        pad_frames=3,
        pad_height=2,
        pad_width=1,
        targets=3,
        guidance=2.0,
        vae_tiling=True,
        seed=2**64 - 1,
        hash_seed=2**63,
        hash_scheme="unilora_numpy",
        kernel="ancestral",
        eta=0.5,
        codebook="iid",
        index_bits=12,
        window=(3, 8, 8, 0, 2),
        context=2,
        deblock=True,
        sample_aspect_ratio=Fraction(16, 11),
    )
    unchanged = {item.name for item in fields(header) if getattr(header, item.name) == item.default}
    assert unchanged == {"grid", "scheduler"}  # the linear grid has no shift; unipc has no kernel
    others = (
        replace(header, grid="linear", shift=3.0),
        replace(NANO, scheduler="unipc"),
        replace(NANO, kernel="euler_maruyama"),
    )
    for one in (header, *others):
        head = head_of(one)
        assert read_head(head.to_bytes(), LIMITS) == head


@pytest.mark.parametrize(
    "head",
    [
        replace(head_of(NANO), caption=b"\0cat"),
        Head(replace(NANO, k=0, step=1.0), (9,), (0,), caption=b"\0cat"),
        Head(replace(NANO, frames=20), (9, 11), (0, 0), vector=b"v"),
        Head(replace(NANO, frames=20), (9, 11), (0, 5), True, True, (300,), b"\0cat", b"v"),
        Head(
            replace(NANO, frames=3, kernel="euler_maruyama"), (1, 1, 1), (0,) * 3, True, True, (1, 2, 3, 4), b"", b"v"
        ),
    ],
)
def test_parts_round_trip(head):
    assert read_head(head.to_bytes(), LIMITS) == head


HEAD = bytes.fromhex("80" + "0132" + "00010203" + "094040" + "18")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the head ends after 0 bytes"),
        (HEAD, "the head ends after 11 bytes"),
        (b"\x8b" + HEAD[1:] + b"\0", "base model number 139 is unknown"),
        (b"\x04nano" + HEAD[1:] + b"\0", "canonical"),
        (b"\x04NANO" + HEAD[1:] + b"\0", "base_name"),
        (b"\x80\x28" + b"0" * 40 + HEAD[3:] + b"\0", "canonical"),  # a git hash, not packed
        (HEAD[:-1] + b"\x7d\0", "frame rate number 125 is unknown"),
        (HEAD[:-1] + b"\0\x18\x01\0", "canonical"),  # 24, as a fraction
        (HEAD[:-1] + b"\0\0\x01\0", "fps: 0"),
        (HEAD[:-1] + b"\0\x01\0\0", "the fraction 1/0"),
        (HEAD + b"\x80\0", "over-long"),
        (HEAD + b"\x06", "kernel: choice 3 is unknown"),
        (HEAD + bytes.fromhex("8080808040"), "flags that this version"),  # bit 34
        (HEAD + b"\x08\x00", "steps: 0 is not"),
        (HEAD + b"\x08\x19", "canonical"),  # 25 steps, the default
        (HEAD + b"\x10\x00", "canonical"),  # k, announced but 0
        (HEAD + b"\x20\x01", "announces 1 segments, wanted 2 or more"),
        (HEAD + b"\x20\x02\x09", "a segment of 0 frames"),
        (HEAD + b"\x20\x02\x0a", "a segment of -1 frames"),
        (HEAD + bytes.fromhex("8004" + "00"), "canonical"),  # padding, announced but none
        (HEAD + b"\x01", "announces a caption and has none"),
        (HEAD + bytes.fromhex("808004") + bytes.fromhex("fe03"), "guidance: inf"),
        (HEAD + bytes.fromhex("808004") + b"\x01", "canonical"),  # guidance -0.0
        (HEAD + bytes.fromhex("808004") + bytes.fromhex("ffffffffff7f"), "more than 32 bits"),
        (HEAD + b"\x40\x03\x08\x08\x03\x00", "window"),
        (HEAD + bytes.fromhex("80808001") + bytes.fromhex("fc01"), "eta: 0.5, but the ode"),  # eta, and the ode kernel
        (HEAD + bytes.fromhex("82808001") + bytes.fromhex("fc03"), "canonical"),  # eta 1, the default
    ],
)
def test_wrong_bytes_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        read_head(data, LIMITS)
