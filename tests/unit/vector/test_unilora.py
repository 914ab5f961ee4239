"""The authors' index map, against literal values of their function, NumPy's own drawing, and a dense matrix."""

import hashlib
from itertools import islice

import numpy as np
import pytest
import torch

from vov_lightning.vector.hashing import HashProjection
from vov_lightning.vector.unilora import half_words, unilora_index

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("k", "num_entries", "seed", "expected"),
    [
        (5, 23, 42, [1, 4, 1, 3, 4, 1, 2, 0, 2, 4, 4, 2, 1, 4, 0, 0, 3, 0, 3, 2, 3, 3, 0]),
        (12, 12, 0, [9, 2, 7, 4, 5, 11, 0, 3, 6, 10, 8, 1]),
        (7, 10, 1, [2, 3, 4, 3, 5, 0, 1, 5, 2, 6]),
    ],
)
def test_index_equals_what_the_authors_function_returned(k, num_entries, seed, expected):
    assert unilora_index(k, num_entries, seed).tolist() == expected


@pytest.mark.parametrize(
    ("k", "num_entries", "seed", "start", "digest"),
    [
        (100, 1000, 0, [45, 20, 22, 16], "b2026328ca660594"),
        (100, 1003, 42, [62, 4, 38, 33], "cdd80117658faadf"),
        (4096, 32768, 2**64 - 1, [1465, 2861, 1224, 2481], "6a27fbb81b76a737"),
        (20_000, 40_100, 4, [14485, 7272, 2834, 3804], "84bc01e9c22bfadf"),  # NumPy chooses 100 in Floyd's way,
        (20_000, 70_000, 6, [15332, 8776, 9373, 17504], "6ad01531402d68bb"),  # and 10,000 by a shuffle
        (131_072, 737_280, 42, [60169, 58741, 14253, 58744], "34eef50005b1da1c"),  # the paper's, on Wan 1.3B
    ],
)
def test_larger_index_equals_what_the_authors_function_returned(k, num_entries, seed, start, digest):
    index = unilora_index(k, num_entries, seed)
    assert index.dtype == np.int64
    assert index[:4].tolist() == start
    assert hashlib.blake2b(index.astype("<i8").tobytes(), digest_size=8).hexdigest() == digest


@pytest.mark.parametrize("k", [1, 2, 3, 9_999, 10_000, 10_001, 10_050])
@pytest.mark.parametrize("more", [0, 1, 2, 200, 201, 202])
def test_index_equals_the_installed_numpys_drawing(k, more):
    """Should this fail after an upgrade alone, NumPy changed its Generator: nothing is wrong here, drop this test."""
    for num_entries in {k + more, 3 * k + more % k}:
        generator = np.random.default_rng(num_entries)
        slots = np.repeat(np.arange(k), num_entries // k)
        if num_entries % k:
            slots = np.concatenate([slots, generator.choice(k, size=num_entries % k, replace=False)])
        generator.shuffle(slots)
        assert np.array_equal(unilora_index(k, num_entries, num_entries), slots)


def test_words_are_halves_of_pcg64_lower_first():
    state = np.random.PCG64(42).state["state"]
    words, multiplier = [], 0x2360ED051FC65DA44385DF649FCCF645
    for _ in range(20_000):  # more than one batch
        state["state"] = (state["state"] * multiplier + state["inc"]) % 2**128
        folded, turn = (state["state"] >> 64) ^ state["state"] % 2**64, state["state"] >> 122
        word = (folded >> turn | folded << (64 - turn)) % 2**64
        words += [word % 2**32, word >> 32]
    assert list(islice(half_words(42), 40_000)) == words
    assert words[:2] == [383329928, 3324115917]


@pytest.mark.parametrize(("k", "num_entries"), [(1, 1), (1, 7), (7, 7), (3, 10), (100, 1000), (999, 1000), (128, 1000)])
def test_values_and_gradient_equal_a_gather(k, num_entries):
    projection = HashProjection(k, num_entries, seed=3, scheme="unilora_numpy")
    index = torch.from_numpy(unilora_index(k, num_entries, seed=3))
    counts = torch.bincount(index, minlength=k)
    assert torch.equal(projection.index, index)
    assert set(counts.tolist()) <= {num_entries // k, -(-num_entries // k)}
    upstream = torch.linspace(-1, 2, num_entries, dtype=torch.float64)
    results = []
    for function in (projection, lambda v: v[index] / counts[index].sqrt()):
        vector = torch.linspace(-3, 1, k, dtype=torch.float64).requires_grad_()
        theta = function(vector)
        (theta.sin() * upstream).sum().backward()
        results.append((theta.detach(), vector.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # the scales are float32
