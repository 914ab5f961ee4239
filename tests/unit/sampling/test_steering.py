"""Indices: within their budget, the same steps on both sides, and samples of the right distribution."""

from typing import Any, Literal

import pytest
import torch

from vov_lightning.bitstream.indices import check_indices, encode_indices
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import integrate
from vov_lightning.sampling.steering import KEY_BLOCK, SPARE, WEIGHT_POWER, Replay, Search, Steering

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (1, 4, 1, 8, 8)
TIMES = SamplerConfig(steps=20).times().tolist()
SHORT: Any = {"index_bits": 8}


def standard_normal_data(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Exact velocity where the data are standard normal: E[eps - x | x_t]."""
    t = t.view(-1, 1, 1, 1, 1)
    return x_t * (2 * t - 1) / (t**2 + (1 - t) ** 2)


def clip_and_noise(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


def searched(config: ScalingConfig, seed: int = 0) -> tuple[torch.Tensor, Search]:
    clip, noise = clip_and_noise(seed)
    search = Search(config, clip, seed=5, times=TIMES)
    return integrate(standard_normal_data, noise, TIMES, steering=search), search


@pytest.mark.parametrize("codebook", ["hadamard", "iid"])
@pytest.mark.parametrize("kernel", ["ancestral", "euler_maruyama"])
@pytest.mark.parametrize("selection", ["argmax", "importance"])
def test_the_decoder_takes_the_encoders_steps(codebook, kernel, selection):
    config = ScalingConfig(bits=300, index_bits=6, codebook=codebook, kernel=kernel, selection=selection)
    latents, search = searched(config)
    replay = Replay(config, 5, search.indices)
    assert torch.equal(integrate(standard_normal_data, clip_and_noise()[1], TIMES, steering=replay), latents)


@pytest.mark.parametrize("bits", [0, 7, 64, 1000])
def test_indices_keep_to_their_budget(bits):
    _, search = searched(ScalingConfig(bits=bits, **SHORT))
    spent = 8 * sum(map(len, search.indices))
    assert spent <= bits
    assert spent > bits - 8 * 20
    assert len(search.indices) == 19  # the last step carries none


@pytest.mark.parametrize("bits", [150, 300, 600])
def test_the_earliest_steps_that_can_take_the_budget_share_it(bits):
    _, search = searched(ScalingConfig(bits=bits, index_bits=4))
    spent = [4 * len(step) for step in search.indices]
    last = max(number for number, own in enumerate(spent) if own)
    assert all(own <= divergence + 4 for own, divergence in zip(spent, search.divergences, strict=True))
    capped = [
        own for own, divergence in zip(spent[: last + 1], search.divergences, strict=False) if own < divergence - 4
    ]
    assert len(capped) > 1
    assert max(capped) <= min(capped) + 8
    assert sum(search.divergences[: last + 1]) > bits
    assert sum(search.divergences[:last]) < SPARE * bits


def test_a_larger_budget_reaches_later_steps():
    last = []
    for bits in (40, 150, 600):
        _, search = searched(ScalingConfig(bits=bits, index_bits=4))
        last.append(max(number for number, step in enumerate(search.indices) if len(step)))
    assert last == sorted(set(last))


def test_the_paper_gives_every_step_the_same():
    _, search = searched(ScalingConfig(bits=608, index_bits=4, allocation="even"))
    assert {len(step) for step in search.indices} == {8}


class TestBlocks:
    """Four latent frames in blocks of three and one; the model is told nothing of other blocks."""

    clip = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(4))

    def sampled(self, steering: Steering, block: int = 3) -> torch.Tensor:
        return torch.cat(
            [
                integrate(standard_normal_data, part, TIMES, steering=steering, first_step=20 * number)
                for number, part in enumerate(self.noise.split(block, dim=2))
            ],
            dim=2,
        )

    @pytest.mark.parametrize("block", [1, 2, 3])
    def test_the_decoder_takes_the_encoders_steps(self, block: int) -> None:
        config = ScalingConfig(bits=900)
        search = Search(config, self.clip, seed=5, times=TIMES, block=block)
        latents = self.sampled(search, block)
        assert torch.equal(self.sampled(Replay(config, 5, search.indices), block), latents)
        assert not any(map(len, search.indices[19::20]))

    def test_blocks_draw_from_other_candidates(self) -> None:
        config, indices = ScalingConfig(), [torch.tensor([7])]
        x = self.noise[:, :, :1]
        first, second = (Replay(config, 5, [torch.zeros(0)] * n + indices).step(n, x, x, 0.9, 0.8) for n in (0, 20))
        assert first is not None
        assert second is not None
        assert (first - second).abs().max() > 0.1

    @pytest.mark.parametrize("bits", [600, 3000])
    def test_a_budget_is_shared_by_size_and_the_first_block_gets_more(self, bits: int) -> None:
        search = Search(
            ScalingConfig(bits=bits, index_bits=8, allocation="even"), self.clip, seed=5, times=TIMES, block=1
        )
        self.sampled(search, block=1)
        spent = [8 * sum(map(len, search.indices[20 * block :][:20])) for block in range(4)]
        assert bits - 8 * 20 < sum(spent) <= bits
        for block, share in enumerate((KEY_BLOCK, 1, 1, 1)):
            assert spent[block] == pytest.approx(share * bits / (KEY_BLOCK + 3), abs=170)

    def test_what_a_block_leaves_goes_to_the_next(self) -> None:
        search = Search(ScalingConfig(bits=400, **SHORT), self.clip, seed=5, times=TIMES, block=2)
        known, _ = self.clip.split(2, dim=2)
        first, second = self.noise.split(2, dim=2)
        integrate(lambda x_t, t: (x_t - known) / t.view(-1, 1, 1, 1, 1), first, TIMES, steering=search)
        assert not any(map(len, search.indices))
        integrate(standard_normal_data, second, TIMES, steering=search, first_step=20)
        assert 8 * sum(map(len, search.indices)) > 400 - 8 * 20

    @pytest.mark.parametrize("bits", [400, 2000])
    def test_a_budget_that_pays_for_counts_is_met_by_the_bytes_of_the_file(self, bits: int) -> None:
        search = Search(ScalingConfig(bits=bits, **SHORT), self.clip, seed=5, times=TIMES, block=1, with_counts=True)
        self.sampled(search, block=1)
        indices = check_indices([step.numpy() for step in search.indices], 8)
        size = 8 * (len(encode_indices(indices, 8, block_steps=20)) - 2)  # without the numbers of steps and blocks
        assert bits - 60 < size <= bits


def test_more_bits_come_nearer():
    errors = []
    for bits in (0, 100, 400, 1600):
        found = [
            (searched(ScalingConfig(bits=bits), seed)[0] - clip_and_noise(seed)[0]).square().mean() for seed in range(4)
        ]
        errors.append(torch.stack(found).mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("codebook", ["hadamard", "iid"])
def test_importance_weights_draw_from_the_wanted_distribution(codebook):
    """With far more candidates than the divergence asks for, z is normal around the wish."""
    config = ScalingConfig(bits=1, index_bits=11, codebook=codebook, selection="importance")
    wish = torch.tensor([[1.0, -0.5, 0.0, 0.8]])
    search = Search(config, torch.zeros(4), seed=0, times=[1.0, 0.5, 0.0])
    drawn = []
    for step in range(800):
        chosen = search._select(search.codebook.scores(wish, step))
        drawn.append(search.codebook.draw(chosen, 4, step)[0])
    z = torch.stack(drawn)
    torch.testing.assert_close(z.mean(0), wish[0], rtol=0, atol=0.16)
    torch.testing.assert_close(z.std(0), torch.ones(4), rtol=0, atol=0.13)


def test_a_clip_on_the_path_needs_no_bits():
    """Where the model already leads to the clip, the divergence is zero."""
    clip, noise = clip_and_noise()
    search = Search(ScalingConfig(bits=800), clip, seed=0, times=TIMES)
    out = integrate(lambda x_t, t: (x_t - clip) / t.view(-1, 1, 1, 1, 1), noise, TIMES, steering=search)
    torch.testing.assert_close(out, clip, rtol=0, atol=1e-4)
    assert max(search.divergences) < 1e-3
    assert not any(map(len, search.indices))


@pytest.mark.parametrize("allocation", ["divergence", "even"])
@pytest.mark.parametrize("bits", [8, 40, 104, 400, 1000])
@pytest.mark.parametrize("index_bits", [1, 6])
def test_a_budget_that_pays_for_counts_is_met_by_the_bytes_of_the_file(bits, index_bits, allocation):
    clip, noise = clip_and_noise()
    config = ScalingConfig(bits=bits, index_bits=index_bits, allocation=allocation)
    search = Search(config, clip, seed=5, times=TIMES, with_counts=True)
    integrate(standard_normal_data, noise, TIMES, steering=search)
    indices = check_indices([step.numpy() for step in search.indices], index_bits)
    size = 8 * (len(encode_indices(indices, index_bits)) - 1)  # without the number of steps
    assert size <= bits
    if allocation == "even" and 40 < bits < 256 * index_bits:
        assert size > bits - 24


class TestWeights:
    """Half of the channels cost nine times as much."""

    weights = torch.tensor([1.8, 1.8, 0.2, 0.2]).view(1, 4, 1, 1, 1)

    def error(self, weights: torch.Tensor | None, selection: Literal["argmax", "importance"] = "argmax") -> float:
        errors = []
        for seed in range(3):
            clip, noise = clip_and_noise(seed)
            search = Search(ScalingConfig(bits=400, selection=selection), clip, seed=5, times=TIMES, weights=weights)
            latents = integrate(standard_normal_data, noise, TIMES, steering=search)
            errors.append((self.weights * (latents - clip).square()).mean())
        return torch.stack(errors).mean().item()

    def test_the_best_candidate_corrects_what_costs_more(self) -> None:
        assert self.error(self.weights) < 0.9 * self.error(None)

    def test_importance_weights_know_no_cost(self) -> None:
        assert self.error(self.weights, "importance") == self.error(None, "importance")

    def test_every_block_has_the_weights_of_its_own(self) -> None:
        clip = torch.zeros(1, 4, 4, 8, 8)
        weights = torch.arange(4.0).view(1, 1, 4, 1, 1)
        search = Search(ScalingConfig(bits=400), clip, seed=5, times=TIMES, weights=weights, block=3)
        assert search.weights is not None
        assert [part.shape[2] for part in search.weights] == [3, 1]
        assert (search.weights[1] == 3**WEIGHT_POWER).all()
