"""Windows: every latent is covered, weights add up, and the blend is the velocity wherever windows agree."""

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from vov_lightning.bases import ClipSize, windows
from vov_lightning.bases.flux2 import Flux2KleinBase4B
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.windows import Windows, blend_weights, origins, windowed
from vov_lightning.bases.z_image import ZImage
from vov_lightning.errors import BaseModelError, SettingError
from vov_lightning.flow import Velocity, guide

HUB = [Wan13B, LTXVideo, QwenImage, HunyuanVideo15, ZImage, Flux2KleinBase4B]
SMALL = Windows(frames=2, rows=4, columns=5, overlap_frames=1, overlap_space=2)
LENGTHS = [(1, 1, 1), (2, 4, 5), (2, 4, 6), (3, 5, 5), (5, 11, 13), (4, 3, 12), (1, 20, 2)]
TIMES = torch.tensor([0.3, 0.8])

pytestmark = pytest.mark.usefixtures("one_thread")


def random_latents(lengths: tuple[int, ...], batch: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, *lengths, generator=torch.Generator().manual_seed(0))


class TestPlaces:
    @pytest.mark.parametrize(("size", "overlap"), [(1, 0), (4, 0), (4, 1), (5, 2), (8, 2), (8, 7)])
    def test_windows_of_an_axis(self, size: int, overlap: int) -> None:
        for length in range(1, 40):
            starts = origins(length, size, overlap)
            stops = [start + min(size, length) for start in starts]
            assert (starts[0], stops[-1]) == (0, length)
            assert all(0 < after - before <= size - overlap for before, after in pairwise(starts))
            # All but the last lie where they would in a longer clip, and none can be left out.
            assert starts[:-1] == [number * (size - overlap) for number in range(len(starts) - 1)]
            assert all(before + size - overlap < length - overlap for before in starts[:-1])

    @pytest.mark.parametrize("lengths", LENGTHS)
    def test_every_entry_is_covered_and_its_weights_add_up_to_one(self, lengths: tuple[int, int, int]) -> None:
        total, blends = torch.zeros(lengths), list(SMALL.blends(lengths))
        for place, weights in blends:
            assert total[place].shape == weights.shape
            assert float(weights.min()) > 0
            total[place] += weights
        torch.testing.assert_close(total, torch.ones(lengths), rtol=1e-6, atol=0)
        assert len(blends) == SMALL.count(lengths)

    def test_order_and_places(self) -> None:
        found = [tuple((part.start, part.stop) for part in place[1:]) for place, _ in SMALL.blends((3, 5, 5))]
        assert found == [((t, t + 2), (row, row + 4), (0, 5)) for t, row in product((0, 1), (0, 1))]

    def test_weights_are_the_taper_where_two_windows_meet(self) -> None:
        first, second = blend_weights(14, 8, 2).tolist()
        assert first == [1, 1, 1, 1, 1, 1, 0.75, 0.25]
        assert second == first[::-1]

    def test_weights_of_a_window_that_was_moved_back(self) -> None:
        first, second = blend_weights(9, 8, 2)
        taper = torch.tensor([0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25])
        torch.testing.assert_close(first[1:], taper[1:] / (taper[1:] + taper[:-1]), rtol=1e-6, atol=0)
        torch.testing.assert_close(second[:-1], taper[:-1] / (taper[1:] + taper[:-1]), rtol=1e-6, atol=0)
        assert first[0] == second[-1] == 1

    def test_windows_without_overlap_weigh_alike(self) -> None:
        assert blend_weights(8, 4, 0).tolist() == [[1] * 4] * 2
        assert blend_weights(6, 4, 0).tolist() == [[1, 1, 0.5, 0.5], [0.5, 0.5, 1, 1]]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ((0, 8, 8), r"frames=0 of a window is below 1"),
            ((1, -1, 8), r"rows=-1 of a window is below 1"),
            ((1, 8, 0), r"columns=0 of a window is below 1"),
            ((1, 8, 8, 1, 0), r"overlap_frames=1 is outside 0 .. 0 for windows of 1 x 8 x 8; use 0"),
            ((9, 8, 6, 0, 6), r"overlap_space=6 is outside 0 .. 5 for windows of 9 x 8 x 6; use 1"),
            ((9, 8, 8, -1, 2), r"overlap_frames=-1 is outside 0 .. 8"),
        ],
    )
    def test_values_out_of_range_are_refused(self, values: tuple[int, ...], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            Windows(*values)


class TestVelocity:
    @pytest.mark.parametrize("lengths", LENGTHS)
    def test_pointwise_velocity_comes_back_unchanged(self, lengths: tuple[int, int, int]) -> None:
        x_t = random_latents(lengths)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return torch.sin(3 * x) * t.view(-1, 1, 1, 1, 1)

        torch.testing.assert_close(windowed(velocity, SMALL)(x_t, TIMES), velocity(x_t, TIMES), rtol=1e-5, atol=1e-6)

    def test_velocity_sees_windows_in_constant_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[Tensor, Tensor]] = []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            seen.append((x, t))
            return x

        monkeypatch.setattr(windows, "POSITIONS_AT_ONCE", 4 * 40 + 39)
        x_t = random_latents((3, 6, 8))
        windowed(velocity, SMALL)(x_t, TIMES)
        assert [tuple(x.shape) for x, _ in seen] == [(8, 3, 2, 4, 5)] * 2
        places = [place for place, _ in SMALL.blends((3, 6, 8))]
        assert torch.equal(torch.cat([x for x, _ in seen]), torch.cat([x_t[place] for place in places]))
        assert all(torch.equal(t, TIMES.repeat(4)) for _, t in seen)

    def test_a_window_larger_than_a_batch_is_evaluated_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            sizes.append(len(x))
            return x

        monkeypatch.setattr(windows, "POSITIONS_AT_ONCE", 39)
        windowed(velocity, SMALL)(random_latents((2, 6, 5), batch=1), TIMES[:1])
        assert sizes == [1, 1]

    @pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 4, 5), (1, 4, 3)])
    def test_what_one_window_holds_is_evaluated_plainly(self, lengths: tuple[int, int, int]) -> None:
        x_t = random_latents(lengths)
        given: list[Tensor] = []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            given.append(x)
            return x.exp()

        assert torch.equal(windowed(velocity, SMALL)(x_t, TIMES), x_t.exp())
        assert given[0] is x_t

    def test_blend_of_what_windows_say(self) -> None:
        """A velocity that says one number a window: the blend runs from one to the next over the overlap."""
        numbers = iter([1.0, 2.0])

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return torch.stack([torch.full_like(part, next(numbers)) for part in x])

        u = windowed(velocity, Windows(1, 1, 8, overlap_space=0))(torch.zeros(1, 1, 1, 1, 16), TIMES[:1])
        assert u.flatten().tolist() == [1.0] * 8 + [2.0] * 8
        numbers = iter([1.0, 2.0])
        u = windowed(velocity, Windows(1, 8, 8, overlap_space=2))(torch.zeros(1, 1, 1, 1, 14), TIMES[:1])
        assert u.flatten().tolist() == [1.0] * 6 + [1.25, 1.75] + [2.0] * 6

    def test_batch_does_not_change_values_beyond_rounding(
        self, tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x_t, found = random_latents((2, 9, 11), channels=16), []
        for positions in (1, 256, 4096):
            monkeypatch.setattr(windows, "POSITIONS_AT_ONCE", positions)
            found.append(windowed(tiny_nano.velocity("red"), Nano.window)(x_t, TIMES))
        torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[2], found[0], rtol=1e-5, atol=1e-5)

    def test_guidance_within_and_around_windows_is_the_same(self, tiny_nano: Nano) -> None:
        red, free = tiny_nano.velocity("red"), tiny_nano.velocity("")
        x_t = random_latents((1, 9, 8), channels=16)
        within = windowed(guide(red, free, 3.0), Nano.window)(x_t, TIMES)
        around = guide(windowed(red, Nano.window), windowed(free, Nano.window), 3.0)(x_t, TIMES)
        torch.testing.assert_close(within, around, rtol=1e-5, atol=1e-5)

    def test_nano_is_told_where_a_token_lies_in_its_window(self, tiny_nano: Nano) -> None:
        """Equal latents, so windows at all places are moved alike, and not as the whole is."""
        x_t, velocity = torch.ones(1, 16, 1, 8, 16), tiny_nano.velocity("")
        blended = windowed(velocity, Windows(1, 8, 8))(x_t, TIMES[:1])
        torch.testing.assert_close(blended[..., 8:], blended[..., :8], rtol=1e-5, atol=1e-6)
        assert float((blended - velocity(x_t, TIMES[:1])).abs().max()) > 1e-3

    def test_gradients_reach_latents_and_parameters(self) -> None:
        x_t = random_latents((3, 6, 8), batch=1).double().requires_grad_()
        factor = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        target = torch.linspace(0, 1, x_t.numel()).view_as(x_t)

        def loss(velocity: Velocity) -> Tensor:
            return ((velocity(x_t, TIMES[:1]) - target) ** 2).sum()

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return factor * torch.sin(x)

        plain = torch.autograd.grad(loss(velocity), (x_t, factor))
        blended = torch.autograd.grad(loss(windowed(velocity, SMALL)), (x_t, factor))
        torch.testing.assert_close(blended, plain, rtol=1e-4, atol=1e-5)  # weights are float32


