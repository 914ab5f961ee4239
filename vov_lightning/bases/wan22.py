"""Wan2.2-TI2V-5B (Wan team 2025): 32 x 32 x 4 pixels a token, a quarter of Wan2.1's tokens at the same size.

Its autoencoder reduces 16 x 16 x 4, and its transformer takes a time for each
token: latent frames at t = 0 are a known beginning.

Sizes are those of the authors' ``wan/configs/wan_ti2v_5B.py``, and of the
autoencoder in diffusers' conversion of it (``scripts/convert_wan_to_diffusers.py``).
"""

from typing import ClassVar

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import Sizes
from vov_lightning.bases.wan import Wan
from vov_lightning.bases.windows import Windows

AUTOENCODER = {"is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}


class Wan22TI2V5B(Wan):
    """Wan2.2-TI2V-5B, from text or after a known first frame."""

    name = "wan2.2-ti2v-5b"
    repository = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    pinned_revision = "b8fff7315c768468a5333511427288870b2e9635"
    size_multiple = (32, 32)
    # `context` stays 0: it was trained after the latent of a single image.
    # Whether the last latent of a block, which is four frames, serves as well is not measured.
    per_frame_times = True
    default_size = ClipSize(frames=121, height=704, width=1280)
    # The latents of the default size, with a quarter of overlap: whole tokens, which are 2 x 2 latents.
    window = Windows(frames=31, rows=44, columns=80, overlap_frames=8, overlap_space=12)

    sizes: ClassVar[Sizes] = {
        "transformer": {
            "in_channels": 48,
            "out_channels": 48,
            "num_attention_heads": 24,
            "ffn_dim": 14336,
            "num_layers": 30,
        },
        "vae": {
            **AUTOENCODER,
            "base_dim": 160,
            "decoder_base_dim": 256,
            "z_dim": 48,
            "latents_mean": (0.0,) * 48,  # the published statistics come with the weights
            "latents_std": (1.0,) * 48,
        },
    }
    tiny_sizes: ClassVar[Sizes] = {
        "transformer": {**Wan.tiny_sizes["transformer"], "in_channels": 8, "out_channels": 8},
        "vae": {
            **AUTOENCODER,
            "base_dim": 4,
            "decoder_base_dim": 8,
            "num_res_blocks": 1,
            "z_dim": 8,
            "latents_mean": tuple(0.1 * channel for channel in range(-4, 4)),
            "latents_std": tuple(0.5 + 0.1 * channel for channel in range(8)),
        },
    }
