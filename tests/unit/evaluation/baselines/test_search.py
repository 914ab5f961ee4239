"""Which setting counts, and how many encodings it takes to find it."""

from collections.abc import Callable

import pytest

from vov_lightning.evaluation.baselines.base import UnreachableError
from vov_lightning.evaluation.baselines.search import match_size


def counted(sizes: Callable[[int], int]) -> tuple[Callable[[int], int], list[int]]:
    tried: list[int] = []

    def size_of(setting: int) -> int:
        assert setting not in tried
        tried.append(setting)
        return sizes(setting)

    return size_of, tried


@pytest.mark.parametrize("num_bytes", [100, 180, 300, 650, 1000, 12345, 400_000])
def test_finds_the_nearest_of_many_settings(num_bytes):
    def sizes(setting: int) -> int:
        return 80 + round(10 * 2 ** (setting / 60))  # headers, and a doubling every 60 settings

    size_of, tried = counted(sizes)
    found = match_size(size_of, 1000, num_bytes, settings_per_octave=40.0)
    best = min(abs(sizes(setting) - num_bytes) for setting in range(1000))
    assert abs(sizes(found) - num_bytes) <= max(best, 0.01 * num_bytes)
    assert len(tried) <= 14


def test_every_target_of_a_coarse_codec_follows_the_rule():
    sizes = [90, 95, 130, 200, 201, 400, 900]
    for num_bytes in range(86, 1000):
        found = sizes[match_size(sizes.__getitem__, len(sizes), num_bytes, 1.0)]
        near = [size for size in sizes if abs(size - num_bytes) <= 0.05 * num_bytes]
        if near:
            assert found in near
        else:
            assert found == min((size for size in sizes if size > num_bytes), default=900)


def test_the_stream_above_counts_where_steps_are_coarse():
    assert match_size([100, 200, 400].__getitem__, 3, 250, 1.0) == 2


def test_below_everything_is_unreachable():
    assert match_size([105, 200].__getitem__, 2, 100, 1.0) == 0
    with pytest.raises(UnreachableError, match=r"99 bytes are out of reach: the smallest stream .* has 105"):
        match_size([105, 200].__getitem__, 2, 99, 1.0)


def test_above_everything_is_the_best_there_is():
    assert match_size([105, 200, 300].__getitem__, 3, 5000, 1.0) == 2


def test_sizes_that_do_not_quite_grow_give_the_best_of_what_was_tried():
    sizes = [100, 130, 120, 150, 149, 180, 170, 240, 230, 300]
    found = sizes[match_size(sizes.__getitem__, len(sizes), 150, 2.0)]
    assert abs(found - 150) <= 7
