"""The projection from vector to LoRA entries: an isometry whose table is part of the file format."""

import hashlib
import time
from collections.abc import Callable

import pytest
import torch
from support import gradient_of
from torch import Tensor

from vov_lightning.randomness import HASH_STREAM, random_words
from vov_lightning.vector.hashing import HashProjection

SIZES = [(1, 1), (1, 7), (7, 7), (3, 10), (64, 64), (100, 1000), (999, 1000), (128, 1000)]


def dense(projection: HashProjection) -> Tensor:
    """``P`` [D, k] float64 with ``theta = P v``, from the index alone."""
    index = projection.index
    counts = torch.zeros(projection.k, dtype=torch.float64)
    for slot in index.tolist():
        counts[slot] += 1
    matrix = torch.zeros(len(index), projection.k, dtype=torch.float64)
    matrix[torch.arange(len(index)), index] = 1 / counts[index].sqrt()
    return matrix


def random_vector(size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def index_digest(k: int, num_entries: int, seed: int) -> str:
    index = HashProjection(k, num_entries, seed).index
    assert index.dtype == torch.int64
    return hashlib.blake2b(index.numpy().astype("<i8").tobytes(), digest_size=8).hexdigest()


@pytest.mark.parametrize(
    ("k", "num_entries", "seed", "expected"),
    [
        (100, 1000, 0, "70592413a64a2c68"),
        (100, 1000, 7, "df767a92e017c647"),
        (4096, 32768, 2**64 - 1, "073e0d0903ba6eda"),
    ],
)
def test_golden_index_table(k: int, num_entries: int, seed: int, expected: str) -> None:
    assert index_digest(k, num_entries, seed) == expected


@pytest.mark.parametrize(("k", "num_entries"), SIZES)
def test_index_follows_the_documented_construction(k: int, num_entries: int) -> None:
    words = random_words(5, HASH_STREAM, num_entries).tolist()
    index: list[int] = [-1] * num_entries
    for place, entry in enumerate(sorted(range(num_entries), key=lambda j: (words[j], j))):
        index[entry] = place % k
    assert HashProjection(k, num_entries, seed=5).index.tolist() == index


@pytest.mark.parametrize(("k", "num_entries"), SIZES)
def test_every_slot_is_used_equally_often(k: int, num_entries: int) -> None:
    counts = torch.bincount(HashProjection(k, num_entries, seed=2).index, minlength=k)
    assert len(counts) == k
    assert set(counts.tolist()) <= {num_entries // k, -(-num_entries // k)}
    assert int(counts.sum()) == num_entries


@pytest.mark.parametrize(("k", "num_entries"), SIZES)
def test_lengths_are_kept(k: int, num_entries: int) -> None:
    vector = random_vector(k)
    theta = HashProjection(k, num_entries, seed=1)(vector)
    assert theta.dtype == torch.float64
    # The scales are float32, so each carries a relative error of up to 2^-24.
    torch.testing.assert_close(theta.norm(), vector.norm(), rtol=2**-24, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("k", "num_entries"), SIZES)
def test_values_and_gradient_equal_a_dense_matrix(k: int, num_entries: int, dtype: torch.dtype) -> None:
    projection = HashProjection(k, num_entries, seed=3)
    matrix, vector = dense(projection).to(dtype), random_vector(k, dtype)
    upstream = torch.linspace(-1, 2, num_entries, dtype=dtype)
    results = []
    for function in (projection, lambda v: matrix @ v):
        leaf = vector.clone().requires_grad_()
        theta = function(leaf)
        (theta.sin() * upstream).sum().backward()
        results.append((theta.detach(), gradient_of(leaf)))
    (theta, gradient), (expected_theta, expected_gradient) = results
    assert theta.dtype == gradient.dtype == dtype
    torch.testing.assert_close(theta, expected_theta, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("k", "num_entries"), [(1, 5), (4, 4), (5, 23), (8, 24)])
def test_gradient_equals_finite_differences(k: int, num_entries: int) -> None:
    projection = HashProjection(k, num_entries, seed=4)
    assert torch.autograd.gradcheck(projection, random_vector(k).requires_grad_())


def test_as_many_slots_as_entries_is_a_permutation() -> None:
    projection = HashProjection(50, 50, seed=0)
    vector = torch.arange(50.0)
    assert sorted(projection(vector).tolist()) == vector.tolist()
    assert projection(vector).tolist() != vector.tolist()


def test_seeds_give_different_tables() -> None:
    first, second = (HashProjection(100, 1000, seed).index for seed in (0, 1))
    assert float((first == second).double().mean()) < 0.05  # chance: 0.01


@pytest.mark.parametrize("k", [11, 0, -1])
def test_lengths_out_of_range_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k={k} is not within 1 and D=10.*lower model.adapter.k"):
        HashProjection(k, 10, seed=0)


def test_plain_lora_is_the_identity_whatever_the_seed() -> None:
    for seed in (0, 7):
        projection = HashProjection(6, 6, seed, "lora")
        vector = random_vector(6).requires_grad_()
        theta = projection(vector)
        assert torch.equal(theta, vector)
        theta.backward(torch.arange(6.0, dtype=torch.float64))
        assert vector.grad is not None
        assert vector.grad.tolist() == list(range(6))


@pytest.mark.parametrize("k", [1, 9])
def test_plain_lora_wants_a_number_for_every_entry(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k={k} with model.adapter.scheme lora.*D=10.*give model.adapter.k null"):
        HashProjection(k, 10, seed=0, scheme="lora")


@pytest.mark.usefixtures("one_thread")
class TestSpeed:
    """The paper's k on a 1.3B-parameter model's self-attention share: 0.7 million entries.

    Seconds of processor time on one thread, best of several: other work on the
    machine then hardly shows. The limits stand at about twice what a core of
    2024 needs, so a threefold regression fails.
    """

    K, ENTRIES = 131_072, 737_280

    @staticmethod
    def best_s(function: Callable[[], object], repeats: int, limit_s: float) -> float:
        best = float("inf")
        for attempt in range(6):
            for _ in range(repeats):
                start = time.process_time()
                function()
                best = min(best, time.process_time() - start)
            if best < limit_s:
                break
            time.sleep(0.1 * attempt)
        return best

    def test_forward_and_backward(self) -> None:
        projection = HashProjection(self.K, self.ENTRIES, seed=0)
        vector = torch.zeros(self.K, requires_grad=True)
        upstream = torch.ones(self.ENTRIES)
        assert self.best_s(lambda: projection(vector).backward(upstream), 10, limit_s=0.010) < 0.010  # measured: 0.0042

    def test_building(self) -> None:
        assert self.best_s(lambda: HashProjection(self.K, self.ENTRIES, seed=0), 3, limit_s=0.2) < 0.2  # measured: 0.09
