"""Base models made of a diffusers pipeline's parts, from the hub or from a folder.

Transformer and autoencoder are loaded once; the text encoder, often the largest
part, only while a caption is embedded, and the embedding is kept on disk.
Nothing but safetensors is read, and no code that comes with the weights runs.
"""

import gc
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vov_lightning.bases.base import BaseModel, ClipSize
from vov_lightning.bases.estimate import choose_checkpointing, estimate
from vov_lightning.bases.hub_files import (
    ENDINGS,
    check_folder,
    check_memory,
    digest,
    fetch,
    settings_identity,
    settings_of,
    text_identity,
)
from vov_lightning.bases.hub_text import check_caption, import_text_libraries, kept_embedding, random_embedding
from vov_lightning.bases.memory import check_gpu_memory, free_bytes, true_float32
from vov_lightning.bases.parallel import SharedTokens, check_model, check_shares, shares_captions
from vov_lightning.bases.running import (
    Attention,
    Checkpointing,
    Keeping,
    check_backward,
    compile_blocks,
    use_attention,
    use_checkpointing,
)
from vov_lightning.bitstream.header import FloatType
from vov_lightning.errors import BaseModelError

Sizes = dict[str, dict[str, Any]]
"""Settings of ``transformer`` and ``vae``, as diffusers' configurations hold them."""


