"""Stochastic steps keep the flow's marginals, and the ancestral one is the ODE step without its noise."""

import pytest
import torch

from vov_lightning.errors import SettingError
from vov_lightning.flow import ode_step
from vov_lightning.sampling.kernels import divergence_bits, error_growth, transition


def pair(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, generator=generator), torch.randn(count, generator=generator)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.9), (0.6, 0.55), (0.3, 0.1)])
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_the_ancestral_kernel_keeps_the_marginal(t, s, eta):
    clean, noise = pair(200_000)
    mean, gamma = transition("ancestral", eta, (1 - t) * clean + t * noise, clean, t, s)
    fresh = torch.randn(len(mean), generator=torch.Generator().manual_seed(1))
    rest = mean + gamma * fresh - (1 - s) * clean
    assert gamma > 0
    assert rest.std().item() == pytest.approx(s, rel=0.01)
    assert abs((rest * clean).mean().item()) < 0.01


@pytest.mark.parametrize(("t", "s"), [(0.8, 0.795), (0.5, 0.495)])
def test_short_steps_of_the_sde_keep_the_marginal(t, s):
    clean, noise = pair(200_000)
    mean, gamma = transition("euler_maruyama", 1.0, (1 - t) * clean + t * noise, clean, t, s)
    fresh = torch.randn(len(mean), generator=torch.Generator().manual_seed(1))
    assert (mean + gamma * fresh - (1 - s) * clean).std().item() == pytest.approx(s, rel=0.01)


def test_without_noise_the_ancestral_kernel_is_the_ode_step():
    clean, noise = pair(100)
    t, s = 0.7, 0.4
    x_t = (1 - t) * clean + t * noise
    mean, gamma = transition("ancestral", 0.0, x_t, clean, t, s)
    assert gamma == 0
    torch.testing.assert_close(mean, ode_step(x_t, noise - clean, t, s))


def test_the_sde_starts_at_one_with_a_limited_coefficient():
    _, gamma = transition("euler_maruyama", 1.0, torch.zeros(1), torch.zeros(1), 1.0, 0.96)
    assert gamma == pytest.approx(5 * 0.04**0.5)


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_other_eta_are_refused(eta):
    with pytest.raises(SettingError, match=rf"eta={eta} is outside \[0, 1\]"):
        transition("ancestral", eta, torch.zeros(1), torch.zeros(1), 0.5, 0.4)


@pytest.mark.parametrize("kernel", ["ancestral", "euler_maruyama"])
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.9), (0.6, 0.55), (0.3, 0.1)])
def test_an_error_of_the_clean_latents_costs_its_square_times_the_growth(kernel, t, s):
    x_t, clean = pair(100)
    error = 0.3 * torch.randn(100, generator=torch.Generator().manual_seed(2))
    (wanted, gamma), (mean, _) = (transition(kernel, 1.0, x_t, one, t, s) for one in (clean, clean + error))
    expected = error_growth(kernel, 1.0, t, s) * error.square().sum().item()
    assert divergence_bits((wanted - mean) / gamma) == pytest.approx(expected, rel=1e-3)
