"""Path KL, velocity error and early-stop terms against closed forms on models of Gaussian data."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor

from vov_lightning.bitstream.header import SteeredKernel
from vov_lightning.evaluation.theory import early_stops, path_divergences, sample_path, velocity_errors
from vov_lightning.flow import Velocity, interpolate, per_sample

CPU = torch.device("cpu")
D = 4000


def gaussian(mean: float, std: float = 1.0) -> Velocity:
    """The exact velocity of data that is N(mean, std^2) in every entry."""

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        t = per_sample(t, x_t)
        clean = mean + (1 - t) * std**2 / marginal(t, std) * (x_t - (1 - t) * mean)
        return (x_t - clean) / t

    return velocity


def marginal(t, std: float):
    """Variance of x_t."""
    return (1 - t) ** 2 * std**2 + t**2


def normals(seed: int, dtype: torch.dtype = torch.float64, count: int = D) -> Tensor:
    return torch.randn(1, count, generator=Generator().manual_seed(seed), dtype=dtype)


def path_bits(
    adapted: Velocity, base: Velocity, times: list[float], kernel: SteeredKernel, count: int = D
) -> list[float]:
    path = sample_path(adapted, normals(0, count=count), times, kernel, Generator().manual_seed(1))
    return path_divergences(base, path, kernel, CPU)


def fine(end: float, steps: int = 1000) -> list[float]:
    return [*torch.linspace(1, end, steps + 1, dtype=torch.float64).tolist(), 0.0]


@pytest.mark.parametrize("kernel", ["euler_maruyama", "ancestral"])
def test_shifted_gaussians_are_as_far_apart_as_the_formula_says(kernel):
    """Their velocities differ by the same number everywhere, so every step's KL is known."""
    times, shift, std = [1.0, 0.8, 0.5, 0.25, 0.0], 0.3, 0.7
    expected = []
    for t, s in [(1.0, 0.8), (0.8, 0.5), (0.5, 0.25)]:
        clean = shift * t**2 / marginal(t, std)
        if kernel == "ancestral":
            gamma = s / t * math.sqrt(t**2 - ((1 - t) / (1 - s) * s) ** 2)
            moved = clean * ((1 - s) - math.sqrt(max(0.0, s**2 - gamma**2)) * (1 - t) / t)
        else:
            g = 5.0 if t == 1 else math.sqrt(2 * t / (1 - t))
            gamma, moved = g * math.sqrt(t - s), clean / t * (t - s) * (1 + (1 - t) * g**2 / (2 * t))
        expected.append(D * moved**2 / (2 * gamma**2 * math.log(2)))
    found = path_bits(gaussian(1.0, std), gaussian(1.0 + shift, std), times, kernel)
    assert found == pytest.approx(expected, rel=1e-6)
    assert path_bits(gaussian(1.0 + shift, std), gaussian(1.0, std), times, kernel) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("kernel", ["euler_maruyama", "ancestral"])
def test_identical_models_are_no_bits_apart(kernel):
    assert path_bits(gaussian(0.4, 2.0), gaussian(0.4, 2.0), fine(0.1, steps=20), kernel) == [0.0] * 20


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (0.0, 0.5), (0.0, 2.0), (-0.4, 0.8)])
def test_fine_paths_are_as_far_apart_as_their_ends(mean, std):
    """The paper's SDE is a noising process backwards, the same one for all data: only the ends differ."""
    end = 0.3
    p, q = marginal(end, 1.0), marginal(end, std)
    nats = 0.5 * (q / p - 1 - math.log(q / p) + ((1 - end) * mean) ** 2 / p)
    found = sum(path_bits(gaussian(mean, std), gaussian(0.0), fine(end), "euler_maruyama", count=20_000))
    assert found == pytest.approx(20_000 * nats / math.log(2), rel=0.03)


def test_a_clip_costs_its_negative_log_density_in_paths():
    """The ideal model of one clip against a model of the data, down to a time where some noise is left."""
    clip, end = normals(5), 0.2

    def ideal(x_t: Tensor, t: Tensor) -> Tensor:
        return (x_t - clip) / per_sample(t, x_t)

    p, q = marginal(end, 1.0), end**2
    nats = 0.5 * (D * (q / p - 1 - math.log(q / p)) + (((1 - end) * clip) ** 2).sum().item() / p)
    found = sum(path_bits(ideal, gaussian(0.0), fine(end), "euler_maruyama"))
    assert found == pytest.approx(nats / math.log(2), rel=0.03)


def test_the_last_step_is_left_out():
    assert len(path_bits(gaussian(1.0), gaussian(0.0), [1.0, 0.5, 0.2, 0.0], "ancestral")) == 2
    assert path_bits(gaussian(1.0), gaussian(0.0), [1.0, 0.0], "ancestral") == []


