"""FORMAT.md says what the package does: its tables of fields, and how indices become noise and steps.

The file itself is read by a second reader written from that page alone (``tests/golden/independent_reader.py``).
"""

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vov_lightning.bitstream as bitstream
from vov_lightning.bases.windows import Windows
from vov_lightning.bitstream import head, version1
from vov_lightning.bitstream.flags import DEFAULTS
from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.bitstream.wire import Choice
from vov_lightning.randomness import normal_table
from vov_lightning.sampling.candidates import Groups, HadamardCodebook, IidCodebook
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.sampling.steering import Replay

FOLDER = Path(bitstream.__file__).parent


def in_table(value: Any) -> str:
    """A default as the page writes it."""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


@pytest.mark.parametrize(("page", "layout"), [("FORMAT.md", head.LAYOUT), ("FORMAT_V1.md", version1.LAYOUT)])
def test_a_page_lists_every_field_with_its_bits_and_default(page, layout):
    rows = re.findall(r"^\| ([\d, -]+) \| ([\w, ]+) \| (.*?) \| (.*?) \|", (FOLDER / page).read_text(), re.MULTILINE)
    listed = {}
    for bits, names, _, default in rows:
        numbers = re.findall(r"\d+", bits)
        for i, name in enumerate(names.split(", ")):
            span = (int(numbers[0]), int(numbers[-1])) if "-" in bits else (int(numbers[i]),) * 2
            listed[name] = (span, default)
    at = 0
    for name, kind in layout.items():
        size = kind.flag_bits if isinstance(kind, Choice) else 1
        default = "0" if name in head.PARTS else in_table(DEFAULTS[name])
        if (page, name) == ("FORMAT.md", "eta"):
            default = "1 or 0"  # that of the ancestral kernel, and of the others
        assert listed.pop(name) == ((at, at + size - 1), default)
        at += size
    assert not listed


def test_the_page_lists_every_limit():
    limits = (FOLDER / "FORMAT.md").read_text().partition("## Limits")[2]
    words = {
        "file_bytes": "file 2^28 bytes",
        "segments": "segments 2^12",
        "k": "k 2^24",
        "rank": "rank 256",
        "steps": "steps 1000",
        "caption_bytes": "caption 4096 bytes",
        "times": "times 2^20",
        "sound_bytes": "sound 2^27 bytes",
        "output_samples": "(padding included) 2^31",
        "indices": "indices 2^22",
        "candidates": "2^index_bits 2^28",
        "all_indices": "of all segments indices 2^24",
        "all_steps": "steps with indices 2^20",
    }
    assert set(words) == set(vars(DEFAULT_LIMITS))
    for name, said in words.items():
        assert said in limits
        number = re.findall(r"\d+\^\d+|\d+", said.partition("index_bits")[2] or said)[0]
        base, _, power = number.partition("^")
        assert getattr(DEFAULT_LIMITS, name) == int(base) ** int(power or 1)


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def word(seed: int, stream: int, i: int) -> int:
    g = 0x9E3779B97F4A7C15
    return mix((mix((mix((seed + g) % 2**64) + stream) % 2**64) + (i + 1) * g) % 2**64)


