"""Qwen-Image (the paper's image model; Qwen team 2025): single frames."""

from typing import Any, ClassVar

from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import Tensor

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import HubModel, Sizes
from vov_lightning.bases.windows import Windows

PATCH = 2
"""Latents a side of a token."""


class QwenImage(HubModel):
    """Qwen-Image: a transformer over text and image tokens together."""

    name = "qwen-image"
    temporal_factor = 1
    max_frames = 1
    size_multiple = (16, 16)
    blocks_path = "transformer_blocks"
    target_kinds = (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
    )
    default_targets = target_kinds[:4]
    default_size = ClipSize(frames=1, height=512, width=768)
    # The latents of the default size, with a quarter of overlap: whole tokens, which are 2 x 2 latents.
    window = Windows(frames=1, rows=64, columns=96, overlap_space=16)

    repository = "Qwen/Qwen-Image"
    pinned_revision = "75e0b4be04f60ec59a75f475837eced720f823b6"
    pipeline_name = "QwenImagePipeline"
    text_encoder_name = "Qwen2_5_VLForConditionalGeneration"
    transformer_class = QwenImageTransformer2DModel
    vae_class = AutoencoderKLQwenImage
    sizes: ClassVar[Sizes] = {"transformer": {}, "vae": {}}
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "num_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "axes_dims_rope": (8, 4, 4),
        },
        "vae": {"base_dim": 4, "num_res_blocks": 1},
    }
    max_caption_tokens = 1024
    typical_caption_tokens = 100
    embedding_width = "joint_attention_dim"
    shares_tokens = True

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, _ = pipeline.encode_prompt(caption, max_sequence_length=self.max_caption_tokens)
        return {"states": states}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        batch, _, _, height, width = x_t.shape
        shape = (1, height // PATCH, width // PATCH)
        u = self.transformer(
            hidden_states=pack(x_t[:, :, 0]).to(self.dtype),
            encoder_hidden_states=condition["states"].expand(batch, -1, -1),
            timestep=t.to(self.dtype),
            img_shapes=[[shape]] * batch,
            return_dict=False,
        )[0]
        return unpack(u, height, width).float().unsqueeze(2)


def pack(latents: Tensor) -> Tensor:
    """Tokens [B, h w / 4, 4 C] of latents [B, C, h, w]: patches of 2 x 2, channels first."""
    patches = latents.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))  # [B, C, h/2, 2, w/2, 2]
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`: latents [B, C, height, width]."""
    patches = tokens.unflatten(2, (-1, PATCH, PATCH)).unflatten(1, (height // PATCH, width // PATCH))
    return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
