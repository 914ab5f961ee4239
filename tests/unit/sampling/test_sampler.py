"""The denoising loop, against an exactly solvable flow and against diffusers' own scheduler."""

import hashlib
from collections.abc import Callable, Iterable, Sized
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from support import gradient_of
from torch import Tensor

from vov_lightning.bitstream.header import Grid
from vov_lightning.flow import per_sample
from vov_lightning.randomness import INITIAL_NOISE_STREAM, random_normals
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import check_stop_at, initial_noise, integrate

SHAPE = (16, 3, 4, 5)


def nonlinear(x_t: Tensor, t: Tensor) -> Tensor:
    """A velocity that depends on place and time, with no closed solution."""
    t = per_sample(t, x_t)
    return torch.tanh(2 * x_t) * (1 + t) - 0.3 * torch.sin(3 * x_t + 4 * t)


class Recorder:
    """A velocity that notes the times at which it is evaluated."""

    def __init__(self, velocity: Callable[[Tensor, Tensor], Tensor] = nonlinear) -> None:
        self.velocity = velocity
        self.times: list[float] = []

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.float32
        assert t.shape == x_t.shape[:1]
        self.times.append(t[0].item())
        return self.velocity(x_t, t)


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
@pytest.mark.parametrize("grid", ["linear", "shifted"])
def test_a_straight_flow_is_solved_in_any_number_of_steps(noise: Tensor, steps: int, grid: Grid) -> None:
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))

    def towards_x(x_t: Tensor, t: Tensor) -> Tensor:
        return (x_t - x) / per_sample(t, x_t)  # eps - x, with eps from x_t

    times = SamplerConfig(steps=steps, grid=grid).times().tolist()
    # Dividing by a small t amplifies float32 rounding.
    torch.testing.assert_close(integrate(towards_x, noise, times), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("steps", "shift"), [(1, 3.0), (6, 3.0), (20, 1.0)])
def test_equals_diffusers_on_the_same_sigmas(noise: Tensor, steps: int, shift: float) -> None:
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    x_t = noise
    for timestep in scheduler.timesteps:
        u = nonlinear(x_t, (timestep / 1000).expand(2))
        x_t = scheduler.step(u, timestep, x_t, return_dict=False)[0]
    found = integrate(nonlinear, noise, SamplerConfig(steps=steps, shift=shift).times().tolist())
    torch.testing.assert_close(found, x_t, rtol=1e-5, atol=1e-5)


def test_one_evaluation_a_step_at_the_time_before_it(noise: Tensor) -> None:
    velocity, times = Recorder(), SamplerConfig(steps=7).times().tolist()
    integrate(velocity, noise, times)
    assert velocity.times == times[:-1]


def test_samples_of_a_batch_do_not_mix(noise: Tensor) -> None:
    times = SamplerConfig(steps=4).times().tolist()
    together = integrate(nonlinear, noise, times)
    torch.testing.assert_close(together[1:], integrate(nonlinear, noise[1:], times), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("stop_at", "visited"),
    [(0.9, [1.0, 0.75]), (0.75, [1.0, 0.75]), (0.74, [1.0, 0.75, 0.5]), (0.25, [1.0, 0.75, 0.5, 0.25])],
)
def test_stopping_early_predicts_the_clean_latents(noise: Tensor, stop_at: float, visited: list[float]) -> None:
    velocity, times = Recorder(), [1.0, 0.75, 0.5, 0.25, 0.0]
    found = integrate(velocity, noise, times, stop_at=stop_at)
    assert velocity.times == visited
    x_t = noise
    for t in visited[:-1]:
        x_t = x_t - 0.25 * nonlinear(x_t, torch.full((2,), t))
    t = visited[-1]
    torch.testing.assert_close(found, x_t - t * nonlinear(x_t, torch.full((2,), t)), rtol=1e-5, atol=1e-5)


def test_stopping_below_the_last_time_runs_the_whole_grid(noise: Tensor) -> None:
    times = [1.0, 0.5, 0.0]
    assert torch.equal(integrate(nonlinear, noise, times, stop_at=0.1), integrate(nonlinear, noise, times))


@pytest.mark.parametrize("stop_at", [1.0, -0.1, 3.0])
def test_stopping_times_out_of_range_are_refused(stop_at: float) -> None:
    with pytest.raises(ValueError, match=rf"stop_at={stop_at} is outside \[0, 1\)"):
        check_stop_at(stop_at)


def test_progress_sees_every_step(noise: Tensor) -> None:
    seen = []

    def progress(steps: Iterable) -> Iterable:
        assert isinstance(steps, Sized)
        assert len(steps) == 5  # a progress bar needs the total
        for step in steps:
            seen.append(step)
            yield step

    integrate(nonlinear, noise, SamplerConfig(steps=5, grid="linear").times().tolist(), progress=progress)
    assert len(seen) == 5


def test_gradients_flow_through_every_step(noise: Tensor) -> None:
    weight = torch.tensor(0.5, requires_grad=True)
    integrate(lambda x_t, _: weight * x_t, noise, [1.0, 0.75, 0.0]).sum().backward()
    # x_0 = x_1 (1 - w / 4) (1 - 3 w / 4), so d x_0 / d w = x_1 (-1 + 3 w / 8)
    assert gradient_of(weight).item() == pytest.approx(noise.sum().item() * (-1 + 3 * 0.5 / 8), rel=1e-4)


def test_golden_initial_noise() -> None:
    found = initial_noise(seed=0, shape=SHAPE)
    assert found.dtype == torch.float32
    assert found.shape == (1, *SHAPE)
    assert hashlib.blake2b(found.numpy().tobytes(), digest_size=8).hexdigest() == "fd709ed35ddccd95"


def test_initial_noise_is_the_stream_in_row_major_order() -> None:
    found = initial_noise(seed=7, shape=(2, 3, 5))
    assert found.flatten().tolist() == random_normals(7, INITIAL_NOISE_STREAM, 30).tolist()


def test_initial_noise_depends_on_the_seed() -> None:
    first, second = (initial_noise(seed, SHAPE) for seed in (0, 1))
    assert abs(float((first * second).mean())) < 0.15  # 960 entries: 4.6 standard errors
