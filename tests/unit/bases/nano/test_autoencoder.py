"""`nano`'s autoencoder: a lapped transform and its principal components."""

import pytest
import torch
from support import random_frames, random_tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.autoencoder import AutoencoderConfig, LappedAutoencoder, LappedTransform, to_blocks
from vov_lightning.bases.nano.model import Nano

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [ClipSize(1, 8, 8), ClipSize(1, 24, 16), ClipSize(5, 16, 24), ClipSize(9, 16, 8)]


class TestAutoencoder:
    @pytest.mark.parametrize("size", SIZES)
    def test_encode_and_decode_have_the_announced_shapes(self, tiny_nano: Nano, size: ClipSize) -> None:
        latents = tiny_nano.encode(random_frames(size))
        expected = (16, -(-size.frames // 9), size.height // 8, size.width // 8)
        assert tuple(latents.shape) == (1, *tiny_nano.latent_shape(size)) == (1, *expected)
        assert latents.dtype == torch.float32
        frames = tiny_nano.decode(latents, size.frames)
        assert frames.shape == (size.frames, 3, size.height, size.width)
        assert frames.dtype == torch.uint8

    def test_encode_is_deterministic(self, tiny_nano: Nano) -> None:
        frames = random_frames(ClipSize(5, 16, 24))
        assert torch.equal(tiny_nano.encode(frames), tiny_nano.encode(frames))

    def test_blocks_are_filled_up_with_the_last_frame(self, tiny_nano: Nano) -> None:
        frames = random_frames(ClipSize(5, 16, 16))
        filled = torch.cat([frames, frames[-1:].expand(4, -1, -1, -1)])
        assert torch.equal(tiny_nano.encode(frames), tiny_nano.encode(filled))

    @pytest.mark.parametrize(("frame", "block"), [(0, 0), (8, 0), (9, 1), (12, 1)])
    def test_a_frame_reaches_its_own_blocks_latents_only(self, tiny_nano: Nano, frame: int, block: int) -> None:
        frames = random_frames(ClipSize(13, 16, 16))
        latents = tiny_nano.encode(frames)
        frames[frame] = 255 - frames[frame]
        changed = (tiny_nano.encode(frames) != latents).amax(dim=(0, 1, 3, 4)).tolist()
        assert changed == [block == 0, block == 1]

    def test_a_latent_reaches_its_own_blocks_frames_only(self, tiny_nano: Nano) -> None:
        latents = random_tensor(1, 16, 2, 2, 2)
        before = tiny_nano.decode(latents, 18)
        latents[:, :, 1] *= -30
        changed = (tiny_nano.decode(latents, 18) != before).flatten(1).any(1).tolist()
        assert changed == [False] * 9 + [True] * 9

    @pytest.mark.slow
    def test_principal_components_reconstruct_what_they_span(self) -> None:
        # Clips that are combinations of five patterns need five of the 16 components.
        patterns = random_tensor(5, 3, 9, 8, 8, seed=1)
        weights = random_tensor(40, 5, 2, 2, seed=2)
        clips = torch.einsum("npij,pctyx->nctiyjx", weights, patterns).flatten(5, 6).flatten(3, 4) / 10
        clips = torch.cat([clips, -clips])
        autoencoder = LappedAutoencoder(AutoencoderConfig(z_channels=16, widths=(8, 8, 8)))
        autoencoder.transform.start_from_principal_components(to_blocks(clips).flatten(0, 1))
        autoencoder.set_scales(clips)
        latents = autoencoder.encode(clips)
        torch.testing.assert_close(autoencoder.decode(latents), clips, rtol=0, atol=1e-3)
        spread = autoencoder.spread.tolist()
        assert min(spread[:5]) > 0.1
        assert max(spread[5:]) < 0.01

    @pytest.mark.slow
    def test_components_serve_clips_alike_in_decibels(self) -> None:
        """Many faint clips of one pattern and two strong ones that another does not exhaust, for one component."""
        patterns = torch.nn.functional.normalize(random_tensor(3, 3 * 9 * 64, seed=1), dim=1).view(3, 3, 9, 8, 8)
        faint = 5 * patterns[:1].repeat(9, 1, 1, 1, 1)
        strong = 50 * patterns[1:2] + 30 * torch.cat([patterns[2:], -patterns[2:]])
        clips = torch.cat([faint, -faint, strong, -strong])
        blocks = to_blocks(clips).flatten(0, 1)

        def error(rounds: int) -> float:
            transform = LappedTransform(27, 1, 8)
            transform.start_from_principal_components(blocks, rounds)
            return (transform(blocks) - blocks)[:18].square().mean().item()

        assert error(rounds=4) < error(rounds=0) / 100

    def test_scales_give_latents_that_tell_what_errors_cost_in_pixels(self, tiny_nano: Nano) -> None:
        autoencoder = tiny_nano.autoencoder
        clips = torch.rand(40, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0)).cumsum(-1) / 16 - 1
        before = autoencoder.transform(to_blocks(clips).flatten(0, 1))
        autoencoder.set_scales(clips)
        torch.testing.assert_close(autoencoder.transform(to_blocks(clips).flatten(0, 1)), before)
        deviations = autoencoder.encode(clips).std((0, 2, 3, 4))
        torch.testing.assert_close(deviations, autoencoder.gain)
        assert deviations.square().mean().item() == pytest.approx(1)

        latents = torch.zeros(1, 16, 2, 5, 5)
        weights = tiny_nano.latent_weights(latents).expand(1, 16, 2, 1, 1)
        assert weights.mean().item() == pytest.approx(1)
        nothing = autoencoder.decode(latents)
        costs = []
        for channel, frame in ((0, 0), (5, 1), (15, 1)):
            changed = latents.clone()
            changed[0, channel, frame, 2, 2] = 0.1  # in the middle: edges cut basis pictures off
            cost = (autoencoder.decode(changed) - nothing).square().sum().item()
            costs.append(cost / weights[0, channel, frame].item())
        assert costs == pytest.approx([costs[0]] * 3, rel=1e-2)

    def test_decoding_maps_minus_one_to_black_and_one_to_white(
        self, tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = torch.tensor([-7.0, -1.0, 0.0, 0.5, 1.0, 7.0]).view(1, 1, 1, 1, 6).expand(1, 3, 9, 2, 6)
        monkeypatch.setattr(tiny_nano.autoencoder, "decode", lambda _: values)
        # (0 + 1) * 127.5 = 127.5 rounds to even
        assert tiny_nano.decode(torch.zeros(1, 16, 1, 1, 1), 1)[0, 0, 0].tolist() == [0, 0, 128, 191, 255, 255]

    def test_encoding_maps_black_to_minus_one_and_white_to_one(
        self, tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []

        def encode(clip: torch.Tensor) -> torch.Tensor:
            seen.append(clip)
            return torch.zeros(1, 16, 1, 1, 1)

        monkeypatch.setattr(tiny_nano.autoencoder, "encode", encode)
        frames = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
        frames[2, 1] = 255
        tiny_nano.encode(frames)
        expected = -torch.ones(1, 3, 5, 8, 8)
        expected[0, 1, 2] = 1
        assert torch.equal(seen[0], expected)
