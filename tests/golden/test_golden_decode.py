"""Whole files of both versions, with the small model that they were written for: they decode for ever.

Symbols, noise and hash are integers, so only the network's float32 arithmetic may differ between machines, by a grey
level or two. ``VOV_WRITE_GOLDEN=1 pytest tests/golden`` rewrites files and frames (not the model) for review.
"""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import Segment, VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import assemble
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


def whole_clip(model: Nano) -> VovFile:
    """Two segments, the second padded in time, of latents 3 x 4 x 5 and 1 x 4 x 5 in windows of 2 x 3 x 3."""
    blank = Signal(torch.zeros(24, 3, 32, 40, dtype=torch.uint8), Fraction(25), "blank")
    sampler = SamplerConfig(steps=4, seed=2**64 - 1)
    file = build_file(model, Fitted(blank, Padding(0, 3, 5)), "red, slow", SYMBOLS, 2.0, AdapterConfig(k=64), sampler)
    file = replace(file, header=replace(file.header, window=(2, 3, 3, 1, 1)))
    config, parts = ScalingConfig(index_bits=6, eta=0.75), []
    for frames, pad_frames, seed in ((19, 0, 2**64 - 1), (5, 2, 0)):
        header = replace(file.header, frames=frames, pad_frames=pad_frames, seed=seed)
        steps: tuple[list[int], ...] = ([5, 63], [], [17 + frames] * 9)
        indices = tuple(np.array(step, np.int64) for step in steps)
        parts.append(with_indices(VovFile(header, file.caption, file.symbols), indices, config))
    return assemble(file, parts)


@pytest.fixture(scope="module")
def context_model(model) -> Nano:
    """The small model, told of two latent frames: their channels enter as the present's own do, with other factors."""
    told = Nano.untrained(replace(model.config, context=2), revision="context")
    weights = model.state_dict()
    entry = weights["_transformer.patch_embedding.weight"]  # [64, z + positions, 1, 1, 1]
    channels = model.config.autoencoder.z_channels
    weights["_transformer.patch_embedding.weight"] = torch.cat(
        [entry, -0.75 * entry[:, :channels], entry[:, :1], 0.5 * entry[:, :channels], -entry[:, :1]], dim=1
    )
    told.load_state_dict(weights)
    return told


def context_clip(model: Nano) -> VovFile:
    """Two segments, of blocks of one latent frame: three and two, the last one padded."""
    file = whole_clip(model)
    segments = (
        Segment(19, 0, steps([5, 63], [], [20] * 9, [], [], [1, 2, 3], [], [], [4])),
        Segment(11, 2, steps([], [9, 9], [], [], [33])),
    )
    header = replace(
        file.header, base_revision="context", base_fingerprint=bytes(4), frames=30, window=(3, 3, 3, 0, 1), context=2
    )
    return replace(file, header=header, segments=segments)


def steps(*indices: list[int]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(step, np.int64) for step in indices)


def check_frames(path: Path, frames_path: Path, model: Nano) -> None:
    decoded, expected = decode(VovFile.open(path), model), read_signal(frames_path)
    difference = (decoded.frames.int() - expected.frames.int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.1


def test_golden_clip_of_windows_and_segments_decodes(model, one_thread):
    path, frames_path = FOLDER.with_name("v2") / "whole_clip.vov", FOLDER.with_name("v2") / "whole_clip"
    if WRITE:
        whole_clip(model).save(path)
        write_signal(decode(whole_clip(model), model), frames_path)
    file = VovFile.open(path)
    assert (file.version, [segment.frames for segment in file.segments]) == (2, [19, 5])
    assert path.read_bytes() == whole_clip(model).to_bytes()
    check_frames(path, frames_path, model)


def test_golden_clip_whose_blocks_see_the_past_decodes(context_model, model, one_thread):
    context_model._fingerprint = bytes(8)  # its weights are made here
    path, frames_path = FOLDER.with_name("v2") / "context.vov", FOLDER.with_name("v2") / "context"
    file = context_clip(model)
    if WRITE:
        file.save(path)
        write_signal(decode(file, context_model), frames_path)
    assert path.read_bytes() == file.to_bytes()
    check_frames(path, frames_path, context_model)
    expected = read_signal(frames_path).frames.int()
    first = file.segments[0]
    others = {
        "past": replace(file, header=replace(file.header, window=(2, 3, 3, 0, 1), context=1)),
        "candidates": replace(
            file, segments=(replace(first, indices=(*first.indices[:5], *steps([7]))), file.segments[1])
        ),
        "steps": file.keep_steps(1),
    }
    for name, other in others.items():
        shown = decode(other, context_model).frames.int()
        assert (shown - expected)[9:19].abs().max() > 4, name


def test_every_part_of_the_golden_clip_is_seen(model, one_thread):
    """A decoder that ignored windows, their overlap, indices or the seed of a segment could not pass."""
    file, expected = whole_clip(model), read_signal(FOLDER.with_name("v2") / "whole_clip").frames.int()
    others = {
        "window": replace(file, header=replace(file.header, window=())),
        "overlap": replace(file, header=replace(file.header, window=(2, 3, 3, 1, 2))),
        "seed": replace(file, header=replace(file.header, seed=0)),
        "indices": file.keep_steps(2),
    }
    for name, other in others.items():
        shown = decode(other, model).frames.int()
        assert (shown - expected)[:19].abs().max() > 4, name


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
    check_frames(path, frames_path, model)


def test_golden_pictures_differ_from_each_other():
    """A decoder that ignored vector, caption, seed or padding could not pass all of them."""
    clips = [read_signal(FOLDER / name).frames[0, :, :13, :19].int() for name in FILES]
    for index, first in enumerate(clips):
        for second in clips[:index]:
            assert (first - second).abs().float().mean() > 2
