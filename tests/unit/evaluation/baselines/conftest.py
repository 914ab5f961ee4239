"""A clip that moves, on an untrained model, as a task."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.codec.build import build_file
from vov_lightning.evaluation.baselines import Task
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal


def moving_clip(frames: int, height: int, width: int) -> Signal:
    """A smooth pattern with a little texture that moves by a pixel a frame."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    planes = [torch.sin((x + t) / 5) + torch.cos(y / 7), torch.sin((x + t) * y / 60), torch.cos((y - t) / 4)]
    pixels = (torch.stack(planes, dim=1) * 50 + 128).clamp(0, 255).byte()
    return Signal(pixels, Fraction(30000, 1001), "moving")


@pytest.fixture
def make_task(tiny_nano: Nano) -> Callable[..., Task]:
    """A task of given size and bytes; its file holds no vector and no indices."""

    def make(num_bytes: int, frames: int = 5, height: int = 32, width: int = 48) -> Task:
        source = moving_clip(frames, height, width)
        fitted = Fitted(source, Padding())
        symbols = torch.zeros(0, dtype=torch.int32)
        file = build_file(tiny_nano, fitted, "red", symbols, 1.0, AdapterConfig(k=0), SamplerConfig(steps=3, seed=5))
        return Task(source, num_bytes, file, tiny_nano)

    return make
