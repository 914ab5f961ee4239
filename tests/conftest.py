"""What several test folders share: a Wan of 160,000 random weights that runs in milliseconds."""

from collections.abc import Iterator

import pytest
import torch

from vov_lightning.bases.autoencoder import AutoencoderConfig
from vov_lightning.bases.nano import Nano, NanoConfig


@pytest.fixture(scope="session")
def tiny_nano_config() -> NanoConfig:
    # Three widths: the model's sides are multiples of 8. Widths are multiples of 8: GroupNorm has 8 groups.
    autoencoder = AutoencoderConfig(z_channels=16, widths=(8, 16, 16), residual_blocks=1)
    return NanoConfig(autoencoder=autoencoder, layers=2, heads=1, ffn_dim=64, text_dim=16)


@pytest.fixture
def tiny_nano(tiny_nano_config: NanoConfig) -> Nano:
    """An untrained `nano` of a test's own, the same in every test; the global generator stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Nano.untrained(tiny_nano_config)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny tensors on a busy machine: threads that wait for each other at every operator take twenty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
