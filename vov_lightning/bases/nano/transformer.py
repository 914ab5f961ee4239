"""Wan's transformer in miniature, without diffusers: importing that library takes longer than a decode.

The same arithmetic, parameter names and random start as `diffusers.WanTransformer3DModel` with patches of one latent
position (Wan Team 2025, https://arxiv.org/abs/2503.20314, section 4.2); a test holds it to that model bit for bit.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_CHANNELS = 64
MOST_POSITIONS = 1024
"""Latent positions along an axis that the rotary embedding counts."""
EPSILON = 1e-6
"""Added to variances before a division."""

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines ``[1, N, 1, HEAD_CHANNELS]`` of the angles by which channel pairs of ``N`` tokens are turned."""


class Norm(nn.LayerNorm):
    """Layer norm in float32, whatever the dtype around it."""

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class RotaryEmbedding(nn.Module):
    """Angles of the rotary embedding: a third of the channels turns along time, rows and columns each."""

    freqs_cos: Tensor
    freqs_sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        space = 2 * (HEAD_CHANNELS // 6)
        self.split = [HEAD_CHANNELS - 2 * space, space, space]
        exponents = [torch.arange(0, size, 2, dtype=torch.float64) / size for size in self.split]
        angles = [torch.outer(torch.arange(MOST_POSITIONS), 1 / 10000.0**each) for each in exponents]
        for name, waves in (("freqs_cos", torch.cos), ("freqs_sin", torch.sin)):
            table = torch.cat([waves(each).repeat_interleave(2, dim=1).float() for each in angles], dim=1)
            self.register_buffer(name, table, persistent=False)

    def forward(self, frames: int, rows: int, columns: int) -> Rotation:
        def spread(table: Tensor) -> Tensor:
            t, h, w = table.split(self.split, dim=1)
            size = frames, rows, columns, -1
            axes = [
                t[:frames].view(frames, 1, 1, -1).expand(size),
                h[:rows].view(1, rows, 1, -1).expand(size),
                w[:columns].view(1, 1, columns, -1).expand(size),
            ]
            return torch.cat(axes, dim=-1).reshape(1, frames * rows * columns, 1, -1)

        return spread(self.freqs_cos), spread(self.freqs_sin)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """``x`` [B, N, heads, channels] with each pair of channels turned by its angle."""
    cos, sin = rotation[0][..., 0::2], rotation[1][..., 1::2]
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.empty_like(x)
    turned[..., 0::2] = first * cos - second * sin
    turned[..., 1::2] = first * sin + second * cos
    return turned.type_as(x)


class Attention(nn.Module):
    """Attention of tokens to each other (with a rotation), or to the caption's words."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Dropout(0.0)])
        self.norm_q, self.norm_k = (nn.RMSNorm(width, eps=EPSILON) for _ in range(2))

    def forward(self, x: Tensor, words: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        seen = x if words is None else words
        query, key, value = self.norm_q(self.to_q(x)), self.norm_k(self.to_k(seen)), self.to_v(seen)
        query, key, value = (each.unflatten(2, (self.heads, -1)) for each in (query, key, value))
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        query, key, value = (each.permute(0, 2, 1, 3) for each in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value).permute(0, 2, 1, 3)
        return self.to_out[0](mixed.flatten(2, 3).type_as(query))


class ProjectedGelu(nn.Module):
    """A linear layer ``proj`` and GELU by its tanh formula."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two linear layers, ``net.0.proj`` and ``net.2``."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(ProjectedGelu(width, inner), nn.Dropout(0.0), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Block(nn.Module):
    """Attention, attention to the caption, feed-forward; shifted, scaled and gated by the time."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm1 = Norm(width, EPSILON, elementwise_affine=False)
        self.attn1 = Attention(width, heads)
        self.attn2 = Attention(width, heads)
        self.norm2 = Norm(width, EPSILON)
        self.ffn = FeedForward(width, inner)
        self.norm3 = Norm(width, EPSILON, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, width) / width**0.5)

    def forward(self, x: Tensor, words: Tensor, time: Tensor, rotation: Rotation) -> Tensor:
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.scale_shift_table + time.float()).chunk(6, dim=1)
        normed = (self.norm1(x.float()) * (1 + scale) + shift).type_as(x)
        x = (x.float() + self.attn1(normed, rotation=rotation) * gate).type_as(x)
        x = x + self.attn2(self.norm2(x.float()).type_as(x), words)
        normed = (self.norm3(x.float()) * (1 + ffn_scale) + ffn_shift).type_as(x)
        return (x.float() + self.ffn(normed).float() * ffn_gate).type_as(x)


class Mlp(nn.Module):
    """``linear_1``, an activation, ``linear_2``."""

    def __init__(self, given: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(given, width)
        self.activation = activation
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(self.activation(self.linear_1(x)))


class ConditionEmbedder(nn.Module):
    """Time and caption as the blocks take them."""

    def __init__(self, width: int, waves: int, text_dim: int) -> None:
        super().__init__()
        self.waves = waves
        self.time_embedder = Mlp(waves, width, nn.SiLU())
        self.time_proj = nn.Linear(width, 6 * width)
        self.text_embedder = Mlp(text_dim, width, nn.GELU(approximate="tanh"))

    def forward(self, times: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [B, width] and [B, 6, width] of ``times`` [B] in [0, 1000], and [B, n, width] of ``words``."""
        waves = time_waves(times, self.waves).to(self.time_embedder.linear_1.weight.dtype)
        embedded = self.time_embedder(waves).type_as(words)
        return embedded, self.time_proj(F.silu(embedded)).unflatten(1, (6, -1)), self.text_embedder(words)


def time_waves(times: Tensor, count: int) -> Tensor:
    """Cosines and sines ``[B, count]`` of ``times`` [B], with periods from 2 pi to 20000 pi."""
    half = count // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=times.device) / half
    angles = times[:, None].float() * torch.exp(exponent)[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class WanTransformer(nn.Module):
    """Velocity of latents under a caption.

    Args:
        in_channels: Channels of the latents and of whatever is stacked on them.
        out_channels: Channels of the velocity.
        text_dim: Width of a caption word's embedding.
        heads: Attention heads of `HEAD_CHANNELS` channels.
        ffn_dim: Inner width of the feed-forward layers.
        layers: Blocks.
    """

    def __init__(
        self, in_channels: int, out_channels: int, text_dim: int, heads: int, ffn_dim: int, layers: int
    ) -> None:
        super().__init__()
        width = heads * HEAD_CHANNELS
        self.sizes = (in_channels, out_channels, text_dim, heads, ffn_dim, layers)
        self.rope = RotaryEmbedding()
        self.patch_embedding = nn.Conv3d(in_channels, width, kernel_size=1)
        self.condition_embedder = ConditionEmbedder(width, HEAD_CHANNELS, text_dim)
        self.blocks = nn.ModuleList([Block(width, ffn_dim, heads) for _ in range(layers)])
        self.norm_out = Norm(width, EPSILON, elementwise_affine=False)
        self.proj_out = nn.Linear(width, out_channels)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, width) / width**0.5)

    def forward(self, x: Tensor, times: Tensor, words: Tensor) -> Tensor:
        """Velocity [B, out, T, h, w] of ``x`` [B, in, T, h, w] at ``times`` [B] in [0, 1000] under ``words``."""
        size = x.shape[2:]
        tokens = self.patch_embedding(x).flatten(2).transpose(1, 2).contiguous()  # [B, T h w, width]
        time, block_time, words = self.condition_embedder(times, words)
        rotation = self.rope(*size)
        for block in self.blocks:
            tokens = block(tokens, words, block_time, rotation)
        shift, scale = (self.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
        tokens = self.proj_out((self.norm_out(tokens.float()) * (1 + scale) + shift).type_as(tokens))
        return tokens.unflatten(1, size).movedim(-1, 1)

    def as_diffusers(self) -> nn.Module:
        """The same network as diffusers' own class, for what writes files that diffusers loads; weights are shared."""
        from diffusers import WanTransformer3DModel  # takes seconds

        in_channels, out_channels, text_dim, heads, ffn_dim, layers = self.sizes
        with torch.device("meta"):
            model: Any = WanTransformer3DModel(
                patch_size=(1, 1, 1),
                num_attention_heads=heads,
                attention_head_dim=HEAD_CHANNELS,
                in_channels=in_channels,
                out_channels=out_channels,
                text_dim=text_dim,
                freq_dim=HEAD_CHANNELS,
                ffn_dim=ffn_dim,
                num_layers=layers,
            )
        model.load_state_dict(self.state_dict(), assign=True)
        model.rope.freqs_cos, model.rope.freqs_sin = self.rope.freqs_cos, self.rope.freqs_sin
        return model.eval().requires_grad_(False)
