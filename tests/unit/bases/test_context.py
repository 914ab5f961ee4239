"""The velocity of latents that follow a decoded past."""

import dataclasses

import pytest
import torch
from torch import Tensor

from vov_lightning.bases.context import with_context
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.errors import BaseModelError, SettingError

PAST = torch.arange(1.0, 13.0).view(1, 3, 2, 1, 2)
PRESENT = torch.arange(100.0, 124.0).view(2, 3, 2, 1, 2)


def test_the_model_sees_past_and_present_with_their_times_and_the_part_of_the_present_comes_back() -> None:
    calls = []

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append((x_t, t))
        return 2 * x_t

    u = with_context(velocity, PAST)(PRESENT, torch.tensor([0.5, 0.75]))
    assert torch.equal(u, 2 * PRESENT)
    ((x_t, t),) = calls
    assert torch.equal(x_t, torch.cat([PAST.expand(2, -1, -1, -1, -1), PRESENT], dim=2))
    assert t.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0.75, 0.75]]


def test_past_that_is_declared_inexact_is_scaled_to_its_time() -> None:
    seen = {}

    def record(x_t: Tensor, t: Tensor) -> Tensor:
        seen["past"], seen["t"] = x_t[:, :, :2], t
        return x_t

    with_context(record, PAST, 0.25)(PRESENT[:1], torch.ones(1))
    assert torch.equal(seen["past"], 0.75 * PAST)
    assert seen["t"].tolist() == [[0.25, 0.25, 1, 1]]


def test_contexts_nest_and_times_of_the_present_may_differ() -> None:
    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        return x_t * t[:, None, :, None, None]

    first, second = PAST[:, :, :1], PAST[:, :, 1:]
    nested = with_context(with_context(velocity, first), second)(PRESENT, torch.full((2,), 0.5))
    assert torch.equal(nested, with_context(velocity, PAST)(PRESENT, torch.full((2, 2), 0.5)))


def test_windows_take_past_and_present_at_the_same_place() -> None:
    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        """Of each latent frame: what lies before it, by its time."""
        return torch.cumsum(x_t * (1 - t)[:, None, :, None, None], dim=2)

    past, present = (
        torch.randn(1, 3, frames, 11, 9, generator=torch.Generator().manual_seed(frames)) for frames in (2, 1)
    )
    t = torch.tensor([0.3])
    whole = with_context(velocity, past)(present, t)
    windows = Windows(frames=3, rows=4, columns=4, overlap_space=1)
    torch.testing.assert_close(with_context(windowed(velocity, windows), past)(present, t), whole)
    in_time = windowed(velocity, Windows(frames=2, rows=4, columns=4))(torch.cat([past, present], 2), torch.rand(1, 3))
    assert in_time.shape == (1, 3, 3, 11, 9)


def test_without_past_the_velocity_is_the_models_own(tiny_nano_config: NanoConfig) -> None:
    base = Nano.untrained(dataclasses.replace(tiny_nano_config, context=1))
    x_t, t = torch.randn(1, 16, 2, 2, 3), torch.tensor([0.5])
    nothing = torch.zeros(1, 16, 0, 2, 3)
    velocity = base.velocity("dark")
    assert torch.allclose(with_context(velocity, nothing)(x_t, t), velocity(x_t, t), atol=1e-6)


@pytest.mark.parametrize("past_time", [-0.1, 1.0])
def test_times_of_no_past_are_refused(past_time: float) -> None:
    with pytest.raises(SettingError, match=rf"past_time={past_time} is outside \[0, 1\)"):
        with_context(lambda x_t, t: x_t, PAST, past_time)


def test_a_model_with_one_time_for_all_refuses_context(tiny_nano: Nano) -> None:
    velocity = with_context(tiny_nano.velocity("dark"), torch.zeros(1, 16, 1, 2, 2))
    with pytest.raises(BaseModelError, match=r"times of shape \[1, 2\] do not suit base model nano untrained"):
        velocity(torch.zeros(1, 16, 1, 2, 2), torch.ones(1))
