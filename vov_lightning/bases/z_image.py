"""Z-Image (Tongyi 2025), 6 B: single frames. The many-step model, and its sibling that was distilled to 8 steps.

The transformer's sizes are the defaults of diffusers' class, which was written for these weights.
"""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import Tensor

from vov_lightning.bases.hub import Sizes
from vov_lightning.bases.hub_files import CHAT_ENDINGS
from vov_lightning.bases.pictures import PictureModel
from vov_lightning.bases.windows import Windows

DOWN, UP = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
AUTOENCODER = {
    "down_block_types": DOWN,
    "up_block_types": UP,
    "latent_channels": 16,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""FLUX.1's."""


class ZImage(PictureModel):
    """Z-Image: one stream of image and text tokens. Its time is 1 for clean, and it says ``x - eps``."""

    name = "z-image"
    max_positions = 512
    blocks_path = "layers"
    target_kinds = (
        *("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"),
        *("feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
    )
    default_targets = target_kinds[:4]
    # The latents of the default size, with a quarter of overlap: whole tokens, which are 2 x 2 latents.
    window = Windows(frames=1, rows=64, columns=96, overlap_space=16)

    repository = "Tongyi-MAI/Z-Image"
    pinned_revision = "main"
    pipeline_name = "ZImagePipeline"
    text_encoder_name = "Qwen3Model"
    endings = CHAT_ENDINGS
    transformer_class = ZImageTransformer2DModel
    vae_class = AutoencoderKL
    sizes: ClassVar[Sizes] = {
        "transformer": {},
        "vae": {**AUTOENCODER, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    }
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 4,
            "dim": 32,
            "n_layers": 2,
            "n_refiner_layers": 1,
            "n_heads": 2,
            "n_kv_heads": 2,
            "cap_feat_dim": 16,
            "axes_dims": (8, 4, 4),
            "axes_lens": (1024, 32, 32),
        },
        "vae": {**AUTOENCODER, "latent_channels": 4, "block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4},
    }
    max_caption_tokens = 504  # the pipeline's 512, less eight of its template
    typical_caption_tokens = 100
    embedding_width = "cap_feat_dim"

    def _attention_shape(self) -> tuple[int, int]:
        return self._transformer.config.n_heads, self._transformer.config.dim // self._transformer.config.n_heads

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        (states,), _ = pipeline.encode_prompt(caption, self._text_device, do_classifier_free_guidance=False)
        return {"states": states[None]}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        pictures = list(x_t.to(self.dtype))  # each [C, 1, h, w]
        found = self.transformer(pictures, 1 - t, [condition["states"][0]] * len(x_t), return_dict=False)[0]
        return -torch.stack(found).float()


class ZImageTurbo(ZImage):
    """Z-Image-Turbo: the same layers, distilled to 8 steps without guidance."""

    name = "z-image-turbo"
    repository = "Tongyi-MAI/Z-Image-Turbo"