class HubModel(BaseModel):
    """A base model in the layout of diffusers' pipelines.

    Args:
        weights: Folder with ``transformer``, ``vae``, ``text_encoder`` and ``tokenizer``; empty for the hub.
        revision: Commit of the hub's repository; empty for the one that this version of vov_lightning was made for.
        dtype: Of the transformer's and the text encoder's weights; the autoencoder's are always float32.
        checkpointing: What ``backward`` computes again: ``none`` takes the most memory; ``all`` the least, and a third
            more time; ``attention`` keeps attention's outputs, little memory that saves most of this time. ``auto``:
            the first of none, attention, all that fits the GPU.
        attention: Attention backend, under diffusers' name. A fit takes one that has a backward.
        compile: Compile the transformer's block once (`torch.compile`): a minute at first, then faster.
        vae_tiling: Encode and decode in tiles, in less memory; files say which, since frames differ slightly.
        context_parallel: Processes of a fit (``trainer.devices``) that share the tokens of one draw.

    Raises:
        BaseModelError: If the weights are not to be had, or do not fit into memory.
    """

    repository: ClassVar[str]
    """On the hub."""
    pinned_revision: ClassVar[str]
    """Commit of `repository`."""
    pipeline_name: ClassVar[str]
    """Diffusers' pipeline; it embeds captions."""
    text_encoder_name: ClassVar[str]
    """Class in transformers."""
    more_text_encoders: ClassVar[dict[str, str]] = {}
    """Classes of further ones by folder, such as ``text_encoder_2``, whose tokenizer is ``tokenizer_2``."""
    endings: ClassVar[tuple[str, ...]] = ENDINGS
    """Of the files that are fetched and told apart; `CHAT_ENDINGS` where captions go through a chat template."""
    transformer_class: ClassVar[Any]  # diffusers types its models as plain objects
    vae_class: ClassVar[Any]
    vae: Any
    sizes: ClassVar[Sizes]
    """Published settings that differ from the classes' defaults, for estimates without weights."""
    tiny_sizes: ClassVar[Sizes]
    """Settings that run in milliseconds, for tests and dry runs."""
    max_caption_tokens: ClassVar[int]
    typical_caption_tokens: ClassVar[int]
    """Length of a caption's embedding: the most, where captions are padded to it."""
    embedding_width: ClassVar[str]
    """Name of the transformer's setting that holds the width of a caption's embedding."""
    shares_tokens: ClassVar[bool] = False
    """Whether diffusers' plan for context parallelism works for the transformer, forwards and backwards."""

    def __init__(
        self,
        weights: str = "",
        revision: str = "",
        dtype: FloatType = "bfloat16",
        checkpointing: Checkpointing = "auto",
        attention: Attention = "native",
        compile: bool = False,
        vae_tiling: bool = False,
        context_parallel: int = 1,
    ) -> None:
        check_model(context_parallel, self.shares_tokens, compile, self.name)
        super().__init__()
        import_text_libraries()
        self.revision = revision or ("local" if weights else self.pinned_revision)
        more = tuple(self.more_text_encoders)
        self._folder: Path | None = (
            Path(weights) if weights else fetch(self.name, self.repository, self.revision, more, self.endings)
        )
        check_folder(self._folder, self.name, self.repository, more)
        weight_dtype = getattr(torch, dtype)
        check_memory(self._folder, {"transformer": weight_dtype.itemsize, "vae": 4}, self.name)
        self._build(
            self._load("transformer", self.transformer_class, torch_dtype=weight_dtype),
            self._load("vae", self.vae_class, torch_dtype=torch.float32),
        )
        self.checkpointing: Checkpointing = checkpointing
        self.context_parallel = context_parallel
        if attention != "native":
            self.use_attention(attention)
        if compile:
            self.compile_blocks()
        self.use_vae_tiling(vae_tiling)

    def _load(self, part: str, part_class: Any, **options: Any) -> Any:
        """A part of the folder, from safetensors only."""
        assert self._folder is not None
        try:
            return part_class.from_pretrained(self._folder / part, use_safetensors=True, **options)
        except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BaseModelError(
                f"base model {self.name}: {self._folder / part} cannot be read: {reason}; fetch {self.repository} "
                f"at {self.pinned_revision} again"
            ) from error

    @classmethod
    def untrained(cls, sizes: Sizes | None = None, dtype: torch.dtype = torch.float32) -> "HubModel":
        """A model of random weights and random caption embeddings, of `tiny_sizes` unless told otherwise.

        For tests, dry runs and measurements of speed; weights come from PyTorch's global generator.
        """
        sizes = cls.tiny_sizes if sizes is None else sizes
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.revision, model._folder = "untrained", None
        model._build(cls.transformer_class(**sizes["transformer"]), cls.vae_class(**sizes["vae"]))
        kept = model._transformer._keep_in_fp32_modules or []  # as from_pretrained does
        for name, parameter in model._transformer.named_parameters():
            if not set(name.split(".")) & set(kept):
                parameter.data = parameter.data.to(dtype)
        return model

    @classmethod
    def skeleton(cls) -> "HubModel":
        return cls._pretended(cls.sizes, torch.bfloat16)

    @classmethod
    def _pretended(cls, sizes: Sizes, dtype: torch.dtype) -> "HubModel":
        """A model on a GPU that is not there: it computes shapes and types alone."""
        with FakeTensorMode(), torch.device("cuda"):
            return cls.untrained(sizes, dtype)

    @classmethod
    def stand_in(cls, **settings: Any) -> "HubModel":
        check_model(settings.get("context_parallel", 1), cls.shares_tokens, settings.get("compile", False), cls.name)
        model = cls.untrained()
        model.checkpointing = settings.get("checkpointing", model.checkpointing)
        model.use_vae_tiling(settings.get("vae_tiling", False))
        return model

    def _build(self, transformer: Any, vae: Any) -> None:
        self._transformer: Any = transformer
        self.vae = vae
        self.checkpointing = "auto"
        self.attention: Attention = "native"
        self._compile_options: dict[str, Any] | None = None
        self._fingerprint: bytes | None = None
        self._embeddings: dict[str, dict[str, Tensor]] = {}
        self.eval().requires_grad_(False)

    @property
    def transformer(self) -> nn.Module:
        return self._transformer

    def fingerprint(self) -> bytes:
        if self._fingerprint is None:
            settings = "" if self._folder is None else settings_identity(self._folder) + self._text_identity()
            self._fingerprint = digest(self.state_dict(), settings)
        return self._fingerprint

    def _text_identity(self) -> str:
        assert self._folder is not None
        return text_identity(self._folder, self.endings)

    def _apply(self, fn: Callable, recurse: bool = True) -> "HubModel":
        """Move everything but the autoencoder, which is on the transformer's device only while it works."""
        vae = self._modules.pop("vae")
        try:
            return super()._apply(fn, recurse)
        finally:
            self._modules["vae"] = vae

    @contextmanager
    def _vae_at_work(self) -> Iterator[None]:
        """Within the block the autoencoder is where the transformer is, and computes in float32."""
        home = next(self.vae.parameters()).device
        self.vae.to(self.device)
        try:
            with true_float32(self.device):
                yield
        finally:
            self.vae.to(home)

    def use_attention(self, backend: Attention) -> None:
        """Let the transformer call ``backend``.

        Raises:
            SettingError: If it is not installed.
        """
        use_attention(self._transformer, backend, self.name)
        self.attention = backend

    def compile_blocks(self, **options: Any) -> None:
        """Compile the transformer's blocks at their next call; ``options`` are `torch.compile`'s."""
        compile_blocks(self._transformer, self.name, **options)
        self._compile_options = options

    def use_checkpointing(self, keeping: Keeping) -> None:
        """Let ``backward`` compute again what ``keeping`` says, from now on."""
        use_checkpointing(self._transformer, keeping, self._compile_options)

    def prepare_fit(self, latents: tuple[int, ...], evaluations: int) -> None:
        if self.context_parallel > 1:
            self.shared_tokens = self._share_tokens(latents)
        if self.attention != "native":
            exchange = self.shared_tokens and self.shared_tokens.config
            check_backward(*self._attention_inputs(), self.attention, self.name, exchange)
        keeping = self.checkpointing
        self.use_checkpointing(self._fitting_checkpointing(latents, evaluations) if keeping == "auto" else keeping)

    def _share_tokens(self, latents: tuple[int, ...]) -> SharedTokens:
        _, _, rows, columns = self.latent_shape(ClipSize(1, *self.size_multiple))  # of a token
        tokens = math.prod(latents[1:]) // (rows * columns)
        embeddings = self._embeddings if shares_captions(self._transformer) else {}
        captions = {caption: found["states"].shape[1] for caption, found in embeddings.items()}
        check_shares(self.context_parallel, self._attention_shape()[0], tokens, captions)
        return SharedTokens(self._transformer, self.context_parallel, self.device)

    def _fitting_checkpointing(self, latents: tuple[int, ...], evaluations: int) -> Keeping:
        """The least that fits the GPU's memory; none on a CPU."""
        if self.device.type != "cuda":
            return "none"
        _, frames, rows, columns = latents
        factor = self.spatial_factor
        size = ClipSize(1 + (frames - 1) * self.temporal_factor, rows * factor, columns * factor)
        sizes = {"transformer": settings_of(self._transformer), "vae": settings_of(self.vae)}
        costs = estimate(self._pretended(sizes, self.dtype), size, 1)
        free = free_bytes(self.device) if self.shared_tokens is None else self.shared_tokens.least_free_bytes()
        return choose_checkpointing(self.context_parallel * free, costs, evaluations)

    def _attention_inputs(self) -> tuple[Tensor, Tensor | None]:
        """A small query [1, N, heads, channels] of the model's own, and its caption's mask, where it has one."""
        return torch.randn(1, 128, *self._attention_shape(), device=self.device, dtype=self.dtype), None

    def _attention_shape(self) -> tuple[int, int]:
        """Heads of the transformer's attention, and channels of each."""
        return self._transformer.config.num_attention_heads, self._transformer.config.attention_head_dim

    def use_vae_tiling(self, enabled: bool) -> None:
        if enabled:
            self.vae.enable_tiling()
        elif self.vae_tiling:
            self.vae.disable_tiling()
        self.vae_tiling = enabled

    def latent_shape(self, size: ClipSize) -> tuple[int, ...]:
        frames = 1 + (size.frames - 1) // self.temporal_factor
        return (self.latent_channels, frames, size.height // self.spatial_factor, size.width // self.spatial_factor)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        config = self.vae.config
        return config.z_dim if "z_dim" in config else config.latent_channels

    @property
    def spatial_factor(self) -> int:
        """Pixels a side of one latent."""
        return self.vae.spatial_compression_ratio

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [1, C, 1, 1, 1] float32 by which latents are normalised.

        Of the autoencoder's settings or buffers: ``latents_mean`` and ``latents_std`` by channel, ``shift_factor`` and
        ``scaling_factor`` for all; what an autoencoder does not have counts as 0 and 1.
        """

        config = self.vae.config

        def values(*names: str, default: float) -> Tensor:
            known = (config[name] if name in config else getattr(self.vae, name, None) for name in names)
            found = next((value for value in known if value is not None), default)
            return torch.as_tensor(found, dtype=torch.float32, device=self.device).view(1, -1, 1, 1, 1)

        mean = values("latents_mean", "shift_factor", default=0.0)
        return mean, values("latents_std", default=1.0) / values("scaling_factor", default=1.0)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        pixels = frames.to(self.device).float().div(127.5).sub(1).transpose(0, 1)[None]  # [1, 3, T, H, W]
        with self._vae_at_work():
            latents = self._encode_pixels(pixels)
        mean, std = self._statistics()
        return (latents - mean) / std

    @torch.no_grad()
    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        mean, std = self._statistics()
        with self._vae_at_work():
            pixels = self._decode_pixels(latents * std + mean)[0].transpose(0, 1)  # [T, 3, H, W]
        # diffusers' own conversion: to [0, 1], clamped, then rounded
        return pixels.div(2).add(0.5).clamp(0, 1).mul(255).round().byte()[:num_frames].cpu()

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        return self.vae.encode(pixels).latent_dist.mode()

    def _decode_pixels(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, return_dict=False)[0]

    def embed(self, caption: str) -> dict[str, Tensor]:
        if caption not in self._embeddings:
            self._embeddings[caption] = (
                random_embedding(caption, self.embedding_shapes(), self.dtype)
                if self._folder is None
                else self._stored_embedding(caption)
            )
        return {name: tensor.to(self.device) for name, tensor in self._embeddings[caption].items()}

    def embedding_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what `embed` returns for a caption of typical length; names that end in ``mask`` are boolean."""
        return {"states": (1, self.typical_caption_tokens, self._transformer.config[self.embedding_width])}

    def _stored_embedding(self, caption: str) -> dict[str, Tensor]:
        where = f"{self.max_caption_tokens} {self.dtype} {self._text_device.type}"
        return kept_embedding(f"{self.name} {self._text_identity()} {where} {caption}", lambda: self._encode(caption))

    @property
    def _text_device(self) -> torch.device:
        """Where captions are embedded: where the transformer will be, even before it is there."""
        return self.text_device or self.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights, but for those that diffusers keeps in float32."""
        return self._transformer.dtype

    @torch.no_grad()
    def _encode(self, caption: str) -> dict[str, Tensor]:
        """The embedding, by the pipeline's own code."""
        diffusers, transformers = import_text_libraries()
        assert self._folder is not None
        classes = {"text_encoder": self.text_encoder_name, **self.more_text_encoders}
        names = {part: part.replace("text_encoder", "tokenizer") for part in classes}
        parts = {name: self._load(name, transformers.AutoTokenizer) for name in names.values()}
        check_caption(caption, parts["tokenizer"], self.max_caption_tokens, self.name)
        check_memory(self._folder, dict.fromkeys(classes, self.dtype.itemsize), self.name)
        for part, name in classes.items():
            encoder = self._load(part, getattr(transformers, name), dtype=self.dtype)
            check_gpu_memory(encoder, self._text_device, f"{self.name} (its {part})")
            parts[part] = encoder.to(self._text_device).eval()
        pipeline = getattr(diffusers, self.pipeline_name)(**parts, **self._other_parts())
        found = self._pipeline_embedding(pipeline, caption)
        del encoder, parts, pipeline
        gc.collect()
        if self._text_device.type == "cuda":
            torch.cuda.empty_cache()
        return found

    def _other_parts(self) -> dict[str, Any]:
        """What the pipeline's constructor wants beside text encoders and tokenizers; embedding captions needs none."""
        return dict.fromkeys(("vae", "transformer", "scheduler"))

    @abstractmethod
    def _pipeline_embedding(self, pipeline: Any, caption: str) -> dict[str, Tensor]:
        """What ``pipeline.encode_prompt`` gives for ``caption``."""
