"""v-prediction on a variance-preserving schedule as a velocity: closed forms, and CogVideoX against its pipeline."""

from typing import Any, ClassVar

import diffusers
import pytest
import torch
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.contract import check_contract
from vov_lightning.bases.hub import HubModel, Sizes
from vov_lightning.bases.vp import VariancePreserving
from vov_lightning.flow import interpolate
from vov_lightning.sampling.sampler import integrate

pytestmark = pytest.mark.usefixtures("one_thread")


def scheduler(**settings: Any) -> Any:
    return diffusers.CogVideoXDDIMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True, **settings
    )


class TinyCogVideoX(HubModel):
    """CogVideoX at a tiny configuration."""

    name = "tiny-cogvideox"
    temporal_factor = 4
    size_multiple = (16, 16)
    blocks_path = "transformer_blocks"
    target_kinds = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
    default_targets = target_kinds
    default_size = ClipSize(9, 16, 16)
    spatial_factor = 8
    transformer_class = diffusers.CogVideoXTransformer3DModel
    vae_class = diffusers.AutoencoderKLCogVideoX
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "in_channels": 4,
            "out_channels": 4,
            "time_embed_dim": 2,
            "text_embed_dim": 32,
            "num_layers": 2,
            "sample_width": 4,
            "sample_height": 4,
            "sample_frames": 9,
            "max_text_seq_length": 16,
        },
        "vae": {
            "block_out_channels": (8, 8, 8, 8),
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 2,
        },
    }
    max_caption_tokens = typical_caption_tokens = 16
    embedding_width = "text_embed_dim"
    schedule = VariancePreserving(scheduler().alphas_cumprod)

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        raise AssertionError("random weights have random embeddings, and no pipeline")

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        states = condition["states"].expand(len(x_t), -1, -1)

        def predict_v(z: Tensor, timesteps: Tensor) -> Tensor:
            return self.transformer(z.transpose(1, 2), states, timesteps, return_dict=False)[0].transpose(1, 2)

        return self.schedule.velocity(predict_v)(x_t, t)


@pytest.fixture
def base() -> HubModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyCogVideoX.untrained()


def test_cogvideox_samples_as_its_pipeline(base: HubModel) -> None:
    ddim, steps = scheduler(), 5
    pipeline: Any = diffusers.CogVideoXPipeline(
        tokenizer=None, text_encoder=None, vae=base.vae, transformer=base.transformer, scheduler=ddim
    )
    pipeline.set_progress_bar_config(disable=True)
    size = ClipSize(9, 32, 32)
    noise = torch.randn(1, *base.latent_shape(size), generator=torch.Generator().manual_seed(1))
    theirs = pipeline(
        prompt_embeds=base.embed("a red ball")["states"],
        latents=noise.transpose(1, 2),
        height=size.height,
        width=size.width,
        num_frames=size.frames,
        num_inference_steps=steps,
        guidance_scale=1.0,
        output_type="latent",
    ).frames.transpose(1, 2)
    times = [*TinyCogVideoX.schedule.times[ddim.timesteps].tolist(), 0.0]
    assert times[0] == pytest.approx(1)
    ours = integrate(base.velocity("a red ball"), noise, times)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert (ours - noise).abs().max() > 0.1


def test_cogvideox_keeps_the_contract(base: HubModel) -> None:
    assert [finding for finding in check_contract(base) if finding.problem] == []


@pytest.mark.parametrize("t", [0.05, 0.3, 0.8, 1.0])
def test_true_v_gives_true_velocity(t: float) -> None:
    x, eps = (torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    norm = ((1 - t) ** 2 + t**2) ** 0.5
    a, s = (1 - t) / norm, t / norm

    def predict_v(z: Tensor, _: Tensor) -> Tensor:
        torch.testing.assert_close(z, a * x + s * eps)
        return a * eps - s * x

    times = torch.full((3,), t)
    found = VariancePreserving(torch.tensor([0.99, 0.5, 0.0])).velocity(predict_v)(interpolate(x, eps, times), times)
    torch.testing.assert_close(found, eps - x)


def test_steps_of_the_schedule_come_back() -> None:
    schedule = VariancePreserving(scheduler().alphas_cumprod)
    steps = torch.arange(0, 1000, 37)
    torch.testing.assert_close(schedule.timesteps(schedule.times[steps].float()), steps.float(), rtol=1e-3, atol=0.02)
    assert schedule.timesteps(torch.tensor([0.0, 1.0])).tolist() == [0.0, 999.0]
