"""Draws are a function of (seed, number) and follow the density that was asked for."""

import pytest
import torch

from vov_lightning.errors import SettingError
from vov_lightning.fitting.draws import DrawConfig, LogitNormalTime, ShiftedTime, UniformTime, draw

NOISE = torch.full((1, 2, 3), 7.0)


def test_a_draw_depends_on_seed_and_number_alone():
    config, density = DrawConfig(batch_size=4), UniformTime()
    torch.manual_seed(0)
    first = draw(config, density, NOISE, 5, seed=3, number=8)
    torch.rand(100)
    again = draw(config, density, NOISE, 5, seed=3, number=8)
    for name in ("t", "eps", "uniform"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        for seed, number in ((3, 9), (4, 8)):
            other = draw(config, density, NOISE, 5, seed=seed, number=number)
            assert not torch.equal(getattr(first, name), getattr(other, name))


def test_shapes_and_ranges():
    found = draw(DrawConfig(batch_size=4), UniformTime(), NOISE, 1000, seed=0, number=0)
    assert found.t.shape == (4,)
    assert found.eps.shape == (4, 2, 3)
    assert found.uniform.shape == (1000,)
    assert found.uniform.min() >= -0.5
    assert found.uniform.max() < 0.5
    assert abs(found.uniform.mean()) < 0.05


def test_stratified_draws_hit_every_part_once():
    for number in range(20):
        t = draw(DrawConfig(batch_size=8), UniformTime(), NOISE, 1, seed=0, number=number).t
        assert sorted((t * 8).int().tolist()) == list(range(8))


@pytest.mark.parametrize(
    ("density", "median"), [(UniformTime(), 0.5), (ShiftedTime(6.0), 6 / 7), (LogitNormalTime(0.0, 1.0), 0.5)]
)
def test_densities_have_their_median_and_stay_inside(density, median):
    r = torch.linspace(0.001, 0.999, 999)
    t = density.quantile(r)
    assert t[499].item() == pytest.approx(median, abs=1e-4)
    assert bool((t.diff() > 0).all())
    assert t.min() >= 0
    assert t.max() <= 1


def test_logit_normal_density_has_normal_logits():
    t = LogitNormalTime(mean=0.7, std=1.3).quantile(torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    logits = torch.logit(t.double())
    assert logits.mean().item() == pytest.approx(0.7, abs=0.04)
    assert logits.std().item() == pytest.approx(1.3, abs=0.04)


def test_decoder_noise_takes_the_stated_share():
    config = DrawConfig(batch_size=16, decoder_noise=0.25)
    shared = [
        draw(config, UniformTime(), NOISE, 1, seed=0, number=number).eps.flatten(1).eq(7).all(1)
        for number in range(100)
    ]
    assert torch.stack(shared).float().mean().item() == pytest.approx(0.25, abs=0.04)
    always = draw(DrawConfig(batch_size=3, decoder_noise=1.0), UniformTime(), NOISE, 1, seed=0, number=0)
    assert torch.equal(always.eps, NOISE.expand(3, -1, -1))


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"decoder_noise": 1.5}])
def test_bad_settings_are_refused(settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(SettingError, match=f"{name}={value}"):
        DrawConfig(**settings)
