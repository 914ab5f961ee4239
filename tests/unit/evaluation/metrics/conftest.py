"""Real weights and pictures, from the folder ``shared`` beside the checkout or around ``TORCH_HOME``."""

import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vov_lightning.evaluation.metrics.i3d import I3D
from vov_lightning.evaluation.metrics.weights import load_i3d
from vov_lightning.video import Signal, read_signal

ROOT = Path(__file__).parents[4]
PLACES = [ROOT.parent / "shared", Path(os.environ.get("TORCH_HOME", "nowhere")).parent.parent]


def shared(path: str) -> Path:
    """A file or folder of ``shared``; the test is skipped where there is none."""
    found = [place / path for place in PLACES if (place / path).exists()]
    if not found:
        pytest.skip(f"no {path} in ../shared, nor around TORCH_HOME")
    return found[0]


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    return shared("weights/i3d_kinetics400.pt").parent


@pytest.fixture(scope="session")
def i3d(weights_dir) -> I3D:
    return load_i3d(weights_dir)


@pytest.fixture(scope="session")
def foreman() -> Tensor:
    """Nine CIF frames ``[9, 3, 288, 352]``."""
    return read_signal(shared("data/test/foreman_cif.mp4"), max_frames=9).frames


@pytest.fixture
def kodak() -> Callable[[str, int], tuple[Signal, Signal]]:
    """A Kodak photo as JPEG of a quality, and the photo."""

    def pair(name: str, quality: int) -> tuple[Signal, Signal]:
        photo = Image.open(shared(f"data/kodak/kodim{name}.png")).convert("RGB")
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=quality)
        return signal(_frames(Image.open(buffer))), signal(_frames(photo))

    return pair


def _frames(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].contiguous()


def signal(frames: Tensor, name: str = "clip") -> Signal:
    return Signal(frames, Fraction(25), name)


@pytest.fixture(name="signal")
def signal_fixture() -> Callable[..., Signal]:
    return signal


@pytest.fixture
def damaged() -> Callable[[Tensor], Tensor]:
    """Frames blurred and noisy, as a decoder's might be; the same for the same input."""

    def damage(frames: Tensor) -> Tensor:
        noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
        blurred = torch.nn.functional.avg_pool2d(frames.float(), 3, 1, 1, count_include_pad=False)
        return (blurred + 4 * noise).round().clamp(0, 255).to(torch.uint8)

    return damage
