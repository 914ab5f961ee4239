"""LTX-Video (HaCohen et al. 2024): 32 x 32 x 8 pixels a token, so eight times fewer tokens than Wan."""

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from torch import Tensor

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import HubModel, Sizes
from vov_lightning.bases.windows import Windows

FRAMES_PER_SECOND = 25
"""Of the rotary embedding; the model knows the frame rate only through it."""


class LTXVideo(HubModel):
    """LTX-Video 2B, as its repository's diffusers folders hold it."""

    name = "ltx-video"
    temporal_factor = 8
    size_multiple = (32, 32)
    negative_prompt = "worst quality, inconsistent motion, blurry, jittery, distorted"  # of the authors' own script
    blocks_path = "transformer_blocks"
    target_kinds = tuple(
        [f"attn{number}.{kind}" for number in (1, 2) for kind in ("to_q", "to_k", "to_v", "to_out.0")]
        + ["ff.net.0.proj", "ff.net.2"]
    )
    native_kinds: ClassVar[dict[str, str]] = {kind: kind for kind in target_kinds}
    native_alpha = False  # diffusers' converter refuses it
    default_targets = target_kinds[:8]
    default_size = ClipSize(frames=81, height=480, width=832)
    # The latents of the default size, with a quarter of overlap.
    window = Windows(frames=11, rows=15, columns=26, overlap_frames=3, overlap_space=4)

    repository = "Lightricks/LTX-Video"
    pinned_revision = "8984fa25007f376c1a299016d0957a37a2f797bb"
    pipeline_name = "LTXPipeline"
    text_encoder_name = "T5EncoderModel"
    transformer_class = LTXVideoTransformer3DModel
    vae_class = AutoencoderKLLTXVideo
    sizes: ClassVar[Sizes] = {"transformer": {}, "vae": {}}
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 8,
            "out_channels": 8,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "cross_attention_dim": 32,
            "num_layers": 2,
            "caption_channels": 16,
        },
        "vae": {
            "latent_channels": 8,
            "block_out_channels": (8, 8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8, 8),
            "layers_per_block": (1, 1, 1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1, 1, 1),
        },
    }
    max_caption_tokens = typical_caption_tokens = 128
    embedding_width = "caption_channels"

    def _decode_pixels(self, latents: Tensor) -> Tensor:
        # Later versions denoise a little while decoding; at time 0 and without noise that is deterministic.
        time = torch.zeros(1, device=latents.device) if self.vae.config.timestep_conditioning else None
        return self.vae.decode(latents, time, return_dict=False)[0]

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, mask, _, _ = pipeline.encode_prompt(
            caption,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_caption_tokens,
            device=self._text_device,
        )
        return {"states": states, "mask": mask}

    def embedding_shapes(self) -> dict[str, tuple[int, ...]]:
        return {**super().embedding_shapes(), "mask": (1, self.typical_caption_tokens)}

    def _attention_inputs(self) -> tuple[Tensor, Tensor | None]:
        query, _ = super()._attention_inputs()
        return query, torch.zeros(1, 1, 1, query.shape[1], device=query.device, dtype=query.dtype)

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        batch, _, frames, height, width = x_t.shape
        u = self.transformer(
            hidden_states=x_t.flatten(2).transpose(1, 2).to(self.dtype),  # [B, T' h w, C]
            encoder_hidden_states=condition["states"].expand(batch, -1, -1),
            timestep=1000 * t,
            encoder_attention_mask=condition["mask"].expand(batch, -1),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(
                self.temporal_factor / FRAMES_PER_SECOND,
                self.spatial_factor,
                self.spatial_factor,
            ),
            return_dict=False,
        )[0]
        return u.transpose(1, 2).unflatten(2, (frames, height, width)).float()
