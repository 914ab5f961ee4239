"""Whole files that version 1 wrote, with the small model that they were written for: they decode for ever.

Symbols, noise and hash are integers, so only the network's float32 arithmetic may differ between machines, by a grey
level or two. ``VOV_WRITE_GOLDEN=1 pytest tests/golden`` rewrites files and frames (not the model) for review.
"""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.steer import with_indices
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal, read_signal, write_signal

FOLDER = Path(__file__).parent / "v1"
WRITE = os.environ.get("VOV_WRITE_GOLDEN") == "1"
SYMBOLS = torch.arange(64) % 7 - 3

FILES = {
    "video": (5, Padding(), "bright, moving left", SYMBOLS, AdapterConfig(k=64), SamplerConfig(steps=4)),
    "image": (1, Padding(), "", SYMBOLS, AdapterConfig(k=64, rank=1, seed=9), SamplerConfig(steps=4, grid="linear")),
    "padded": (5, Padding(2, 3, 5), "", SYMBOLS, AdapterConfig(k=64), SamplerConfig(steps=3, guidance=2.0, seed=5)),
    "unilora": (
        5,
        Padding(),
        "",
        SYMBOLS,
        AdapterConfig(64, 1, seed=42, scheme="unilora_numpy"),
        SamplerConfig(steps=4),
    ),
    "lora": (
        5,
        Padding(),
        "",
        torch.arange(128) % 7 - 3,
        AdapterConfig(rank=1, targets=("attn1.to_v",), scheme="lora"),
        SamplerConfig(steps=4),
    ),
    "no_vector": (5, Padding(), "dark, fast", SYMBOLS[:0], AdapterConfig(), SamplerConfig(steps=4)),
    "steered": (5, Padding(), "", SYMBOLS, AdapterConfig(k=64), SamplerConfig(steps=4, seed=1)),
    "steered_iid": (5, Padding(), "", SYMBOLS[:0], AdapterConfig(), SamplerConfig(steps=4, seed=2)),
}
INDICES = {
    "steered": (ScalingConfig(index_bits=5, eta=0.5), [[3], [31, 0, 7], [1] * 11]),
    "steered_iid": (ScalingConfig(codebook="iid", kernel="euler_maruyama"), [[255], [], [100, 9]]),
}


@pytest.fixture(scope="module")
def model() -> Nano:
    return Nano(str(FOLDER / "model"))


@pytest.mark.parametrize("name", FILES)
def test_golden_file_decodes(name, model, one_thread):
    path, frames_path = FOLDER / f"{name}.vov", FOLDER / name
    if WRITE:
        frames, padding, caption, symbols, adapter, sampler = FILES[name]
        blank = Signal(torch.zeros(frames, 3, 16, 24, dtype=torch.uint8), Fraction(25), "blank")
        file = build_file(model, Fitted(blank, padding), caption, symbols, 2.0, adapter, sampler)
        if name in INDICES:
            config, indices = INDICES[name]
            file = with_indices(file, tuple(np.array(step, np.int64) for step in indices), config)
        file.save(path)
        write_signal(decode(file, model), frames_path)
    decoded = decode(VovFile.open(path), model)
    expected = read_signal(frames_path)
    difference = (decoded.frames.int() - expected.frames.int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.1


def test_golden_pictures_differ_from_each_other():
    """A decoder that ignored vector, caption, seed or padding could not pass all of them."""
    clips = [read_signal(FOLDER / name).frames[0, :, :13, :19].int() for name in FILES]
    for index, first in enumerate(clips):
        for second in clips[:index]:
            assert (first - second).abs().float().mean() > 2
