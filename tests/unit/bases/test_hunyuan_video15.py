"""HunyuanVideo-1.5's autoencoder without a mask of all tokens squared, against diffusers' own."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLHunyuanVideo15

from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15

pytestmark = pytest.mark.usefixtures("one_thread")


def diffusers_autoencoder(base: HubModel) -> Any:
    """Diffusers' autoencoder with the weights of ours."""
    theirs: Any = AutoencoderKLHunyuanVideo15(**HunyuanVideo15.tiny_sizes["vae"])
    theirs.load_state_dict(base.vae.state_dict())
    return theirs


def test_the_autoencoder_is_diffusers_own() -> None:
    torch.manual_seed(0)
    base = HunyuanVideo15.untrained()
    theirs = diffusers_autoencoder(base)
    pixels = torch.rand(1, 3, 9, 64, 96) * 2 - 1
    with torch.no_grad():
        latents = theirs.encode(pixels).latent_dist.mode()
        torch.testing.assert_close(base._encode_pixels(pixels), latents, rtol=1e-4, atol=1e-5)
        frames = theirs.decode(latents, return_dict=False)[0]
        torch.testing.assert_close(base._decode_pixels(latents), frames, rtol=1e-4, atol=1e-5)


def test_a_frame_sees_itself_and_those_before_it() -> None:
    torch.manual_seed(0)
    base = HunyuanVideo15.untrained()
    theirs = diffusers_autoencoder(base)
    x = torch.randn(1, 8, 3, 2, 5)
    ours, wanted = (vae.decoder.mid_block.attentions[0] for vae in (base.vae, theirs))
    torch.testing.assert_close(ours(x), wanted(x), rtol=1e-5, atol=1e-6)
    later = x.clone()
    later[:, :, 2] += torch.randn(1, 8, 2, 5)
    assert torch.equal(ours(later)[:, :, :2], ours(x)[:, :, :2])
    earlier = x.clone()
    earlier[:, :, 0] += torch.randn(1, 8, 2, 5)
    assert ((ours(earlier) - ours(x)).abs().amax((1, 3, 4)) > 1e-2).all()