def test_velocity_error_of_a_gaussian_model():
    clean, noise, times = 1.5 * normals(2), normals(3), [0.1, 0.5, 0.9]
    found = velocity_errors(gaussian(0.0), clean, noise, times)
    for t, error in zip(times, found, strict=True):
        v = marginal(t, 1.0)
        u_error = (t / v) * clean - ((1 - t) / v) * noise
        assert error == pytest.approx(u_error.square().mean().item(), rel=1e-5)
        assert error == pytest.approx(((1.5 * t) ** 2 + (1 - t) ** 2) / v**2, rel=0.1)


@pytest.mark.parametrize("t", [0.05, 0.5, 1.0])
def test_predicted_latents_err_by_t_squared_of_the_velocity(t):
    clean, noise = normals(2), normals(3)
    (error,) = velocity_errors(gaussian(0.2), clean, noise, [t])
    stop = early_stops(gaussian(0.2), clean, noise, [t, 0.0])[0]
    assert stop.velocity_term == pytest.approx(t**2 * error, rel=1e-5)


def test_early_stop_of_a_model_that_is_off_by_a_constant():
    """Whatever the state, its prediction is off by ``t d``: all of the error is the velocity's."""
    clean, noise, times, d = normals(2), normals(3), [1.0, 0.7, 0.2, 0.0], 0.1
    stops = early_stops(lambda x_t, t: (x_t - clean) / per_sample(t, x_t) + d, clean, noise, times)
    for t, stop in zip(times, stops, strict=False):
        assert stop.error == pytest.approx((t * d) ** 2, rel=1e-4)
        assert stop.velocity_term == pytest.approx((t * d) ** 2, rel=1e-4)
        assert stop.state_term == pytest.approx(0, abs=1e-9)
    g = math.sqrt(2 * 0.7 / 0.3)  # KL of the second step, from the drift's difference
    drift = d * (1 + 0.3 * g**2 / (2 * 0.7))
    assert stops[1].step_bits == pytest.approx(D * 0.5 * (drift / g) ** 2 / (2 * math.log(2)), rel=1e-4)
    assert stops[2].step_bits == 0  # the last step


def test_early_stop_of_a_model_that_does_nothing():
    """It stays at its noise: the bound is attained, and the share of the states is ``(1 - t)^2``."""
    clean, noise, times = normals(2), normals(3), [1.0, 0.7, 0.2, 0.0]
    distance = (noise - clean).square().mean().item()
    for t, stop in zip(times, early_stops(lambda x_t, t: 0 * x_t, clean, noise, times), strict=False):
        assert stop.error == pytest.approx(distance)
        assert stop.velocity_term == pytest.approx(t**2 * distance, rel=1e-5)
        assert stop.state_term == pytest.approx((1 - t) ** 2 * distance, rel=1e-5, abs=1e-9)


def test_the_error_is_within_the_bound():
    clean, noise = normals(2), normals(3)
    for stop in early_stops(lambda x_t, t: torch.sin(3 * x_t), clean, noise, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]):
        assert stop.error <= (math.sqrt(stop.velocity_term) + math.sqrt(stop.state_term)) ** 2 * (1 + 1e-9)
        assert stop.state_term <= stop.proposition_term * (1 + 1e-6)


def test_the_proposition_is_attained_where_errors_add_up():
    """A velocity that is off by a constant and pushes states apart: every inequality of the proof is an equality."""
    clean, noise, d, slope = normals(2), normals(3), 0.1, 0.5
    times = [1.0, 0.7, 0.4, 0.0]

    def velocity(x_t, t):
        return (noise - clean) + d - slope * (x_t - interpolate(clean, noise, t))

    stops, drift = early_stops(velocity, clean, noise, times), 0.0
    for (t, s), stop in zip(pairwise(times), stops, strict=True):
        assert stop.proposition_term == pytest.approx(((1 + t * slope) * drift) ** 2, rel=1e-4, abs=1e-9)
        assert stop.state_term == pytest.approx(stop.proposition_term, rel=1e-4, abs=1e-9)
        drift += (t - s) * (slope * drift + d)


def test_the_ideal_model_makes_no_error():
    clean, noise = normals(2), normals(3)
    for stop in early_stops(lambda x_t, t: (x_t - clean) / per_sample(t, x_t), clean, noise, [1.0, 0.5, 0.1, 0.0]):
        assert (stop.error, stop.velocity_term, stop.state_term, stop.step_bits) == pytest.approx(
            (0, 0, 0, 0), abs=1e-6
        )
