"""A segment that finds no room is refused in one line, before a picture of it is read."""

from fractions import Fraction
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from vov_lightning.errors import SettingError
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs import room
from vov_lightning.runs.room import check_room
from vov_lightning.video import Signal
from vov_lightning.video.source import Clip, Shape


def clip(
    segment: int, height: int | str | None = 1080, width: int | None = 1920, factor: int = 1, block: int = 1
) -> Clip:
    shape = Shape("scale", cast(int, height), width, (8, 8), factor, segment, block)
    return cast(Clip, SimpleNamespace(shape=shape, num_frames=9000, source_size=(1080, 1920)))


def test_a_segment_larger_than_memory_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: 4 * 10**9)
    check_room(clip(80))
    said = (
        r"segment=90 frames of 1920x1080 take 4 GB of memory, and this machine has 4; use --data.segment 80, or fewer"
    )
    with pytest.raises(SettingError, match=said):
        check_room(clip(90))
    with pytest.raises(SettingError, match=r"use --data\.segment 72, or"):  # whole blocks
        check_room(clip(90, block=9))
    with pytest.raises(SettingError, match=r"use --data\.segment 77, or"):  # 1 + 4 n
        check_room(clip(81, factor=4))
    monkeypatch.setattr(room, "memory_bytes", lambda: 10**6)
    with pytest.raises(SettingError, match=r"this machine has 0; use fewer rows \(--data.height\)"):
        check_room(clip(90))


def test_a_segment_that_decoders_would_refuse_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: 10**12)
    check_room(clip(345))
    with pytest.raises(SettingError, match=r"segment=346 .* are more than decoders take by default; .* 345, or"):
        check_room(clip(346))


def test_a_clip_that_is_shorter_counts_as_it_is(monkeypatch, tiny_nano) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: 9 * 3 * 40 * 48 * room.BYTES_PER_SAMPLE)
    short = Signal(torch.zeros(9, 3, 40, 48, dtype=torch.uint8), Fraction(25), "s")
    assert SignalData.of(short, caption="").load(tiny_nano).clip.num_frames == 9
    with pytest.raises(SettingError, match=r"segment=10 frames of 48x40 take .* use --data.segment 9, or fewer rows"):
        SignalData.of(Signal(short.frames[:1].expand(10, -1, -1, -1), short.fps, "s"), caption="").load(tiny_nano)
