"""The random stream is part of the file format: exact words, exact normals, and the statistics that they promise."""

import hashlib
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
import torch

from vov_lightning.randomness import (
    HASH_STREAM,
    INITIAL_NOISE_STREAM,
    normal_table,
    random_normals,
    random_words,
)

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
SAMPLES = 200_000


def mix(z: int) -> int:
    """SplitMix64's output function on Python's unbounded integers."""
    z &= MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def reference_words(seed: int, stream: int, count: int, start: int = 0) -> list[int]:
    key = mix(mix(seed + GOLDEN) + stream)
    return [mix(key + (i + 1) * GOLDEN) for i in range(start, start + count)]


def digest(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    return random_normals(seed=11, stream=5, count=SAMPLES).double().numpy()


def test_reference_is_the_published_splitmix64() -> None:
    # The sequence of seed 1234567 that implementations of SplitMix64 are commonly checked against.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [mix(1234567 + (i + 1) * GOLDEN) for i in range(4)] == published


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1])
@pytest.mark.parametrize("stream", [HASH_STREAM, INITIAL_NOISE_STREAM])
def test_words_equal_an_implementation_in_unbounded_integers(seed: int, stream: int) -> None:
    words = random_words(seed, stream, count=50)
    assert words.dtype == np.uint64
    assert words.tolist() == reference_words(seed, stream, 50)


def test_golden_words() -> None:
    assert digest(random_words(seed=0, stream=HASH_STREAM, count=1000)) == "59a925c27109b29c"
    assert digest(random_words(seed=2**64 - 1, stream=INITIAL_NOISE_STREAM, count=1000)) == "48afa613b3693cd0"


@pytest.mark.parametrize("start", [0, 1, 7, 2**20])
def test_a_part_of_a_stream_equals_the_same_part_of_the_whole(start: int) -> None:
    whole = random_words(seed=3, stream=1, count=start + 20)
    np.testing.assert_array_equal(random_words(seed=3, stream=1, count=20, start=start), whole[start:])


def test_a_far_position_is_reached_without_the_words_before_it() -> None:
    assert random_words(3, 1, count=3, start=2**40).tolist() == reference_words(3, 1, 3, start=2**40)


def test_streams_and_seeds_are_unrelated() -> None:
    # A word that two streams share would be chance of 1e6^2 / 2^64 = 5e-8.
    found = [random_words(seed, stream, 10_000) for seed in (0, 1, 2) for stream in (1, 2, 3)]
    assert len(np.unique(np.concatenate(found))) == 90_000
    first, second = (random_normals(0, stream, SAMPLES).double() for stream in (1, 2))
    assert abs(float((first * second).mean())) < 4 / SAMPLES**0.5


def test_every_bit_of_a_word_is_fair() -> None:
    words = random_words(seed=9, stream=1, count=100_000)
    ones = np.array([((words >> np.uint64(bit)) & np.uint64(1)).mean() for bit in range(64)])
    np.testing.assert_allclose(ones, 0.5, atol=4.5 * 0.5 / 100_000**0.5)  # 4.5 sigma over 64 bits


def test_normals_take_four_from_a_word_lowest_bits_first() -> None:
    expected = []
    for word in reference_words(seed=4, stream=2, count=3):
        for shift in (0, 16, 32, 48):
            quantile = NormalDist().inv_cdf(((word >> shift & 0xFFFF) + 0.5) / 65536)
            expected.append(round(quantile * 4096) / 4096)
    assert random_normals(seed=4, stream=2, count=12).tolist() == expected


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_prefix_of_normals_does_not_depend_on_how_many_follow(count: int) -> None:
    found = random_normals(seed=4, stream=2, count=count)
    assert found.shape == (count,)
    assert found.dtype == torch.float32
    assert torch.equal(found, random_normals(seed=4, stream=2, count=50)[:count])


def test_moments_of_normals(normals: np.ndarray) -> None:
    # Four standard errors of each moment of SAMPLES standard normals.
    assert abs(normals.mean()) < 4 / SAMPLES**0.5
    assert abs(normals.var() - 1) < 4 * (2 / SAMPLES) ** 0.5
    assert abs((normals**3).mean()) < 4 * (15 / SAMPLES) ** 0.5
    assert abs((normals**4).mean() - 3) < 4 * (96 / SAMPLES) ** 0.5


def test_distribution_of_normals(normals: np.ndarray) -> None:
    assert scipy.stats.kstest(normals, "norm").pvalue > 1e-3


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8])
def test_neighbouring_normals_are_uncorrelated(normals: np.ndarray, lag: int) -> None:
    assert abs((normals[lag:] * normals[:-lag]).mean()) < 4 / SAMPLES**0.5


def test_table_holds_the_normal_quantiles() -> None:
    table = normal_table().numpy().astype(np.float64)
    exact = scipy.stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16)
    assert np.abs(table - exact).max() <= 2**-13 + 1e-12
    np.testing.assert_array_equal(table * 4096, np.round(table * 4096))
    assert np.abs(table).max() < 4.4


def test_table_is_antisymmetric_and_monotone() -> None:
    table = normal_table().numpy()
    np.testing.assert_array_equal(table, -table[::-1])
    assert (np.diff(table) >= 0).all()


def test_no_table_entry_is_near_a_rounding_boundary() -> None:
    """A platform whose logarithm differs in the last bits builds the same table."""
    exact = scipy.stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16) * 4096
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-9


def test_golden_table_and_normals() -> None:
    assert digest(normal_table().numpy()) == "dcf1dc86768370e7"
    assert digest(random_normals(seed=0, stream=INITIAL_NOISE_STREAM, count=10_000).numpy()) == "7404776bef5695c9"
