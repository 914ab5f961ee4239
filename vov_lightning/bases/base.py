"""What a base model must say: pixels to latents and back, a velocity, and which layers are adapted.

Adding one is a subclass in one file. Everything else (hash, adapter, rate,
bitstream, sampler, commands) works through these methods alone.
"""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vov_lightning.bases.parallel import SharedTokens
from vov_lightning.bases.windows import Windows
from vov_lightning.errors import BaseModelError
from vov_lightning.flow import Velocity
from vov_lightning.vector.dictionary import Dictionary

Condition = Any
"""What `BaseModel.embed` returns and `BaseModel.predict_velocity` takes; only the base model looks inside."""


@dataclass(frozen=True)
class ClipSize:
    """Frames, height and width in pixels."""

    frames: int
    height: int
    width: int


class BaseModel(nn.Module, ABC):
    """A frozen generative model of video (or images) in a latent space.

    One convention of time and velocity (`vov_lightning.flow`): t = 1 is noise, t = 0 clean, and between them
    ``x_t = (1 - t) x + t eps``; the velocity is ``u ~ eps - x``. A network that says ``x - eps`` is negated, one whose
    time runs from 0 to 1000 gets ``1000 t``, one that predicts v on a variance-preserving schedule goes through
    `vov_lightning.bases.vp`. A model made of diffusers' parts derives from `vov_lightning.bases.hub.HubModel` instead.

    Class attributes say what is the same for every instance; `size_multiple`
    and `temporal_factor` are the rules that inputs must meet.
    """

    name: ClassVar[str]
    """Registered name, written into files."""
    size_multiple: tuple[int, int]
    """Height and width are multiples of these, in pixels."""
    temporal_factor: ClassVar[int]
    """Frames are ``1 + n * temporal_factor``."""
    max_frames: ClassVar[int | None] = None
    """Most frames; 1 for a model of images."""
    max_positions: ClassVar[int | None] = None
    """Most steps of `size_multiple` along a side, of a model that counts them."""
    window: Windows | None = None
    """Windows in which latents are evaluated that are larger than what the model was made for, unless told otherwise;
    nothing for a model that is always evaluated at once."""
    negative_prompt: ClassVar[str] = ""
    """What guidance under another prompt leads away from, unless something else is given."""
    per_frame_times: bool = False
    """Whether `predict_velocity` takes a time for each latent frame; a property of weights trained for it."""
    context: int = 0
    """Latent frames of decoded past that a window can take at t = 0 before its present; see `with_context`. Where it
    is above 0, `decode` makes a frame of its own latent frame and those before it alone."""
    blocks_path: ClassVar[str | tuple[str, ...]] = "blocks"
    """Where the transformer keeps its list of blocks; several lists: their order is part of the format."""
    target_kinds: ClassVar[tuple[str, ...]]
    """Linear layers of a block that can be adapted, by module path; the order is part of the format. Where there are
    several lists of blocks, a kind need not be in all of them, nor be a linear layer in all of them."""
    native_kinds: ClassVar[dict[str, str]] = {}
    """Names that the model's authors give `target_kinds`, for export; empty where they are not known."""
    native_alpha: ClassVar[bool] = True
    """Whether loaders of those names take a LoRA's alpha."""
    default_targets: ClassVar[tuple[str, ...]]
    """Kinds that are adapted unless told otherwise."""
    default_size: ClassVar[ClipSize]
    """Size that the model was made for."""
    block_frames: ClassVar[int] = 1
    """Frames that one latent frame holds, where `decode` makes them of it alone; clips are best cut at multiples."""
    example_prompts: ClassVar[tuple[str, ...]] = (
        "a red vintage car drives along a coastal road at sunset",
        "close-up of a cat asleep on a woollen blanket",
        "snow falls on a quiet pine forest at night",
        "a crowded street market seen from above",
    )
    """Captions of nothing in particular, at least two, that differ in all that the model is conditioned on."""

    revision: str
    """Version of the weights, written into files."""
    text_device: torch.device | None = None
    """Where captions are embedded, of a model that needs a large part for it; None: where the transformer is."""
    context_parallel: int = 1
    """Processes of a fit that share the tokens of one draw."""
    shared_tokens: SharedTokens | None = None
    """How they do it, after `prepare_fit`; None where every process evaluates all tokens."""
    vae_tiling: bool = False
    """Whether clips are encoded and decoded in tiles; written into files."""

    @property
    def default_height(self) -> int:
        """Rows to which clips are brought unless told otherwise."""
        return self.default_size.height

    @property
    def segment_frames(self) -> int:
        """Frames of the longest segment of a clip, unless told otherwise; a count that the model takes."""
        return self.default_size.frames

    @property
    def dictionary(self) -> Dictionary | None:
        """Learned directions for vectors (scheme ``dictionary``); None where there are none."""
        return None

    def as_decoded(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Clean ``latents`` as a decoder may show them, which is the past that a fit gives to windows with context.

        Args:
            latents: ``[B, C, T', h, w]``.
            generator: Of random numbers, on the CPU.
        """
        return latents

    @property
    @abstractmethod
    def transformer(self) -> nn.Module:
        """The network that is adapted."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """Eight bytes that change whenever a weight changes; written into files."""

    @abstractmethod
    def latent_shape(self, size: ClipSize) -> tuple[int, ...]:
        """Shape of the latents of a clip, without a batch dimension."""

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Latents [1, C, T', h, w] float32 of ``frames`` [T, 3, H, W] uint8: the posterior mean, never a sample."""

    @abstractmethod
    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The first ``num_frames`` frames [T, 3, H, W] uint8 of ``latents`` [1, C, T', h, w]."""

    @abstractmethod
    def embed(self, caption: str) -> Condition:
        """Condition for ``caption``; the empty caption is the unconditional one.

        Raises:
            BaseModelError: If the model cannot take this caption.
        """

    @abstractmethod
    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity [B, C, T', h, w] float32 of ``x_t``.

        Args:
            x_t: Latents ``[B, C, T', h, w]``.
            t: Times ``[B]`` float32 in [0, 1]; where `per_frame_times` says so, also ``[B, T']``, one a latent frame.
                Latent frames at t = 0 are known; what comes back for them has no meaning and may be 0.
            condition: What `embed` returned.
        """

    @classmethod
    def options_for(cls, revision: str) -> dict[str, Any]:
        """Options that make the model of a file's ``revision``; none where that is the default one, or unknown."""
        return {}

    @classmethod
    def skeleton(cls) -> "BaseModel":
        """The model as it would be loaded, for `estimate`; without weights where that can be had."""
        return cls()

    @classmethod
    def stand_in(cls, **settings: Any) -> "BaseModel":
        """What a dry run fits in place of ``cls(**settings)``: as quick as can be and without a download."""
        return cls(**settings)

    def latent_weights(self, latents: Tensor) -> Tensor:
        """What a squared error in an entry of ``latents`` costs in pixels, about: mean 1, broadcastable to them."""
        return torch.ones(1, device=latents.device)

    def describe(self, frames: Tensor) -> str:
        """Automatic caption of ``frames`` [T, 3, H, W] uint8; empty where the model brings no captioner."""
        return ""

    def check_size(self, size: ClipSize) -> None:
        """Refuse a size that the model cannot take.

        Raises:
            BaseModelError: If ``size`` breaks `size_multiple` or `temporal_factor`, or is beyond `max_frames` or
                `max_positions`.
        """
        rows, columns = self.size_multiple
        fits = not (size.height % rows or size.width % columns or (size.frames - 1) % self.temporal_factor)
        nearest = self.nearest_size(size)
        remedy = f"nearest: {nearest.frames} frame{'s' * (nearest.frames > 1)} of {nearest.width}x{nearest.height}"
        if not fits or min(size.frames, size.height, size.width) < 1:
            frames = f"1 + a multiple of {self.temporal_factor}" if self.temporal_factor > 1 else "1 or more"
            raise BaseModelError(
                f"size {size.frames} x {size.height} x {size.width} does not suit base model {self.name}: frames must "
                f"be {frames}, height a multiple of {rows}, width of {columns}; none 0; {remedy}"
            )
        if self.max_frames is not None and size.frames > self.max_frames:
            raise BaseModelError(
                f"{size.frames} frames do not suit base model {self.name}, which takes {self.max_frames}; {remedy}"
            )
        if self.max_positions is not None and max(size.height // rows, size.width // columns) > self.max_positions:
            raise BaseModelError(
                f"size {size.frames} x {size.height} x {size.width} does not suit base model {self.name}, whose "
                f"positions end at height {self.max_positions * rows} and width {self.max_positions * columns}; "
                f"{remedy}"
            )

    def nearest_size(self, size: ClipSize) -> ClipSize:
        """The size nearest to ``size`` that `check_size` takes; of two as near, the larger."""
        most_sides, most_frames = self.max_positions or sys.maxsize, self.max_frames or sys.maxsize
        factor, (rows, columns) = self.temporal_factor, self.size_multiple
        return ClipSize(
            1 + factor * (_nearest(size.frames + factor - 1, factor, 1 + (most_frames - 1) // factor) - 1),
            rows * _nearest(size.height, rows, most_sides),
            columns * _nearest(size.width, columns, most_sides),
        )

    def check_windows(self, windows: Windows) -> None:
        """Refuse windows that the model cannot take.

        Raises:
            BaseModelError: If sizes or overlaps are not whole tokens of the model.
        """
        # Latents that one token spans: a window that begins within a token would cut it otherwise than its neighbour.
        _, _, *token = self.latent_shape(ClipSize(1, *self.size_multiple))
        lengths = (windows.rows, windows.columns, windows.overlap_space, windows.overlap_space)
        if any(length % step for length, step in zip(lengths, 2 * token, strict=True)):
            raise BaseModelError(
                f"windows of {windows} latents with overlap {windows.overlap_space} do not suit base model "
                f"{self.name}: rows and overlap must be multiples of {token[0]}, columns and overlap of {token[1]}"
                + (f"; its own are {self.window} with overlap {self.window.overlap_space}" if self.window else "")
            )

    def prepare_fit(self, latents: tuple[int, ...], evaluations: int) -> None:  # most need nothing
        """Get ready for ``backward``, on the device of the fit.

        Args:
            latents: Shape of what an evaluation takes, without a batch dimension.
            evaluations: How many are kept for ``backward`` at once.

        Raises:
            SettingError: If a setting of the model is for decoding alone.
        """

    def use_vae_tiling(self, enabled: bool) -> None:
        """Encode and decode in tiles, or at once.

        Raises:
            BaseModelError: If the model has no tiles.
        """
        if enabled:
            raise BaseModelError(f"base model {self.name} cannot decode in tiles, as the file asks; upgrade")

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the adapted weights; their arithmetic uses it too."""
        return next(self.transformer.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the transformer."""
        return next(self.transformer.parameters()).device

    def velocity(self, caption: str) -> Velocity:
        """The velocity field under ``caption``.

        It raises BaseModelError if it is given a time for each latent frame, and the model takes one for all.
        """
        condition = self.embed(caption)

        def velocity(x_t: Tensor, t: Tensor) -> Tensor:
            if t.ndim > 1 and not self.per_frame_times:
                raise BaseModelError(
                    f"times of shape {list(t.shape)} do not suit base model {self.name} {self.revision}, which takes "
                    "one time for all latent frames, [B]; leave out the context, or use a model that was trained for it"
                )
            return self.predict_velocity(x_t, t, condition)

        return velocity

    def adapted_layers(self, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
        """Linear layers of ``targets``, block by block and within a block in the order of `target_kinds`.

        Raises:
            BaseModelError: If a target is not among `target_kinds`, or in no block.
        """
        unknown = [target for target in targets if target not in self.target_kinds]
        if unknown or not targets:
            raise BaseModelError(
                f"targets={list(targets)} must name one or more of {list(self.target_kinds)} for base model {self.name}"
            )
        kinds = [kind for kind in self.target_kinds if kind in targets]
        found: dict[str, nn.Linear] = {}
        for name, block in self.blocks().items():
            layers = {path: layer for path, layer in block.named_modules() if isinstance(layer, nn.Linear)}
            found |= {f"{name}.{kind}": layers[kind] for kind in kinds if kind in layers}
        for kind in kinds:
            if not any(name.endswith(f".{kind}") for name in found):
                raise BaseModelError(f"target {kind} is in no block of base model {self.name}; correct target_kinds")
        return found

    def blocks(self) -> dict[str, nn.Module]:
        """Blocks of the transformer: by number where there is one list, else by their paths."""
        if isinstance(self.blocks_path, str):
            return dict(self.transformer.get_submodule(self.blocks_path).named_children())
        return {
            f"{path}.{number}": block
            for path in self.blocks_path
            for number, block in self.transformer.get_submodule(path).named_children()
        }

    def layer_path(self, name: str) -> str:
        """Path in the transformer of a layer that `adapted_layers` calls ``name``."""
        return f"{self.blocks_path}.{name}" if isinstance(self.blocks_path, str) else name

    def targets_to_mask(self, targets: tuple[str, ...]) -> int:
        """Bit mask of ``targets`` over `target_kinds`, as the file holds it."""
        return sum(1 << bit for bit, kind in enumerate(self.target_kinds) if kind in targets)

    def mask_to_targets(self, mask: int) -> tuple[str, ...]:
        """Inverse of `targets_to_mask`.

        Raises:
            BaseModelError: If a bit names no layer kind of this model.
        """
        if mask >> len(self.target_kinds):
            raise BaseModelError(
                f"targets mask {mask:#x} names layer kinds that base model {self.name} does not have "
                f"({len(self.target_kinds)} kinds); the file needs a newer vov_lightning"
            )
        return tuple(kind for bit, kind in enumerate(self.target_kinds) if mask >> bit & 1)


def _nearest(length: int, step: int, most: int) -> int:
    """Steps nearest to ``length``, in [1, ``most``]."""
    return min(max((length + step // 2) // step, 1), most)
