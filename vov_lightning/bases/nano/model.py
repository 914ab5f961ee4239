"""`nano`: the bundled text-to-video model, a Wan in miniature that runs on a CPU.

Diffusers' own `WanTransformer3DModel` at a small configuration, over the
latents of `LappedAutoencoder` with their positions, conditioned on the closed
vocabulary of `vov_lightning.bases.nano.vocabulary`. Weights and cards lie in ``vov_lightning/assets``;
``tools/train_nano.py`` makes them.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vov_lightning.bases.base import BaseModel, ClipSize
from vov_lightning.bases.nano.autoencoder import BLOCK_FRAMES, AutoencoderConfig, LappedAutoencoder
from vov_lightning.bases.nano.coarse import sample
from vov_lightning.bases.nano.past import past_channels, past_planes
from vov_lightning.bases.nano.vocabulary import describe, parse
from vov_lightning.bases.windows import Windows
from vov_lightning.bitstream.vocabulary import ATTRIBUTES
from vov_lightning.errors import BaseModelError
from vov_lightning.vector.dictionary import Dictionary

POSITION_WAVES = 4
"""Cosines along each axis whose products tell the transformer where a token lies."""
MAX_POSITIONS = 1024
"""Latents along an axis that the transformer's rotary embedding counts."""
FOLDERS = ("nano", "nano2")
"""Folders of bundled weights, below ``vov_lightning/assets``; the first one is the default."""
DICTIONARY = "dictionary.safetensors"
"""File of learned directions beside the weights, of a revision that has them."""
AT_ONCE = 4
"""Blocks that go through the autoencoder together, which bounds its memory."""


@dataclass(frozen=True)
class NanoConfig:
    """Sizes of `nano`; ``config.json`` beside the weights holds one."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    layers: int = 8
    """Transformer blocks."""
    heads: int = 4
    """Attention heads, 64 channels each."""
    ffn_dim: int = 1024
    """Inner width of the feed-forward layers."""
    text_dim: int = 64
    """Width of a caption word's embedding."""
    context: int = 0
    """Latent frames before the present one that a token is told of (`vov_lightning.bases.nano.past`). With 0, all
    latent frames form one sequence; otherwise each is a sequence of its own."""


def bundled_revisions() -> dict[str, Path]:
    """Folder of each bundled revision, the default first."""
    folders = [Path(str(resources.files("vov_lightning"))) / "assets" / name for name in FOLDERS]
    configs = [folder / "config.json" for folder in folders]
    return {json.loads(path.read_text())["revision"]: path.parent for path in configs if path.exists()}


def bundled_folder(revision: str) -> Path:
    """Folder of the bundled ``revision``, or of the default one where that is empty.

    Raises:
        BaseModelError: If it is not bundled.
    """
    if not revision:
        return Path(str(resources.files("vov_lightning"))) / "assets" / FOLDERS[0]
    folders = bundled_revisions()
    if revision not in folders:
        raise BaseModelError(
            f"revision={revision} of nano is not bundled, but {', '.join(folders)}; leave it out for the newest, or "
            "name a folder by weights"
        )
    return folders[revision]


def build_transformer(config: NanoConfig) -> nn.Module:
    """An untrained transformer of ``config``'s sizes."""
    channels = config.autoencoder.z_channels
    transformer: Any = WanTransformer3DModel(  # diffusers types its models as plain objects
        patch_size=(1, 1, 1),
        num_attention_heads=config.heads,
        attention_head_dim=64,
        in_channels=channels + POSITION_WAVES**2 - 1 + past_channels(channels, config.context),
        out_channels=channels,
        text_dim=config.text_dim,
        freq_dim=64,
        ffn_dim=config.ffn_dim,
        num_layers=config.layers,
    )
    return transformer


def position_planes(height: int, width: int) -> Tensor:
    """Two-dimensional cosines of unit variance ``[1, 15, 1, height, width]``, without the constant.

    Wan's rotary embedding tells tokens where they lie relative to each other.
    A low-rank update of a layer can only turn its input into a picture where
    that input says where a token lies on the screen.
    """

    def waves(size: int) -> Tensor:
        u = (torch.arange(size) + 0.5) / size
        return torch.stack([torch.ones(size)] + [2**0.5 * torch.cos(math.pi * n * u) for n in range(1, POSITION_WAVES)])

    products = waves(height)[:, None, :, None] * waves(width)[None, :, None, :]
    return products.flatten(0, 1)[1:].view(1, -1, 1, height, width)


