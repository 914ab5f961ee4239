"""Objectives: draws follow the density that was asked for, losses are what their formulas say."""

import pytest
import torch

from vov_lightning.errors import SettingError
from vov_lightning.fitting import objectives
from vov_lightning.fitting.objectives import FlowMatching, Reconstruction, Target, draw_evenly, flow_losses
from vov_lightning.fitting.times import LogitNormalTime, ShiftedTime, UniformTime
from vov_lightning.sampling.config import SamplerConfig

NOISE = torch.full((1, 2, 3), 7.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WEIGHTS = torch.tensor([0.5, 1.5]).view(1, 2, 1)


def target(velocity, times: list[float]) -> Target:
    clean = torch.arange(6.0).view(1, 2, 3)
    return Target(clean, WEIGHTS, NOISE, times, velocity=velocity, decoder_velocity=velocity)


class TestFlowMatching:
    def test_shapes(self):
        t, eps = FlowMatching(batch_size=4).draw(NOISE, generator())
        assert t.shape == (4,)
        assert eps.shape == (4, 2, 3)

    def test_stratified_draws_hit_every_part_once(self):
        for seed in range(20):
            t, _ = FlowMatching(UniformTime(), batch_size=8).draw(NOISE, generator(seed))
            assert sorted((t * 8).int().tolist()) == list(range(8))

    def test_decoder_noise_takes_the_stated_share(self):
        objective = FlowMatching(batch_size=1600, decoder_noise=0.25)
        shared = objective.draw(NOISE, generator())[1].flatten(1).eq(7).all(1)
        assert shared.float().mean().item() == pytest.approx(0.25, abs=0.04)
        always = FlowMatching(batch_size=3, decoder_noise=1.0).draw(NOISE, generator())[1]
        assert torch.equal(always, NOISE.expand(3, -1, -1))

    @pytest.mark.parametrize("power", [0.0, 2.0])
    def test_loss_of_a_model_that_predicts_nothing(self, power):
        objective = FlowMatching(UniformTime(), batch_size=5, loss_weight_power=power)
        found = objective.loss([target(lambda x, _: torch.zeros_like(x), [1.0, 0.0])], generator(3))
        t, eps = objective.draw(NOISE, generator(3))
        clean = torch.arange(6.0).view(1, 2, 3)
        squares = (eps - clean).square().mean(dim=(1, 2))
        assert found.item() == pytest.approx(((squares * t**power).sum() / (t**power).sum()).item(), rel=1e-5)

    @pytest.mark.parametrize("settings", [{"batch_size": 0}, {"decoder_noise": 1.5}])
    def test_bad_settings_are_refused(self, settings):
        name, value = next(iter(settings.items()))
        with pytest.raises(SettingError, match=f"{name}={value}"):
            FlowMatching(**settings)


class TestReconstruction:
    def test_loss_is_the_weighted_error_at_the_end_of_the_sampler(self):
        towards_x = target(lambda x, _: NOISE - torch.arange(6.0).view(1, 2, 3), [1.0, 0.4, 0.0])
        assert Reconstruction().loss([towards_x], generator()).item() == pytest.approx(0, abs=1e-10)
        standing = target(lambda x, _: torch.zeros_like(x), [1.0, 0.4, 0.0])
        expected = (WEIGHTS * (NOISE - torch.arange(6.0).view(1, 2, 3)).square()).mean().item()
        assert Reconstruction().loss([standing], generator()).item() == pytest.approx(expected)

    def test_a_decoder_that_it_does_not_differentiate_is_refused(self):
        sampler = SamplerConfig(scheduler="unipc")
        with pytest.raises(SettingError, match="scheduler=unipc is not what Reconstruction differentiates"):
            Reconstruction().check_sampler(sampler)
        FlowMatching().check_sampler(sampler)

    def test_gradient_reaches_every_step(self):
        weights = torch.ones(3, requires_grad=True)
        steps = iter(weights)
        loss = Reconstruction().loss([target(lambda x, _: next(steps) * x, [1.0, 0.7, 0.3, 0.0])], generator())
        loss.backward()
        assert bool((weights.grad != 0).all())


class TestSeveralTargets:
    """Targets told apart by what their models predict."""

    TARGETS = tuple(target(lambda x, _, height=height: torch.full_like(x, height), [1.0, 0.0]) for height in (0.0, 9.0))

    def test_every_draw_has_its_own_target(self):
        objective = FlowMatching(batch_size=16, loss_weight_power=1.0)
        found = objective.loss(self.TARGETS, generator(3))
        same = generator(3)
        t, eps = objective.draw(NOISE, same)
        drawn = draw_evenly(2, 16, same)
        assert drawn.unique().tolist() == [0, 1]
        wanted = (9.0 * drawn).view(-1, 1, 1)
        squares = (wanted - (eps - torch.arange(6.0).view(1, 2, 3))).square().mean(dim=(1, 2))
        assert found.item() == pytest.approx(((squares * t).sum() / t.sum()).item(), rel=1e-5)
        assert torch.equal(found, objective.loss(self.TARGETS, generator(3)))

    def test_reconstruction_takes_one_a_step(self):
        alone = [Reconstruction().loss([one], generator()).item() for one in self.TARGETS]
        seen = [Reconstruction().loss(self.TARGETS, generator(seed)).item() for seed in range(40)]
        assert set(seen) == set(alone)
        assert 8 < seen.count(alone[0]) < 32

    def test_one_target_takes_no_random_numbers(self):
        """A fit of one source draws what it always drew."""
        used = generator()
        assert draw_evenly(1, 3, used).tolist() == [0, 0, 0]
        assert torch.equal(used.get_state(), generator().get_state())


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
    t = LogitNormalTime(mean=0.7, std=1.3).quantile(torch.rand(20000, generator=generator()))
    logits = torch.logit(t.double())
    assert logits.mean().item() == pytest.approx(0.7, abs=0.04)
    assert logits.std().item() == pytest.approx(1.3, abs=0.04)


class TestContext:
    """Windows whose first latent frames are given."""

    LATENTS = torch.arange(12.0).view(1, 1, 3, 2, 2)

    def losses(self, as_decoded=lambda latents, _: latents, draws=2) -> tuple[torch.Tensor, list]:
        seen = []

        def velocity(x_t, t):
            seen.append((x_t, t))
            return torch.zeros_like(x_t)

        given = Target(
            self.LATENTS, torch.ones(1), torch.zeros(1, 1, 3, 2, 2), [1.0, 0.0], velocity, velocity, 2, as_decoded
        )
        eps = torch.full((draws, 1, 3, 2, 2), 50.0)
        only = torch.zeros(draws, dtype=torch.long)
        return flow_losses(given, torch.linspace(0.25, 0.5, draws), eps, only, generator()), seen

    def test_the_past_is_given_at_time_zero_and_the_loss_is_of_the_present(self, monkeypatch):
        monkeypatch.setattr(objectives, "KEY_DRAWS", 0.0)
        losses, ((x_t, t),) = self.losses()
        assert torch.equal(x_t[:, :, :2], self.LATENTS[:, :, :2].expand(2, -1, -1, -1, -1))
        assert t.tolist() == [[0, 0, 0.25], [0, 0, 0.5]]
        present = self.LATENTS[0, 0, 2]
        torch.testing.assert_close(x_t[1, 0, 2], 0.5 * present + 25)
        torch.testing.assert_close(losses, (50 - present).square().mean().expand(2))

    def test_some_draws_are_the_first_block_of_a_segment_which_has_no_past(self):
        draws = 40
        losses, ((first, first_t), (x_t, t)) = self.losses(draws=draws)
        assert first.shape[1:] == (1, 1, 2, 2)
        assert x_t.shape[1:] == (1, 3, 2, 2)
        assert len(first) + len(x_t) == draws
        assert 0.1 < len(first) / draws < 0.5
        given = torch.isin(torch.linspace(0.25, 0.5, draws), t[:, 2])
        assert torch.isin(first_t, t[:, 2]).sum() == 0
        for key, frame in ((~given, 0), (given, 2)):
            wanted = (50 - self.LATENTS[0, 0, frame]).square().mean()
            torch.testing.assert_close(losses[key], wanted.expand(int(key.sum())))

    def test_the_past_is_shown_as_a_decoder_shows_it(self, monkeypatch):
        monkeypatch.setattr(objectives, "KEY_DRAWS", 0.0)
        _, ((x_t, _),) = self.losses(lambda latents, source: latents + torch.rand(1, generator=source))
        torch.testing.assert_close(
            x_t[:, :, :2], (self.LATENTS[:, :, :2] + torch.rand(1, generator=generator())).expand(2, -1, -1, -1, -1)
        )
