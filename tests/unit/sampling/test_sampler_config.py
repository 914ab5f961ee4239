"""The times that a sampler visits, against the formula and against diffusers."""

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from vov_lightning.sampling.config import SamplerConfig


@pytest.mark.parametrize("steps", [1, 2, 7, 25])
def test_linear_times(steps: int) -> None:
    times = SamplerConfig(steps=steps, grid="linear").times()
    assert times.dtype == torch.float32
    assert times.tolist() == pytest.approx([1 - i / steps for i in range(steps + 1)], abs=1e-7)


@pytest.mark.parametrize("shift", [0.7, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("steps", [1, 4, 25])
def test_shifted_times(steps: int, shift: float) -> None:
    times = SamplerConfig(steps=steps, grid="shifted", shift=shift).times().tolist()
    r = [1 - i / steps for i in range(steps + 1)]
    assert times == pytest.approx([shift * x / (1 + (shift - 1) * x) for x in r], abs=1e-7)
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert times == sorted(times, reverse=True)


def test_the_linear_grid_ignores_the_shift() -> None:
    assert torch.equal(SamplerConfig(grid="linear", shift=9.0).times(), SamplerConfig(grid="linear").times())


@pytest.mark.parametrize(("steps", "shift"), [(1, 3.0), (4, 3.0), (25, 3.0), (25, 5.0)])
def test_times_equal_the_sigmas_of_diffusers(steps: int, shift: float) -> None:
    """Diffusers shifts the sigmas that it is handed and appends the 0: hand it even steps of r, without the 0.

    (Its own default of ``set_timesteps(steps)`` is another grid: it ends at the shifted 1/1000 and is shifted twice.)
    """
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    times = SamplerConfig(steps=steps, shift=shift).times()
    torch.testing.assert_close(times, scheduler.sigmas, rtol=1e-6, atol=0)
    torch.testing.assert_close(1000 * times[:-1], scheduler.timesteps, rtol=1e-6, atol=0)


def test_ready_made_times_pass_through_an_unshifted_scheduler() -> None:
    times = SamplerConfig(steps=10, shift=3.0).times()
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=times[:-1].tolist())
    assert torch.equal(scheduler.sigmas, times)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps=0 is below 1"),
        ({"shift": 0.0}, "shift=0.0 is not above 0"),
        ({"shift": -3.0}, "shift=-3.0 is not above 0"),
        ({"guidance": -0.5}, "guidance=-0.5 is no number from 0 on"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplerConfig(**settings)