@pytest.mark.parametrize(("length", "index_bits"), [(5, 2), (3, 4)])
def test_a_second_reader_draws_the_candidates(length, index_bits):
    seed, step, group, index = 11, 3, 1, 2
    step_seed = word(seed, 4, step)
    size = max(2**index_bits, 8 if length > 4 else 4)

    def sign(number: int) -> int:
        return 2 * (word(step_seed, 4, number // 64) >> number % 64 & 1) - 1

    def hadamard(vector: list[int]) -> list[int]:
        return [sum((-1) ** (a & b).bit_count() * value for b, value in enumerate(vector)) for a in range(size)]

    inner = hadamard([int(m == index) for m in range(size)])
    outer = hadamard([sign(2 * group * size + a) * value for a, value in enumerate(inner)])
    expected = [sign((2 * group + 1) * size + a) * outer[a] / size**0.5 for a in range(length)]
    chosen = torch.tensor([0, index])
    drawn = HadamardCodebook(index_bits, seed).draw(chosen, length, step)[group]
    assert drawn.tolist() == pytest.approx(expected)

    words = -(-length // 4)
    first = (group * 2**index_bits + index) * words
    table = normal_table()
    expected = [table[word(step_seed, 4, first + n // 4) >> 16 * (n % 4) & 0xFFFF].item() for n in range(length)]
    assert IidCodebook(index_bits, seed).draw(chosen, length, step)[group].tolist() == expected


def test_a_second_reader_groups_the_latents():
    latents = torch.arange(30.0).view(1, 5, 1, 2, 3)
    order = sorted(range(30), key=lambda position: (word(11, 5, position), position))
    split = Groups(30, seed=11).split(latents, 4)
    assert split.shape == (4, 8)
    for p, position in enumerate(order):
        assert split[p % 4, p // 4] == position


@pytest.mark.parametrize("kernel", ["ancestral", "euler_maruyama"])
def test_a_second_reader_takes_a_step(kernel):
    config = ScalingConfig(kernel=kernel, eta=0.5 if kernel == "ancestral" else 1.0, index_bits=3)
    x, u = torch.randn(2, 1, 5, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    t, s, indices = 0.8, 0.6, torch.tensor([5, 2])
    replay = Replay(config, 11, [torch.zeros(0, dtype=torch.int64), indices])
    z = Groups(30, 11).join(HadamardCodebook(3, 11).draw(indices, 15, 1), x)
    c = x - t * u
    e = (x - (1 - t) * c) / t
    if kernel == "ancestral":
        g = 0.5 * (s / t) * (t**2 - ((1 - t) / (1 - s)) ** 2 * s**2) ** 0.5
        m = (1 - s) * c + (s**2 - g**2) ** 0.5 * e
    else:
        d = min(5, (2 * t / (1 - t)) ** 0.5)
        g, m = d * (t - s) ** 0.5, x + (s - t) * (e - c + e * d**2 / (2 * t))
    torch.testing.assert_close(replay.step(1, x, c, t, s), m + g * z)
    assert replay.step(0, x, c, t, s) is None
    assert replay.step(2, x, c, t, s) is None


@pytest.mark.parametrize("lengths", [(1, 8, 8), (1, 10, 12), (5, 9, 30), (3, 4, 2)])
@pytest.mark.parametrize("window", [(1, 8, 8, 0, 2), (2, 4, 6, 1, 3), (2, 3, 3, 0, 0)])
def test_a_second_reader_blends_windows(lengths, window):
    def ranges(length: int, size: int, overlap: int) -> list[range]:
        if length <= size:
            return [range(length)]
        last = length - size
        starts = [start for start in range(last) if start % (size - overlap) == 0] + [last]
        return [range(start, start + size) for start in starts]

    def weight(part: range, place: int, overlap: int) -> float:
        j, most = place - part.start, len(part)
        return min(1, (j + 1 / 2) / overlap, (most - j - 1 / 2) / overlap) if overlap else 1

    sizes, overlaps = window[:3], (window[3], window[4], window[4])
    axes = [ranges(*axis) for axis in zip(lengths, sizes, overlaps, strict=True)]
    weights = {}
    for parts in product(*axes):
        whole = np.zeros(lengths)
        for place in product(*parts):
            factors = (weight(part, at, o) for part, at, o in zip(parts, place, overlaps, strict=True))
            whole[place] = math.prod(factors)
        weights[parts] = whole
    total = sum(weights.values())
    found = list(Windows(*window).blends(lengths))
    assert len(found) == len(weights)
    for (place, blend), (parts, whole) in zip(found, weights.items(), strict=True):
        assert [(part.start, part.stop) for part in place[1:]] == [(part.start, part.stop) for part in parts]
        np.testing.assert_allclose(blend, (whole / total)[place], rtol=1e-6)
