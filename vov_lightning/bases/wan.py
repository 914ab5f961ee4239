"""Wan2.1 text-to-video, 1.3B (the paper's video model) and 14B (Wan team 2025)."""

from typing import Any, ClassVar, cast

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import HubModel, Sizes
from vov_lightning.bases.windows import Windows

NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，"
    "残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，"
    "三条腿，背景人很多，倒着走"
)
"""Of the authors' own scripts (Wan2.1, ``wan/configs/shared_config.py``)."""
MAX_POSITIONS = 1024
"""Tokens along an axis that the transformer's rotary embedding counts."""


class Wan(HubModel):
    """What the Wan2.1 models share."""

    temporal_factor = 4
    size_multiple = (16, 16)
    max_frames = 1 + (MAX_POSITIONS - 1) * 4
    max_positions = MAX_POSITIONS
    negative_prompt = NEGATIVE_PROMPT
    target_kinds = tuple(
        [f"attn{number}.{kind}" for number in (1, 2) for kind in ("to_q", "to_k", "to_v", "to_out.0")]
        + ["ffn.net.0.proj", "ffn.net.2"]
    )
    native_kinds: ClassVar[dict[str, str]] = {
        **{
            f"attn{number}.{kind}": f"{attention}.{native}"
            for number, attention in ((1, "self_attn"), (2, "cross_attn"))
            for kind, native in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"))
        },
        "ffn.net.0.proj": "ffn.0",
        "ffn.net.2": "ffn.2",
    }
    default_targets = target_kinds[:8]  # self- and cross-attention, as in the paper
    default_size = ClipSize(frames=81, height=480, width=832)
    # The latents of the default size, with a quarter of overlap: whole tokens, which are 2 x 2 latents.
    window = Windows(frames=21, rows=60, columns=104, overlap_frames=5, overlap_space=16)

    pipeline_name = "WanPipeline"
    text_encoder_name = "UMT5EncoderModel"
    transformer_class = WanTransformer3DModel
    vae_class = AutoencoderKLWan
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "text_dim": 16,
            "freq_dim": 16,
            "ffn_dim": 32,
            "num_layers": 2,
        },
        "vae": {"base_dim": 4, "num_res_blocks": 1},
    }
    max_caption_tokens = typical_caption_tokens = 512
    embedding_width = "text_dim"
    shares_tokens = True

    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        states, _ = pipeline.encode_prompt(
            caption,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_caption_tokens,
            device=self._text_device,
        )
        return {"states": states}

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        states = condition["states"].expand(len(x_t), -1, -1)
        if t.ndim > 1:  # [B, T'] -> [B, tokens]: diffusers' `expand_timesteps`, as Wan2.2-TI2V-5B was trained
            _, rows, columns = cast(Any, self.transformer).config.patch_size
            t = t.repeat_interleave((x_t.shape[3] // rows) * (x_t.shape[4] // columns), dim=1)
        return self.transformer(x_t.to(self.dtype), 1000 * t, states, return_dict=False)[0].float()


class Wan13B(Wan):
    """Wan2.1-T2V-1.3B."""

    name = "wan2.1-t2v-1.3b"
    repository = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    pinned_revision = "0fad780a534b6463e45facd96134c9f345acfa5b"
    sizes: ClassVar[Sizes] = {
        "transformer": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        "vae": {},
    }


class Wan14B(Wan):
    """Wan2.1-T2V-14B."""

    name = "wan2.1-t2v-14b"
    repository = "Wan-AI/Wan2.1-T2V-14B-Diffusers"
    pinned_revision = "38ec498cb3208fb688890f8cc7e94ede2cbd7f68"
    sizes: ClassVar[Sizes] = {"transformer": {}, "vae": {}}