def transformer_velocity(
    transformer: nn.Module, x_t: Tensor, t: Tensor, words: Tensor, past: Tensor | None = None
) -> Tensor:
    """Velocity [B, z, T', h, w] of latents ``x_t`` under embedded captions ``words`` [B, 7, d].

    Args:
        transformer: Of `build_transformer`.
        x_t: Latents ``[B, z, T', h, w]``.
        t: Times ``[B]``; with ``past``, one a latent frame, ``[B, T']``.
        words: Embedded captions.
        past: `past_planes` of a transformer that takes them.
    """
    batch, _, frames, height, width = x_t.shape
    planes = position_planes(height, width).to(x_t).expand(batch, -1, frames, -1, -1)
    if past is None:
        return transformer(torch.cat([x_t, planes], dim=1), 1000 * t, words, return_dict=False)[0].float()
    sequences = torch.cat([x_t, planes, past], dim=1).transpose(1, 2).flatten(0, 1).unsqueeze(2)  # [B T', C, 1, h, w]
    words = words.repeat_interleave(frames, dim=0)
    u = transformer(sequences, 1000 * t.flatten(), words, return_dict=False)[0].float()
    return u.squeeze(2).unflatten(0, (batch, frames)).transpose(1, 2)


def caption_row(caption: dict[str, str]) -> list[int]:
    """Row of the word table for each attribute, in the order of `ATTRIBUTES`; the first of each is "not said".

    Example:
        >>> caption_row({"brightness": "dim"})
        [2, 4, 8, 17, 21, 25, 30]
    """
    row, offset = [], 0
    for name, words in ATTRIBUTES.items():
        row.append(offset + (1 + words.index(caption[name]) if name in caption else 0))
        offset += 1 + len(words)
    return row


class WordEmbedding(nn.Module):
    """Rows of `caption_row` ``[B, 7]`` -> ``[B, 7, text_dim]``: one slot an attribute."""

    def __init__(self, text_dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(1 + len(words) for words in ATTRIBUTES.values()), text_dim)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table(rows)


