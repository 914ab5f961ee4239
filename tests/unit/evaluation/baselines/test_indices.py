"""Indices alone: a real file of at most the bytes, steered by the model that the task's file was fitted on."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.build import build_file
from vov_lightning.codec.scale import scale
from vov_lightning.evaluation.baselines import Task, UnreachableError
from vov_lightning.evaluation.baselines.indices import STEPS, Indices, sampler_for
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal
from vov_lightning.video.compare import psnr_db

pytestmark = pytest.mark.usefixtures("one_thread")


def test_spends_the_bytes_and_comes_nearer_with_more(make_task: Callable[..., Task]):
    base, source = Nano(), make_task(0, height=32, width=32).source
    symbols = torch.zeros(0, dtype=torch.int32)
    fitted = Fitted(source, Padding())
    file = build_file(base, fitted, base.describe(source.frames), symbols, 1.0, AdapterConfig(k=0), SamplerConfig())
    few, many = (Indices().code(Task(source, num_bytes, file, base)) for num_bytes in (100, 200))
    assert 95 <= few.num_bytes <= 100
    assert 195 <= many.num_bytes <= 200
    assert f"k=0, {STEPS} steps" in many.settings
    quality = [psnr_db(Signal(coded.frames, source.fps, "decoded"), source) for coded in (few, many)]
    assert quality[1] > quality[0] + 0.5


def test_takes_steps_and_candidates_of_a_file_that_has_indices(make_task: Callable[..., Task]):
    task = make_task(200, height=16, width=24)
    config = ScalingConfig(bits=400, index_bits=4, kernel="euler_maruyama")
    file = scale(task.file, task.base, Fitted(task.source, Padding()), config)
    coded = Indices().code(replace(task, file=file))
    assert "3 steps" in coded.settings
    assert "indices of 4 bits" in coded.settings
    assert "kernel=euler_maruyama" in coded.settings
    assert torch.equal(Indices().code(replace(task, file=file)).frames, coded.frames)


def test_without_indices_the_file_gives_seed_but_not_steps(make_task: Callable[..., Task]):
    header = make_task(200).file.header
    assert (sampler_for(header).steps, sampler_for(header).seed) == (STEPS, 5)
    assert sampler_for(replace(header, scheduler="unipc")).scheduler == "flow_euler"


def test_a_padded_clip_keeps_its_size(make_task: Callable[..., Task]):
    task = make_task(200, height=16, width=24)
    smaller = Signal(task.source.frames[:4, :, :13, :21].contiguous(), task.source.fps, "odd")
    coded = Indices().code(replace(task, source=smaller))
    assert coded.frames.shape == (4, 3, 13, 21)
    assert coded.num_bytes <= 200


def test_a_target_below_header_and_caption_is_unreachable(make_task: Callable[..., Task]):
    task = make_task(20)
    smallest = len(replace(task.file, header=replace(task.file.header, steps=STEPS)).to_bytes())
    with pytest.raises(UnreachableError, match=rf"20 bytes leave nothing .* alone take {smallest}"):
        Indices().code(task)
