"""HunyuanVideo (Tencent 2024) as a base model: two lists of blocks, two text encoders, a mask, distilled guidance."""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.hub import HubModel, Sizes

GUIDANCE = 6.0
"""What the pipeline tells the distilled model unless told otherwise."""


class HunyuanVideo(HubModel):
    """HunyuanVideo, 13 B."""

    name = "hunyuan-video"
    repository = "hunyuanvideo-community/HunyuanVideo"
    pinned_revision = "main"  # put the commit here: files name it, and other weights are refused
    temporal_factor = 4
    size_multiple = (16, 16)
    blocks_path = ("transformer_blocks", "single_transformer_blocks")
    target_kinds = (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),  # the last is in the first list only
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("proj_mlp", "proj_out"),  # in the second list only
    )
    default_targets = target_kinds[:4]
    default_size = ClipSize(frames=61, height=544, width=960)

    pipeline_name = "HunyuanVideoPipeline"
    text_encoder_name = "LlamaModel"
    more_text_encoders: ClassVar[dict[str, str]] = {"text_encoder_2": "CLIPTextModel"}
    transformer_class = HunyuanVideoTransformer3DModel
    vae_class = AutoencoderKLHunyuanVideo
    sizes: ClassVar[Sizes] = {"transformer": {}, "vae": {}}
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 10,
            "num_layers": 1,
            "num_single_layers": 1,
            "num_refiner_layers": 1,
            "text_embed_dim": 16,
            "pooled_projection_dim": 8,
            "rope_axes_dim": (2, 4, 4),
        },
        "vae": {
            "latent_channels": 4,
            "block_out_channels": (8, 8, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
    }
    max_caption_tokens = typical_caption_tokens = 256
    embedding_width = "text_embed_dim"

    def embedding_shapes(self) -> dict[str, tuple[int, ...]]:
        pooled = self._transformer.config.pooled_projection_dim
        return {**super().embedding_shapes(), "mask": (1, self.typical_caption_tokens), "pooled": (1, pooled)}

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, pooled, mask = pipeline.encode_prompt(
            caption, device=self._text_device, max_sequence_length=self.max_caption_tokens
        )
        return {"states": states, "pooled": pooled, "mask": mask.bool()}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        batch = len(x_t)
        return self.transformer(
            hidden_states=x_t.to(self.dtype),
            timestep=1000 * t,
            encoder_hidden_states=condition["states"].expand(batch, -1, -1),
            encoder_attention_mask=condition["mask"].expand(batch, -1),
            pooled_projections=condition["pooled"].expand(batch, -1),
            guidance=torch.full((batch,), 1000 * GUIDANCE, device=x_t.device, dtype=self.dtype),
            return_dict=False,
        )[0].float()
