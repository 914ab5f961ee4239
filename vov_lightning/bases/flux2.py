"""FLUX.2-klein-4B (Black Forest Labs 2026): single frames. The many-step base, and its sibling distilled to 4 steps.

Sizes are those of diffusers' own conversion of the published weights
(``scripts/convert_flux2_to_diffusers.py``, ``klein-4b``).
"""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bases.hub import Sizes
from vov_lightning.bases.hub_files import CHAT_ENDINGS
from vov_lightning.bases.pictures import PictureModel
from vov_lightning.bases.windows import Windows

PATCH = 2
"""Autoencoder's latents a side of a token. Latents here are tokens: they are normalised as such."""


class Flux2KleinBase4B(PictureModel):
    """FLUX.2-klein-base-4B: blocks of two streams, then of one, whose attention and MLP share their layers."""

    name = "flux2-klein-base-4b"
    blocks_path = ("transformer_blocks", "single_transformer_blocks")
    target_kinds = (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.to_qkv_mlp_proj", "attn.to_out"),  # of one stream
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("ff.linear_in", "ff.linear_out", "ff_context.linear_in", "ff_context.linear_out"),
    )
    default_targets = target_kinds[:6]
    # The latents of the default size, with a quarter of overlap.
    window = Windows(frames=1, rows=32, columns=48, overlap_space=8)

    repository = "black-forest-labs/FLUX.2-klein-base-4B"
    pinned_revision = "main"
    pipeline_name = "Flux2KleinPipeline"
    text_encoder_name = "Qwen3ForCausalLM"
    endings = CHAT_ENDINGS
    transformer_class = Flux2Transformer2DModel
    vae_class = AutoencoderKLFlux2
    sizes: ClassVar[Sizes] = {
        "transformer": {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
            "guidance_embeds": False,
        },
        "vae": {},
    }
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 16,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 24,
            "axes_dims_rope": (4, 4, 4, 4),
            "guidance_embeds": False,
        },
        "vae": {"latent_channels": 4, "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
    }
    max_caption_tokens = 500  # the pipeline's 512, less twelve of its template
    typical_caption_tokens = 512  # padding is text to this model
    embedding_width = "joint_attention_dim"

    @property
    def latent_channels(self) -> int:
        return PATCH**2 * super().latent_channels

    @property
    def spatial_factor(self) -> int:
        return PATCH * super().spatial_factor

    def _statistics(self) -> tuple[Tensor, Tensor]:
        norm = self.vae.bn
        mean, std = norm.running_mean, (norm.running_var + self.vae.config.batch_norm_eps).sqrt()
        return mean.to(self.device).view(1, -1, 1, 1, 1), std.to(self.device).view(1, -1, 1, 1, 1)

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        return F.pixel_unshuffle(super()._encode_pixels(pixels)[:, :, 0], PATCH).unsqueeze(2)

    def _decode_pixels(self, latents: Tensor) -> Tensor:
        return super()._decode_pixels(F.pixel_shuffle(latents[:, :, 0], PATCH).unsqueeze(2))

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, _ = pipeline.encode_prompt(caption, self._text_device)
        return {"states": states}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        batch, _, _, height, width = x_t.shape
        states = condition["states"].expand(batch, -1, -1)
        u = self.transformer(
            hidden_states=x_t.flatten(2).transpose(1, 2).to(self.dtype),  # [B, h w, C]
            encoder_hidden_states=states,
            timestep=t,
            img_ids=positions(1, height, width, 1, device=self.device),
            txt_ids=positions(1, 1, 1, states.shape[1], device=self.device),
            return_dict=False,
        )[0]
        return u.transpose(1, 2).unflatten(2, (1, height, width)).float()


class Flux2Klein4B(Flux2KleinBase4B):
    """FLUX.2-klein-4B: the same layers, distilled to 4 steps without guidance."""

    name = "flux2-klein-4b"
    repository = "black-forest-labs/FLUX.2-klein-4B"


def positions(*lengths: int, device: torch.device) -> Tensor:
    """Where tokens are along time, height, width and text ``[N, 4]``, the last fastest."""
    return torch.cartesian_prod(*(torch.arange(length, device=device) for length in lengths))
