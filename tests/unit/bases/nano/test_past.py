"""`nano` with a time for each latent frame: what it is told of the frames before, and what follows from that."""

import dataclasses

import pytest
import torch
from torch import Tensor

from vov_lightning.bases.nano.model import Nano, NanoConfig, transformer_velocity
from vov_lightning.bases.nano.past import past_channels, past_planes

pytestmark = pytest.mark.usefixtures("one_thread")

LATENTS = torch.randn(2, 16, 4, 2, 3, generator=torch.Generator().manual_seed(0))
TIMES = torch.tensor([[0.2, 0.4, 0.6, 0.8], [0.9, 0.7, 0.5, 0.3]])


@pytest.fixture
def nano(tiny_nano_config: NanoConfig) -> Nano:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Nano.untrained(dataclasses.replace(tiny_nano_config, context=2))


def velocity(nano: Nano, x_t: Tensor, t: Tensor) -> Tensor:
    return nano.velocity("dark")(x_t, t)


class TestPlanes:
    def test_the_nearest_frame_comes_first_and_nothing_lies_before_the_first(self) -> None:
        planes = past_planes(LATENTS, torch.zeros(2, 4), context=2)
        assert planes.shape == (2, past_channels(16, 2), 4, 2, 3)
        assert torch.equal(planes[:, :16, 1:], LATENTS[:, :, :-1])
        assert torch.equal(planes[:, 17:33, 2:], LATENTS[:, :, :-2])
        assert planes[:, 16, 0].eq(0).all()
        assert planes[:, 16, 1:].eq(1).all()
        assert planes[:, :, 0].eq(0).all()

    def test_a_frame_is_told_by_its_least_squares_estimate(self) -> None:
        generator = torch.Generator().manual_seed(1)
        clean, noise = (torch.randn(1, 1, 2, 200, 200, generator=generator) for _ in range(2))
        x_t = 0.7 * clean + 0.3 * noise
        told = past_planes(x_t, torch.full((1, 2), 0.3), context=1)[:, 0, 1]
        best = (clean * x_t)[:, :, 0].sum() / x_t[:, :, 0].square().sum()
        assert torch.allclose(told, best * x_t[:, 0, 0], rtol=0.02)

    def test_pure_noise_tells_nothing(self) -> None:
        assert past_planes(LATENTS, torch.ones(2, 4), context=2).eq(0).all()


class TestVelocity:
    def test_equal_times_give_the_plain_result(self, nano: Nano) -> None:
        t = torch.tensor([0.3, 0.8])
        per_frame = velocity(nano, LATENTS, t[:, None].expand(-1, 4))
        assert per_frame.shape == LATENTS.shape
        assert torch.equal(per_frame, velocity(nano, LATENTS, t))

    def test_a_known_frame_changes_those_after_it_as_far_as_the_context_reaches(self, nano: Nano) -> None:
        t = TIMES.clone()
        t[:, 0] = 0
        other = LATENTS.clone()
        other[:, :, 0] += 1
        change = (velocity(nano, other, t) - velocity(nano, LATENTS, t)).abs().amax((0, 1, 3, 4))
        assert change[0] == 0  # known: nothing is predicted
        assert (change[1:3] > 1e-3).all()
        assert change[3] == 0

    def test_a_frame_does_not_change_those_before_it(self, nano: Nano) -> None:
        other = LATENTS.clone()
        other[:, :, 3] += 1
        assert torch.equal(velocity(nano, other, TIMES)[:, :, :3], velocity(nano, LATENTS, TIMES)[:, :, :3])

    def test_the_time_of_the_past_counts(self, nano: Nano) -> None:
        other = TIMES.clone()
        other[:, 0] = 0.1
        change = (velocity(nano, LATENTS, other) - velocity(nano, LATENTS, TIMES)).abs().amax((0, 1, 3, 4))
        assert (change[:3] > 1e-4).all()

    def test_known_frames_are_left_out_of_the_work_and_of_nothing_else(self, nano: Nano) -> None:
        t = TIMES.clone()
        t[:, :2] = 0
        words = nano.embed("dark").expand(2, -1, -1)
        whole = transformer_velocity(nano.transformer, LATENTS, t, words, past_planes(LATENTS, t, 2))
        u = velocity(nano, LATENTS, t)
        assert torch.allclose(u[:, :, 2:], whole[:, :, 2:], atol=1e-6)
        assert u[:, :, :2].eq(0).all()
        assert velocity(nano, LATENTS, torch.zeros(2, 4)).eq(0).all()


def test_context_is_a_property_of_the_weights(nano: Nano, tiny_nano: Nano, tmp_path) -> None:
    nano.save(tmp_path)
    loaded = Nano(str(tmp_path))
    assert (loaded.context, loaded.per_frame_times) == (2, True)
    assert (tiny_nano.context, tiny_nano.per_frame_times) == (0, False)
    old = Nano(revision="2")
    assert (old.context, old.per_frame_times) == (0, False)
    assert torch.allclose(velocity(loaded, LATENTS, TIMES), velocity(nano, LATENTS, TIMES), atol=0.02)  # float16
