"""FORMAT.md is enough: a second reader, written from that page in plain integers, reads what the package writes."""

import re
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import vov_lightning.bitstream as bitstream
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.bitstream.header import _field_groups
from vov_lightning.bitstream.wire import Choice
from vov_lightning.randomness import normal_table
from vov_lightning.sampling.candidates import Groups, HadamardCodebook, IidCodebook
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.sampling.steering import Replay

PAGE = (Path(bitstream.__file__).parent / "FORMAT.md").read_text()


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def read_sections(data: bytes) -> dict[int, bytes]:
    assert data[:4] == b"VOV\x01"
    at, sections, last = 4, {}, False
    while not last:
        number, last = data[at] % 128, data[at] >= 128
        size, start = read_varint(data, at + 1)
        assert zlib.crc32(data[at : start + size]) == int.from_bytes(data[start + size : start + size + 4], "little")
        sections[number], at = data[start : start + size], start + size + 4
    assert at == len(data)
    return sections


def read_vector(data: bytes, k: int) -> list[int]:
    zigzag, at = read_varint(data, 0)
    span, at = read_varint(data, at)
    low = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
    if span == 0:
        return [low] * k
    p = 4 if k <= 2**18 else 3
    symbol, alphabet, counts = low, [], []
    while symbol <= low + span:
        code, at = data[at], at + 1
        if code == 0:
            run, at = read_varint(data, at)
            symbol += run + 1
            continue
        alphabet.append(symbol)
        counts.append(code if code < 2 ** (p + 1) else (2**p + code % 2**p) * 2 ** (code // 2**p - 1))
        symbol += 1
    weights = [1 + c * (2**24 - len(counts)) // sum(counts) for c in counts]
    weights[weights.index(max(weights))] += 2**24 - sum(weights)
    lefts = [sum(weights[:i]) for i in range(len(weights))]
    payload = data[at:] + bytes(-len(data[at:]) % 4)
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    x = 0
    for _ in range(2):
        x = x * 2**32 + words.pop() if words else x
    symbols = []
    for _ in range(k):
        q = x % 2**24
        i = max(i for i, left in enumerate(lefts) if left <= q)
        symbols.append(alphabet[i])
        x = x // 2**24 * weights[i] + q - lefts[i]
        if x < 2**32 and words:
            x = x * 2**32 + words.pop()
    assert x == 0
    assert not words
    return symbols


@pytest.mark.parametrize(("k", "scale"), [(1, 0), (9, 0), (9, 1), (500, 0.3), (2000, 4.0), (2000, 500.0)])
def test_a_second_reader_reads_the_vector(k, scale):
    header = Header("nano", "1", bytes(8), frames=1, height=8, width=8, fps=Fraction(1), k=k, step=0.5)
    symbols = np.rint(np.random.default_rng(k).laplace(size=k) * scale).astype(np.int32)
    sections = read_sections(VovFile(header, "", symbols).to_bytes())
    assert sorted(sections) == [1, 3]
    assert sections[1] == header.to_bytes()
    assert read_vector(sections[3], k) == symbols.tolist()


def test_a_second_reader_reads_the_caption():
    header = Header("nano", "1", bytes(8), frames=1, height=8, width=8, fps=Fraction(1))
    text = "a video of a cat, walking slowly on the beach at sunset, cinematic"
    dictionary = "".join(re.findall(r'^    "(.*)"$', PAGE, re.MULTILINE)).encode()
    for caption in (text, "x"):
        content = read_sections(replace(VovFile(header), caption=caption).to_bytes())[2]
        body = content[1:]
        if content[0] == 1:
            body = zlib.decompressobj(wbits=-15, zdict=dictionary).decompress(body)
        assert body.decode() == caption


def test_the_page_lists_every_header_field_with_its_bits_and_default():
    rows = re.findall(r"^\| ([\d, -]+) \| ([\w, ]+) \| (.*?) \| (.*?) \|", PAGE, re.MULTILINE)
    listed = {}
    for bits, names, _, default in rows:
        first = re.findall(r"\d+", bits)
        for i, name in enumerate(names.split(", ")):
            span = (int(first[0]), int(first[-1])) if "-" in bits else (int(first[i]),) * 2
            listed[name] = (span, default)
    at = 0
    for item in _field_groups()[1]:
        kind = item.metadata["kind"]
        size = kind.flag_bits if isinstance(kind, Choice) else 1
        default = item.default if isinstance(item.default, str) else f"{item.default:g}"
        assert listed.pop(item.name) == ((at, at + size - 1), default)
        at += size
    assert not listed


def read_indices(data: bytes, index_bits: int) -> list[list[int]]:
    steps, at = read_varint(data, 0)
    bits = "".join(f"{byte:08b}" for byte in data[at:])
    count, counts, at = 0, [], 0
    for _ in range(steps):
        zeros = bits.index("1", at) - at
        z, at = int(bits[at + zeros : at + 2 * zeros + 1], 2) - 1, at + 2 * zeros + 1
        count += z // 2 if z % 2 == 0 else -(z + 1) // 2
        counts.append(count)
    indices = []
    for count in counts:
        indices.append([int(bits[at + n * index_bits : at + (n + 1) * index_bits], 2) for n in range(count)])
        at += count * index_bits
    assert set(bits[at:]) <= {"0"}
    return indices


@pytest.mark.parametrize("index_bits", [1, 8, 11])
def test_a_second_reader_reads_the_indices(index_bits):
    rng = np.random.default_rng(0)
    indices = [rng.integers(0, 2**index_bits, count) for count in (0, 2, 7, 7, 3)]
    plain = Header("nano", "1", bytes(8), frames=1, height=8, width=8, fps=Fraction(1), steps=6)
    header = replace(plain, kernel="ancestral", eta=1.0, index_bits=index_bits)
    content = read_sections(VovFile(header, indices=indices).to_bytes())[4]
    assert read_indices(content, index_bits) == [step.tolist() for step in indices]


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
    replay = Replay(config, 30, 11, [torch.zeros(0, dtype=torch.int64), indices])
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
