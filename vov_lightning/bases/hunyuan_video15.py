"""HunyuanVideo-1.5 (Tencent 2025), text to video at 480p: 16 x 16 x 4 pixels a token, 8 B parameters.

Diffusers sorts the tokens of a batch by its masks and hides the invalid ones by
a mask of all tokens squared. Here a batch has one caption, so the invalid
tokens (padding, and the picture that text to video does not have) are left out:
the same velocity, by attention without a mask, at shapes that do not depend on
values. The autoencoder's mask of that size is left out too: each frame attends to
itself and those before it.

Sizes are the classes' defaults: those of diffusers' own conversion of the
published weights (its ``scripts/convert_hunyuan_video1_5_to_diffusers.py``, ``480p_t2v``).
"""

from typing import Any, ClassVar, cast

import torch
from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Transformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn
from torch.nn import functional as F

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import HubModel, Sizes
from vov_lightning.bases.hub_files import CHAT_ENDINGS
from vov_lightning.bases.windows import Windows

CAPTION, GLYPHS = 0, 1
"""Kinds of text token that the transformer tells apart: the caption's, and those of what is to be written in it."""


class HunyuanVideo15(HubModel):
    """HunyuanVideo-1.5, 480p text to video."""

    name = "hunyuan-video-1.5"
    temporal_factor = 4
    size_multiple = (16, 16)
    blocks_path = "transformer_blocks"
    target_kinds = (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    )
    default_targets = target_kinds[:4]
    default_size = ClipSize(frames=121, height=480, width=848)
    # The latents of the default size, with a quarter of overlap; a token is one latent.
    window = Windows(frames=31, rows=30, columns=53, overlap_frames=8, overlap_space=8)

    repository = "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v"
    pinned_revision = "main"
    pipeline_name = "HunyuanVideo15Pipeline"
    text_encoder_name = "Qwen2_5_VLTextModel"
    more_text_encoders: ClassVar[dict[str, str]] = {"text_encoder_2": "T5EncoderModel"}
    endings = CHAT_ENDINGS
    transformer_class = HunyuanVideo15Transformer3DModel
    vae_class = AutoencoderKLHunyuanVideo15
    sizes: ClassVar[Sizes] = {"transformer": {}, "vae": {}}
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 9,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 10,
            "num_layers": 2,
            "num_refiner_layers": 1,
            "mlp_ratio": 2.0,
            "text_embed_dim": 16,
            "text_embed_2_dim": 8,
            "image_embed_dim": 8,
            "rope_axes_dim": (2, 4, 4),
        },
        "vae": {"latent_channels": 4, "block_out_channels": (8, 8, 8, 8, 8), "layers_per_block": 1},
    }
    max_caption_tokens = 995  # the pipeline's 1000, less five with which its template ends
    typical_caption_tokens = 100
    embedding_width = "text_embed_dim"

    def _build(self, transformer: Any, vae: Any) -> None:
        super()._build(transformer, vae)
        for block in transformer.transformer_blocks:
            block.attn.set_processor(UnmaskedAttention())
        for part in (vae.encoder, vae.decoder):
            part.mid_block.attentions = nn.ModuleList(map(FrameCausalAttention, part.mid_block.attentions))

    def _other_parts(self) -> dict[str, Any]:
        return {**super()._other_parts(), "vae": self.vae, "guider": None}  # it asks the autoencoder for its channels

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, mask, glyphs, glyph_mask = pipeline.encode_prompt(caption, device=self._text_device)
        return {"states": states[:, mask[0].bool()], "glyphs": glyphs[:, glyph_mask[0].bool()]}

    def embedding_shapes(self) -> dict[str, tuple[int, ...]]:
        return {**super().embedding_shapes(), "glyphs": (1, 0, self._transformer.config.text_embed_2_dim)}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        network, batch = self._transformer, len(x_t)
        # After the latents come those of a given picture, and where it is: of text to video both are 0.
        latents = torch.cat([x_t, torch.zeros_like(x_t), torch.zeros_like(x_t[:, :1])], dim=1).to(self.dtype)
        states, glyphs = (condition[name].expand(batch, -1, -1) for name in ("states", "glyphs"))
        # The projection in float32: diffusers' own call would round the time to the weights' type first.
        projected, embedder = network.time_embed.time_proj(1000 * t), network.time_embed.timestep_embedder
        time, rotary = embedder(projected.to(self.dtype)), network.rope(latents)
        words = network.context_embedder(states, 1000 * t) + network.cond_type_embed.weight[CAPTION]
        signs = network.context_embedder_2(glyphs) + network.cond_type_embed.weight[GLYPHS]
        text, tokens = torch.cat([signs, words], dim=1), network.x_embedder(latents)
        again = torch.is_grad_enabled() and network.gradient_checkpointing
        for block in network.transformer_blocks:
            inputs = (tokens, text, time, None, rotary)
            tokens, text = network._gradient_checkpointing_func(block, *inputs) if again else block(*inputs)
        u = network.proj_out(network.norm_out(tokens, time))  # [B, T' h w, C]: a token is one latent
        return u.transpose(1, 2).unflatten(2, x_t.shape[2:]).float()


class UnmaskedAttention:
    """Diffusers' joint attention of latents and text, where all tokens are valid."""

    _attention_backend: Any = None
    _parallel_config: Any = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None,
        image_rotary_emb: Any,  # cosines and sines; diffusers' type of the pair is wrong
    ) -> tuple[Tensor, ...]:
        query, key, value = self._project(
            attn.heads, hidden_states, (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k)
        )
        query, key = (
            cast(Tensor, apply_rotary_emb(states, image_rotary_emb, sequence_dim=1)) for states in (query, key)
        )
        text = self._project(
            attn.heads,
            encoder_hidden_states,
            (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj),
            (attn.norm_added_q, attn.norm_added_k),
        )
        query, key, value = (torch.cat(pair, dim=1) for pair in zip((query, key, value), text, strict=True))
        mixed = dispatch_attention_fn(
            query, key, value, backend=self._attention_backend, parallel_config=self._parallel_config
        )
        latents, words = mixed.flatten(2).split([hidden_states.shape[1], encoder_hidden_states.shape[1]], dim=1)
        return attn.to_out[0](latents), attn.to_add_out(words)

    @staticmethod
    def _project(
        heads: int, states: Tensor, layers: tuple[nn.Module, ...], norms: tuple[nn.Module, nn.Module]
    ) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (layer(states).unflatten(2, (heads, -1)) for layer in layers)
        return norms[0](query), norms[1](key), value


class FrameCausalAttention(nn.Module):
    """The autoencoder's attention, in which a frame sees itself and those before it, computed frame by frame.

    Args:
        block: Diffusers' block, whose layers are taken over under their names.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm, self.proj_out = block.norm, block.proj_out
        self.to_q, self.to_k, self.to_v = block.to_q, block.to_k, block.to_v

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        query, key, value = (
            layer(normed).flatten(2).mT.unsqueeze(1).contiguous() for layer in (self.to_q, self.to_k, self.to_v)
        )  # [B, 1, T h w, C]
        positions = x.shape[3] * x.shape[4]
        mixed = [
            F.scaled_dot_product_attention(frame, key[:, :, :seen], value[:, :, :seen])
            for seen, frame in zip(
                range(positions, query.shape[2] + 1, positions), query.split(positions, dim=2), strict=True
            )
        ]
        return x + self.proj_out(torch.cat(mixed, dim=2).squeeze(1).mT.unflatten(2, x.shape[2:]))
