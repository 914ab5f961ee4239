"""The deblocking filter in time, and which files are decoded with it."""

import dataclasses
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file, deblock_of
from vov_lightning.codec.deblock import deblock
from vov_lightning.codec.decode import decode, decode_segment
from vov_lightning.errors import BitstreamError
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal


def as_specified(frames: Tensor, block_frames: int) -> Tensor:
    """FORMAT.md, "Deblocking", pixel by pixel."""
    count, _, height, width = frames.shape
    smooth = frames.int()
    for join in range(block_frames, count, block_frames):
        for channel in range(3):
            for row in range(height):
                for column in range(width):
                    c = 0
                    for i, b_i in enumerate((1, 4, 6, 4, 1)):
                        for j, b_j in enumerate((1, 4, 6, 4, 1)):
                            r, x = min(max(row + i - 2, 0), height - 1), min(max(column + j - 2, 0), width - 1)
                            c += b_i * b_j * (int(frames[join, channel, r, x]) - int(frames[join - 1, channel, r, x]))
                    d = max(0, min(abs(c), 2**14 - abs(c))) * (1 if c > 0 else -1)
                    for n, weight in enumerate((102, 77, 51, 26)):
                        a = (weight * d + 2**15) // 2**16
                        smooth[join - 1 - n, channel, row, column] += a
                        if join + n < count:
                            smooth[join + n, channel, row, column] -= a
    return smooth.clamp(0, 255).byte()


@pytest.mark.parametrize("count", [8, 11, 16, 17, 24])
def test_it_is_what_the_format_says(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    frames = torch.randint(90, 150, (count, 3, 4, 5), generator=generator).byte()
    frames[8:16, 0] -= 90  # steps below and above the limit, and values at the ends of the range
    assert torch.equal(deblock(frames, 8), as_specified(frames, 8))


def test_a_step_becomes_a_slope() -> None:
    frames = torch.full((18, 3, 4, 4), 100, dtype=torch.uint8)
    frames[9:] += 24
    shown = deblock(frames, 9)[:, 0, 0, 0].tolist()
    assert shown == [100] * 5 + [102, 105, 107, 110, 114, 117, 119, 122] + [124] * 5


@pytest.mark.parametrize(("step", "spread"), [(32, 13), (40, 10), (56, 3), (64, 0), (100, 0)])
def test_more_and_more_of_a_large_step_stays(step: int, spread: int) -> None:
    frames = torch.full((18, 3, 4, 4), 100, dtype=torch.uint8)
    frames[9:] += step
    shown = deblock(frames, 9).int()
    assert (shown[8] == 100 + spread).all()
    assert (shown[9] == 100 + step - spread).all()


def test_detail_that_changes_stays() -> None:
    frames = torch.full((18, 3, 8, 8), 100, dtype=torch.uint8)
    frames[9:, :, :, ::2] += 20
    frames[9:, :, :, 1::2] -= 20
    inner = (..., slice(2, 6), slice(2, 6))  # the edge is repeated outside
    assert torch.equal(deblock(frames, 9)[inner], frames[inner])


@pytest.fixture(scope="module")
def base(tiny_nano_config: NanoConfig) -> Nano:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Nano.untrained(dataclasses.replace(tiny_nano_config, context=1))


@pytest.fixture(scope="module")
def file(base: Nano) -> VovFile:
    frames = torch.zeros(27, 3, 16, 24, dtype=torch.uint8)
    source = Fitted(Signal(frames, Fraction(25), "black"), Padding(frames=7))
    nothing = torch.zeros(0, dtype=torch.int32)
    return build_file(base, source, "red", nothing, 1.0, AdapterConfig(k=0), SamplerConfig(steps=2, seed=5))


def test_clips_of_several_blocks_are_deblocked(base: Nano, tiny_nano: Nano) -> None:
    assert not deblock_of(base, ClipSize(9, 64, 64))
    assert deblock_of(base, ClipSize(10, 64, 64))
    assert not deblock_of(tiny_nano, ClipSize(10, 64, 64))  # samples no blocks


def test_a_file_says_whether_it_is_deblocked(base: Nano, file: VovFile, one_thread: None) -> None:
    plain = decode(replace(file, header=replace(file.header, deblock=False)), base).frames
    assert torch.equal(decode(file, base).frames, deblock(plain, 9))
    assert not torch.equal(deblock(plain, 9), plain)
    assert len(file.to_bytes()) == len(replace(file, header=replace(file.header, deblock=False)).to_bytes())


@pytest.mark.parametrize("count", [1, 4, 5, 6, 9, 10, 18, 20])
def test_the_first_frames_alone_are_those_of_the_whole(base: Nano, file: VovFile, count: int, one_thread: None) -> None:
    first = decode_segment(file, base, 0, frames=count).frames
    assert torch.equal(first, decode(file, base).frames[:count])


def test_a_model_without_blocks_refuses(
    base: Nano, file: VovFile, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setattr(Nano, "block_frames", 1)
    with pytest.raises(BitstreamError, match="the file deblocks, and nano decodes no blocks of frames"):
        decode(file, base)
