"""Which frames lie between two times."""

import math
from fractions import Fraction

import pytest

from vov_lightning.bitstream import Header, VovFile
from vov_lightning.codec.play import frames_between
from vov_lightning.errors import SettingError

TENTHS = VovFile(Header("nano", "3", bytes(4), frames=8, height=64, width=64, fps=Fraction(10)))


@pytest.mark.parametrize(
    ("start_s", "stop_s", "frames"),
    [
        (None, None, range(8)),
        (0.3, 0.6, range(3, 6)),
        (0.7, None, range(7, 8)),
        (0.65, 0.8, range(6, 8)),
        (None, math.inf, range(8)),
    ],
)
def test_times_are_taken_as_they_are_typed(start_s: float | None, stop_s: float | None, frames: range) -> None:
    assert frames_between(TENTHS, start_s, stop_s) == frames


@pytest.mark.parametrize("frames", range(1, 40))
def test_the_end_of_the_clip_is_not_within_it(frames: int) -> None:
    header = Header("nano", "3", bytes(4), frames=frames, height=64, width=64, fps=Fraction(10))
    with pytest.raises(SettingError, match="is not within the clip, which lasts"):
        frames_between(VovFile(header), frames / 10, None)


@pytest.mark.parametrize("start_s", [math.inf, math.nan, -0.1])
def test_no_time_of_the_clip_is_refused(start_s: float) -> None:
    with pytest.raises(SettingError, match=f"from={start_s} is not within the clip"):
        frames_between(TENTHS, start_s, None)
