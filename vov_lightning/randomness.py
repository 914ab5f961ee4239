"""Random numbers that are part of the file format: a function of (seed, stream, position), in integers.

NumPy and PyTorch promise no random stream across versions and devices, so the
format defines its own. Word ``i`` of a stream is SplitMix64's output function
applied to ``key + (i + 1) * GOLDEN`` (Steele, Lea and Flood 2014), with
``key = mix(mix(seed + GOLDEN) + stream)``. Normals come from 16 bits of a word
through a table of normal quantiles on a grid of 2^-12, so that no
transcendental function is evaluated where a platform could round differently.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

HASH_STREAM = 1
"""Stream that places LoRA entries (`vov_lightning.vector.hashing`)."""
INITIAL_NOISE_STREAM = 2
"""Stream of the latents at t = 1 (`vov_lightning.sampling.sampler`)."""
CANDIDATE_STREAM = 4
"""Stream of the candidates of a step (`vov_lightning.sampling.candidates`)."""
GROUPING_STREAM = 5
"""Stream that orders the latents into groups (`vov_lightning.sampling.candidates`)."""
TRAINING_STREAM = 3
"""Stream that seeds the draws of a fit (`vov_lightning.fitting.module`); no file depends on it."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def random_words(seed: int, stream: int, count: int, start: int = 0) -> np.ndarray:
    """Words ``[count]`` uint64 at positions ``start`` to ``start + count - 1`` of a stream.

    Args:
        seed: In [0, 2^64).
        stream: One of the constants above; streams of one seed are unrelated.
        count: How many words.
        start: First position; any part of a stream equals the same part of the whole.

    Example:
        >>> [hex(word) for word in random_words(seed=0, stream=1, count=2)]
        ['0x1d614f74e2a26c6', '0x31ace0c257119b01']
    """
    return words_at(seed, stream, np.arange(start, start + count, dtype=np.uint64))


def words_at(seed: int, stream: int, positions: np.ndarray) -> np.ndarray:
    """Words uint64 of a stream at any ``positions``, of their shape."""
    z = (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) + np.uint64(stream_key(seed, stream))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream_key(seed: int, stream: int) -> int:
    """What tells the streams of all seeds apart: a word is ``mix(key + (position + 1) * GOLDEN)``."""
    return _mix_int((_mix_int((seed + _GOLDEN) & _MASK) + stream) & _MASK)


def random_normals(seed: int, stream: int, count: int) -> Tensor:
    """Standard normals ``[count]`` float32 on a grid of 2^-12, within +-4.4; four a word, lowest bits first.

    Example:
        >>> random_normals(seed=0, stream=2, count=3).tolist()
        [0.464111328125, 1.7724609375, -2.4775390625]
    """
    words = random_words(seed, stream, -(-count // 4))
    shifts = np.arange(0, 64, 16, dtype=np.uint64)
    halves = ((words[:, None] >> shifts) & np.uint64(0xFFFF)).reshape(-1)[:count]
    return normal_table()[torch.from_numpy(halves.astype(np.int64))]


@cache
def normal_table(device: torch.device = torch.device("cpu")) -> Tensor:
    """Quantiles ``[65536]`` float32 at ``(i + 1/2) / 65536``, rounded to 2^-12: far from any rounding boundary."""
    quantile = NormalDist().inv_cdf
    half = [round(quantile((index + 0.5) / 2**16) * 2**12) for index in range(2**15)]
    return torch.tensor(half + [-value for value in reversed(half)], dtype=torch.float32, device=device) / 2**12


def _mix_int(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
