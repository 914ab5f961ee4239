"""The formulas of flow matching, against numbers worked out by hand."""

import pytest
import torch
from torch import Tensor

from vov_lightning.flow import flow_loss, guide, interpolate, ode_step, per_sample, predict_clean, shift_time


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 2, 2, 2, generator=generator), torch.randn(3, 4, 2, 2, 2, generator=generator)


def test_interpolation_runs_from_clean_to_noise(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    assert torch.equal(interpolate(x, eps, torch.zeros(3)), x)
    assert torch.equal(interpolate(x, eps, torch.ones(3)), eps)


def test_interpolation_takes_a_time_for_each_sample(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    found = interpolate(x, eps, torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(found, torch.stack([x[0], 0.75 * x[1] + 0.25 * eps[1], eps[2]]), rtol=1e-6, atol=1e-7)


def test_interpolation_broadcasts_one_clip_over_many_draws(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    found = interpolate(x[:1], eps, torch.tensor([0.5, 0.0, 1.0]))
    torch.testing.assert_close(found, torch.stack([(x[0] + eps[0]) / 2, x[0], eps[2]]), rtol=1e-6, atol=1e-7)


def test_the_true_velocity_predicts_the_clean_latents(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    t = torch.tensor([0.1, 0.6, 1.0])
    torch.testing.assert_close(predict_clean(interpolate(x, eps, t), eps - x, t), x, rtol=1e-5, atol=1e-6)


def test_a_step_along_the_true_velocity_follows_the_interpolation(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    x_t, x_s = (interpolate(x, eps, torch.full((3,), t)) for t in (0.8, 0.3))
    torch.testing.assert_close(ode_step(x_t, eps - x, 0.8, 0.3), x_s, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 6.0])
def test_shifted_time(shift: float) -> None:
    r = torch.linspace(0, 1, 101, dtype=torch.float64)
    t = shift_time(r, shift)
    assert t[0] == 0
    assert t[-1] == 1
    assert (t.diff() > 0).all()
    # t / (1 - t) = c r / (1 - r): the shift multiplies the noise-to-signal ratio
    torch.testing.assert_close(t[:-1] / (1 - t[:-1]), shift * r[:-1] / (1 - r[:-1]), rtol=1e-12, atol=0)
    torch.testing.assert_close(shift_time(t, 1 / shift), r, rtol=1e-12, atol=1e-15)


def test_guidance_extrapolates_from_the_unconditional_velocity() -> None:
    def conditional(x_t: Tensor, t: Tensor) -> Tensor:
        return 2 * x_t + per_sample(t, x_t)

    def unconditional(x_t: Tensor, t: Tensor) -> Tensor:
        return -x_t

    x_t, t = torch.tensor([[1.0, -2.0], [0.5, 4.0]]), torch.tensor([0.5, 1.0])
    u_c, u_0 = torch.tensor([[2.5, -3.5], [2.0, 9.0]]), torch.tensor([[-1.0, 2.0], [-0.5, -4.0]])
    assert torch.equal(guide(conditional, unconditional, 0.0)(x_t, t), u_0)
    assert torch.equal(guide(conditional, unconditional, 1.0)(x_t, t), u_c)
    assert torch.equal(guide(conditional, unconditional, 5.0)(x_t, t), 5 * u_c - 4 * u_0)


def test_loss_is_a_mean_over_the_entries_of_each_sample(pair: tuple[Tensor, Tensor]) -> None:
    x, eps = pair
    u = eps - x
    u[1] += 2.0
    u[2, 0, 0, 0, 0] += 4.0
    torch.testing.assert_close(flow_loss(u, x, eps), torch.tensor([0.0, 4.0, 16 / 32]), rtol=1e-5, atol=1e-6)
