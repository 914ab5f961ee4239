"""Tiny models of every family, and files with a vector for them."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal

CAPTION = "red, moving left"


@pytest.fixture
def make_base(tiny_nano_config, one_thread) -> Callable[..., BaseModel]:
    """``make_base(family, dtype)``: an untrained model of a test's own, the same at every call."""

    def make(family: Any, dtype: torch.dtype = torch.float32) -> BaseModel:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Nano.untrained(tiny_nano_config) if family is Nano else family.untrained(dtype=dtype)

    return make


@pytest.fixture(params=[Nano, Wan13B, LTXVideo, QwenImage], ids=lambda family: family.name)
def family(request) -> type[BaseModel]:
    return request.param


@pytest.fixture
def base(family, make_base) -> BaseModel:
    return make_base(family)


@pytest.fixture
def size_of() -> Callable[[BaseModel], ClipSize]:
    """``size_of(base)``: of the clips of these tests."""
    return lambda base: ClipSize(1 if base.max_frames == 1 else 1 + base.temporal_factor, 64, 96)


@pytest.fixture
def make_file(size_of) -> Callable[..., VovFile]:
    """``make_file(base, **adapter settings)``: a file whose vector is large enough to be seen."""

    def make(base: BaseModel, **settings) -> VovFile:
        adapter = AdapterConfig(**{"k": 200, "rank": 2, "seed": 5, "targets": base.target_kinds, **settings})
        symbols = torch.randint(-3, 4, (adapter.k or 0,), generator=torch.Generator().manual_seed(0))
        size = size_of(base)
        blank = torch.zeros(size.frames, 3, size.height, size.width, dtype=torch.uint8)
        dtype: Any = str(base.dtype).removeprefix("torch.")
        sampler = SamplerConfig(steps=3, compute_dtype=dtype)
        return build_file(
            base, Fitted(Signal(blank, Fraction(16), "blank"), Padding()), CAPTION, symbols, 0.5, adapter, sampler
        )

    return make


@pytest.fixture
def velocity_of(size_of) -> Callable[[BaseModel], Tensor]:
    """``velocity_of(base)`` on fixed latents at two times."""

    def predict(base: BaseModel) -> Tensor:
        x_t = torch.randn(2, *base.latent_shape(size_of(base)), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return base.velocity(CAPTION)(x_t, torch.tensor([0.3, 0.9]))

    return predict
