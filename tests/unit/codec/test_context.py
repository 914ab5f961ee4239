"""Blocks that are told of the decoded past: what a file says of them, and how they are sampled."""

import dataclasses
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from vov_lightning.bases import ClipSize
from vov_lightning.bases.context import with_context
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.header import Scheduler
from vov_lightning.codec.build import build_file, context_of, for_clip, window_of
from vov_lightning.codec.decode import decode, sample
from vov_lightning.codec.steer import with_indices
from vov_lightning.errors import BitstreamError, SettingError
from vov_lightning.evaluation.diagnostics import diagnose
from vov_lightning.flow import ode_step
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal
from vov_lightning.video.source import Clip

pytestmark = pytest.mark.usefixtures("one_thread")
SAMPLER = SamplerConfig(steps=3, seed=5)
NOTHING = torch.zeros(0, dtype=torch.int32)


@pytest.fixture
def base(tiny_nano_config: NanoConfig) -> Nano:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Nano.untrained(dataclasses.replace(tiny_nano_config, context=2))


def source(frames: int = 33, height: int = 40, width: int = 72) -> Fitted:
    return Fitted(Signal(torch.zeros(frames, 3, height, width, dtype=torch.uint8), Fraction(25), "black"), Padding())


def made(base: Nano, sampler: SamplerConfig = SAMPLER) -> VovFile:
    return build_file(base, source(), "red", NOTHING, 1.0, AdapterConfig(k=0), sampler)


def test_a_clip_of_several_blocks_has_the_models_context(base: Nano, tiny_nano: Nano) -> None:
    small, long = ClipSize(9, 64, 64), ClipSize(10, 64, 64)
    assert (context_of(base, small), window_of(base, small)) == (0, ())
    assert (context_of(base, long), window_of(base, long)) == (2, (3, 8, 8, 0, 2))
    assert (context_of(tiny_nano, long), window_of(tiny_nano, long)) == (0, (1, 8, 8, 0, 2))
    wide = ClipSize(9, 64, 128)
    assert (context_of(base, wide), window_of(base, wide)) == (0, (3, 8, 8, 0, 2))


def test_a_clip_whose_first_scene_is_a_block_has_the_context_of_its_longest_segments(base: Nano) -> None:
    first = build_file(base, source(9, 64, 64), "red", NOTHING, 1.0, AdapterConfig(k=0), SAMPLER)
    assert (first.header.context, first.header.window) == (0, ())
    clip = SimpleNamespace(
        num_frames=99, is_one_segment=False, shape=SimpleNamespace(longest=90), sample_aspect_ratio=1, times=None
    )
    header = for_clip(first, cast(Clip, clip), base).header
    assert (header.frames, header.context, header.window) == (99, 2, (3, 8, 8, 0, 2))


@pytest.mark.parametrize(("window", "block"), [((3, 8, 8, 0, 2), 1), ((4, 5, 8, 0, 2), 2), ((5, 8, 8, 0, 2), 3)])
def test_a_block_is_sampled_given_the_last_latent_frames_before_it(base: Nano, window: tuple, block: int) -> None:
    file = made(base)
    file = replace(file, header=replace(file.header, window=window))
    noise = initial_noise(5, base.latent_shape(ClipSize(33, 40, 72)))
    assert noise.shape[2] == 4
    velocity = windowed(base.velocity("red"), Windows(*window))
    expected = noise[:, :, :0]
    for x_t in noise.split(block, dim=2):
        told = with_context(velocity, expected[:, :, -2:])
        for t, s in pairwise(SAMPLER.times().tolist()):
            x_t = ode_step(x_t, told(x_t, torch.tensor([t])), t, s)
        expected = torch.cat([expected, x_t], dim=2)
    torch.testing.assert_close(sample(file, base), expected)


@pytest.mark.parametrize("scheduler", ["flow_euler", "unipc"])
def test_progress_counts_the_steps_of_all_blocks(base: Nano, scheduler: Scheduler) -> None:
    counted: list[int] = []
    bars: list[int] = []

    def progress(steps):
        bars.append(len(steps))
        for step in steps:
            yield step
            counted.append(step)

    decode(made(base, replace(SAMPLER, scheduler=scheduler)), base, progress=progress)
    assert bars == [4 * 3]
    assert len(counted) >= 4 * 3 - 1  # a bar may be left before its end


def test_sampling_can_stop_early_in_every_block(base: Nano) -> None:
    file = made(base)
    whole, early = sample(file, base), sample(file, base, stop_at=0.9)
    assert ((whole - early).abs().amax((0, 1, 3, 4)) > 1e-3).all()


def test_indices_of_blocks_that_there_are_not_are_refused(base: Nano) -> None:
    file = made(base)
    indices = tuple(np.array([7] * (place == 12), np.int64) for place in range(13))
    with pytest.raises(BitstreamError, match="a step carries 1 indices for 0 latent entries; the file is damaged"):
        decode(with_indices(file, indices, ScalingConfig()), base)
    many = tuple(np.zeros(16 * 5 * 9 + 1 if place == 3 else 0, np.int64) for place in range(4))
    with pytest.raises(BitstreamError, match="a step carries 721 indices for 720 latent entries"):
        decode(with_indices(file, many, ScalingConfig()), base)


def test_a_model_that_takes_no_past_refuses_the_file(base: Nano, tiny_nano: Nano) -> None:
    header = replace(made(base).header, base_fingerprint=tiny_nano.fingerprint())
    with pytest.raises(BitstreamError, match="2 latent frames of the past, and nano untrained takes none"):
        decode(VovFile(header, "red"), tiny_nano)


def test_diagnostics_are_refused(base: Nano) -> None:
    with pytest.raises(SettingError, match=r"sampled block by block \(context=2\), and .*; leave out --diagnostics"):
        diagnose(made(base), base, source())