class Nano(BaseModel):
    """The bundled model: clips of any number of frames, sides multiples of 8; made for 9 x 64 x 64.

    Args:
        weights: Folder with ``config.json`` and ``weights.safetensors``; empty for a bundled one.
        revision: Which of the bundled ones; empty for the newest.

    Raises:
        BaseModelError: If weights cannot be read, or no such revision is bundled.
    """

    name = "nano"
    temporal_factor = 1
    max_frames = MAX_POSITIONS * BLOCK_FRAMES
    max_positions = MAX_POSITIONS
    window = Windows(frames=1, rows=8, columns=8, overlap_space=2)
    target_kinds = tuple(
        [f"attn{number}.{kind}" for number in (1, 2) for kind in ("to_q", "to_k", "to_v", "to_out.0")]
        + ["ffn.net.0.proj", "ffn.net.2"]
    )
    default_targets = target_kinds[:4] + target_kinds[8:]  # without the attention to the caption
    default_size = ClipSize(frames=9, height=64, width=64)
    block_frames = BLOCK_FRAMES
    _dictionary: Dictionary | None = None
    default_height = 144  # ten seconds of 256 x 144 take some minutes on two cores
    segment_frames = 10 * BLOCK_FRAMES
    example_prompts = (
        "dark, contrasty, blue, smooth, slow, moving left",
        "bright, flat, yellow, detailed, still",
        "dim, moderate, green, textured, fast, zooming in",
        "bright, contrasty, red, textured, slow, moving up",
    )

    def __init__(self, weights: str = "", revision: str = "") -> None:
        super().__init__()
        if weights and revision:
            raise BaseModelError(
                f"revision={revision} is of bundled weights, and weights={weights} are given; name one"
            )
        folder = Path(weights) if weights else bundled_folder(revision)
        try:
            settings = json.loads((folder / "config.json").read_text())
            tensors = load_file(folder / "weights.safetensors")
            self.revision = settings["revision"]
            self._build(NanoConfig(**{**settings["sizes"], "autoencoder": _autoencoder_config(settings)}))
            self.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        # The last three: settings that are missing or unknown, tensors that do not fit them.
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())  # torch's message has several lines
            raise BaseModelError(
                f"nano's weights cannot be read from {folder}: {reason}; reinstall vov_lightning, "
                "or make them with tools/train_nano.py"
            ) from error
        self.eval().requires_grad_(False)
        self._fingerprint = _digest(tensors)
        if (folder / DICTIONARY).exists():
            self._dictionary = Dictionary.load(folder / DICTIONARY)

    @classmethod
    def options_for(cls, revision: str) -> dict[str, Any]:
        return {"revision": revision} if revision in list(bundled_revisions())[1:] else {}

    @classmethod
    def untrained(cls, config: NanoConfig = NanoConfig(), revision: str = "untrained") -> "Nano":
        """A model with random weights from PyTorch's global generator: a baseline, and a stand-in for tests."""
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.revision = revision
        model._build(config)
        model.eval().requires_grad_(False)
        model._fingerprint = _digest(model.state_dict())
        return model

    def _build(self, config: NanoConfig) -> None:
        self.config = config
        self.autoencoder = LappedAutoencoder(config.autoencoder)
        self._transformer = build_transformer(config)
        self.words = WordEmbedding(config.text_dim)
        self.size_multiple = (config.autoencoder.spatial_factor,) * 2
        self.context = config.context
        self.per_frame_times = config.context > 0
        # A latent frame and its past.
        self.window = dataclasses.replace(self.window, frames=1 + config.context)

    @property
    def dictionary(self) -> Dictionary | None:
        return self._dictionary

    def as_decoded(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        return sample(self.autoencoder, latents, generator)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` (float16) to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
            for name, tensor in self.state_dict().items()
        }
        save_file(tensors, folder / "weights.safetensors")
        settings = {"revision": self.revision, "sizes": dataclasses.asdict(self.config)}
        (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")

    @property
    def transformer(self) -> nn.Module:
        return self._transformer

    def fingerprint(self) -> bytes:
        return self._fingerprint

    def latent_shape(self, size: ClipSize) -> tuple[int, ...]:
        factor = self.config.autoencoder.spatial_factor
        frames = -(-size.frames // BLOCK_FRAMES)
        return self.config.autoencoder.z_channels, frames, size.height // factor, size.width // factor

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        parts = []
        for part in frames.split(AT_ONCE * BLOCK_FRAMES):
            clip = part.to(self.device).float().transpose(0, 1)[None] / 127.5 - 1  # [1, 3, t, H, W]
            parts.append(self.autoencoder.encode(clip))
        return torch.cat(parts, dim=2)

    @torch.no_grad()
    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        parts = []
        # Whole groups: in a smaller one, frames would be rounded otherwise.
        for part in latents.split(AT_ONCE, dim=2)[: -(-num_frames // (AT_ONCE * BLOCK_FRAMES))]:
            clip = self.autoencoder.decode(part.to(self.device).float())[0].transpose(0, 1)  # [t, 3, H, W]
            parts.append(((clip.clamp(-1, 1) + 1) * 127.5).round().byte().cpu())
        return torch.cat(parts)[:num_frames]

    def latent_weights(self, latents: Tensor) -> Tensor:
        return self.autoencoder.latent_weights()

    def describe(self, frames: Tensor) -> str:
        return describe(frames)

    @torch.no_grad()
    def embed(self, caption: str) -> Tensor:
        return self.words(torch.tensor([caption_row(parse(caption))], device=self.device))

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        words = condition.expand(len(x_t), -1, -1)
        if not self.per_frame_times:
            return transformer_velocity(self._transformer, x_t, t, words)
        if t.ndim == 1:
            return self._frame_velocity(x_t, t[:, None].expand(-1, x_t.shape[2]), words)
        u = torch.zeros_like(x_t, dtype=torch.float32)
        known = int((t == 0).all(0).long().cumprod(0).sum())  # latent frames at the beginning
        if known < x_t.shape[2]:
            u[:, :, known:] = self._frame_velocity(x_t, t, words, known)
        return u

    def _frame_velocity(self, x_t: Tensor, t: Tensor, words: Tensor, first: int = 0) -> Tensor:
        """Velocity of the latent frames from ``first`` on; the frames before it are looked at."""
        past = past_planes(x_t, t, self.context)
        return transformer_velocity(self._transformer, x_t[:, :, first:], t[:, first:], words, past[:, :, first:])


def _autoencoder_config(settings: dict) -> AutoencoderConfig:
    sizes = settings["sizes"]["autoencoder"]
    return AutoencoderConfig(**{**sizes, "widths": tuple(sizes["widths"])})


def _digest(tensors: dict[str, Tensor]) -> bytes:
    """BLAKE2b of names, shapes and float16 bytes: the same before and after `Nano.save`."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(tensors.items()):
        stored = tensor.half() if tensor.is_floating_point() else tensor
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(stored.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