class TestModels:
    @pytest.mark.parametrize("family", [*HUB, Nano], ids=lambda family: family.name)
    def test_a_models_own_window_is_its_default_size(self, family: type[HubModel | Nano], tiny_nano: Nano) -> None:
        base = tiny_nano if issubclass(family, Nano) else family.untrained()
        assert base.window is not None
        _, *lengths = base.latent_shape(base.default_size)
        assert (base.window.frames, base.window.rows, base.window.columns) == tuple(lengths)
        assert base.window.count(lengths) == 1
        base.check_windows(base.window)

    def test_windows_that_cut_tokens_are_refused(self) -> None:
        base = Wan13B.untrained()
        for values in ((1, 7, 8, 0, 2), (1, 8, 7, 0, 2), (1, 8, 8, 0, 1)):
            with pytest.raises(
                BaseModelError,
                match=r"do not suit base model wan2.1-t2v-1.3b: rows and overlap must be multiples of 2, columns and "
                r"overlap of 2; its own are 21 x 60 x 104 with overlap 16",
            ):
                base.check_windows(Windows(*values))

    @pytest.mark.parametrize("family", HUB, ids=lambda family: family.name)
    def test_models_of_the_hub_take_windows(self, family: type[HubModel]) -> None:
        base = family.untrained()
        frames = 1 if base.max_frames == 1 else 1 + 2 * base.temporal_factor
        shape = base.latent_shape(ClipSize(frames, 3 * base.size_multiple[0], 4 * base.size_multiple[1]))
        step = shape[2] // 3
        some = Windows(1, 2 * step, 2 * step, overlap_space=step)
        base.check_windows(some)
        x_t = random_latents(shape[1:], channels=shape[0])
        u = windowed(base.velocity("a red ball"), some)(x_t, TIMES)
        assert u.shape == x_t.shape
        assert u.dtype == torch.float32
        corner = base.velocity("a red ball")(x_t[:, :, :1, : 2 * step, : 2 * step].contiguous(), TIMES)
        torch.testing.assert_close(u[:, :, 0, 0, 0], corner[:, :, 0, 0, 0], rtol=1e-4, atol=1e-4)
