"""The header: whatever decoding needs besides caption, vector and indices (FORMAT.md, "Head").

Each field is declared once, below, with its wire type, its limits, its default and its words for ``vov-info``; writer,
reader and ``describe`` walk that one list (as in Cool-Chic's header). How the fields are laid out in a file is said by
``head.py`` (version 2) and ``version1.py``. The names of choices, such as schedulers and kernels, are spelled here
alone, in the order of their codes.
"""

from dataclasses import MISSING, dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, get_args

from vov_lightning.bitstream.codes import Name, Rate, Window
from vov_lightning.bitstream.wire import Choice, Float32, Prefix, Ratio, Revision, Unsigned
from vov_lightning.errors import BitstreamError

FloatType = Literal["float32", "bfloat16", "float16"]
ComputeDtype = Literal[FloatType, "weights"]
"""``weights`` is the arithmetic of the weights' own type; the others are autocast's, over weights of any type."""
Grid = Literal["shifted", "linear"]
Scheduler = Literal["flow_euler", "unipc"]
SteeredKernel = Literal["ancestral", "euler_maruyama"]
"""Kernels that take indices."""
Kernel = Literal["ode", SteeredKernel]
HashScheme = Literal["v1", "unilora_numpy", "lora", "dictionary"]
CodebookName = Literal["hadamard", "iid"]


def _wire(kind: Any, words: str, default: Any = MISSING) -> Any:
    """A dataclass field that knows how it is written and what it is called."""
    return field(default=default, metadata={"kind": kind, "words": words})


@dataclass(frozen=True)
class Header:
    """All fields of a header, checked and in canonical form from the moment it exists.

    ``BitstreamError`` names the field, the value and what was wanted. Floats are rounded to float32 and fingerprints
    cut to four bytes (so use the header's values, not the ones given). ``k = 0`` means that no vector is sent; the
    fields that describe it stay at their defaults. The defaults below are part of the format: they can never change.

    Example:
        >>> header = Header("nano", "2", bytes(8), frames=9, height=64, width=64, fps=Fraction(24), k=4096, step=0.5)
        >>> header.base_fingerprint, header.window, header.steps
        (b'\\x00\\x00\\x00\\x00', (), 25)
    """

    base_name: str = _wire(Name(), "base model")
    base_revision: str = _wire(Revision(), "base revision")
    base_fingerprint: bytes = _wire(Prefix(4), "base fingerprint")
    frames: int = _wire(Unsigned(1, 2**32 - 1), "frames")
    height: int = _wire(Unsigned(1, 2**32 - 1), "height")
    width: int = _wire(Unsigned(1, 2**32 - 1), "width")
    fps: Fraction = _wire(Rate(), "frames per second")

    compute_dtype: ComputeDtype = _wire(Choice(2, get_args(ComputeDtype)), "compute dtype", "float32")
    grid: Grid = _wire(Choice(1, get_args(Grid)), "time grid", "shifted")
    k: int = _wire(Unsigned(0, 2**32 - 1), "vector entries (k)", 0)
    step: float = _wire(Float32(), "quantiser step", 1.0)
    targets: int = _wire(Unsigned(1, 2**32 - 1), "adapted layers (mask)", 1)
    rank: int = _wire(Unsigned(1, 2**32 - 1), "rank", 1)

    steps: int = _wire(Unsigned(1, 2**32 - 1), "denoising steps", 25)
    shift: float = _wire(Float32(), "grid shift", 3.0)
    guidance: float = _wire(Float32(zero=True), "guidance (1 = off)", 1.0)
    pad_frames: int = _wire(Unsigned(0, 2**32 - 1), "frames cut off at the end", 0)
    pad_height: int = _wire(Unsigned(0, 2**32 - 1), "rows cut off at the bottom", 0)
    pad_width: int = _wire(Unsigned(0, 2**32 - 1), "columns cut off at the right", 0)
    vae_tiling: bool = _wire(Choice(1), "VAE tiling", False)

    seed: int = _wire(Unsigned(0, 2**64 - 1), "noise seed", 0)
    hash_seed: int = _wire(Unsigned(0, 2**64 - 1), "hash seed", 0)
    eta: float = _wire(Float32(zero=True), "kernel noise (eta)", 0.0)
    kernel: Kernel = _wire(Choice(2, get_args(Kernel)), "kernel", "ode")
    scheduler: Scheduler = _wire(Choice(2, get_args(Scheduler)), "scheduler", "flow_euler")
    hash_scheme: HashScheme = _wire(Choice(2, get_args(HashScheme)), "hash scheme", "v1")
    codebook: CodebookName = _wire(Choice(2, get_args(CodebookName)), "codebook of the indices", "hadamard")
    index_bits: int = _wire(Unsigned(1, 24), "bits an index", 8)

    window: tuple[int, ...] = _wire(Window(), "windows of the base model", ())
    sample_aspect_ratio: Fraction = _wire(Ratio(), "sample aspect ratio", Fraction(1))
    context: int = _wire(Unsigned(0, 2**16 - 2), "context (decoded latent frames)", 0)
    deblock: bool = _wire(Choice(1), "deblocking in time", False)

    def __post_init__(self) -> None:
        for item in fields(self):
            try:
                value = item.metadata["kind"].check(getattr(self, item.name))
            except BitstreamError as error:
                raise BitstreamError(f"header field {item.name}: {error}") from None
            object.__setattr__(self, item.name, value)
        if self.k == 0:
            self._want_defaults("k=0 sends no vector", "step", "targets", "rank", "hash_scheme", "hash_seed")
        if self.hash_scheme == "lora":
            self._want_defaults("scheme lora draws no hash", "hash_seed")
        if self.hash_scheme == "dictionary":
            self._want_defaults("a dictionary has layers and a rank of its own", "rank", "targets")
        if self.grid == "linear":
            self._want_defaults("the linear grid has no shift", "shift")
        if self.kernel == "ode":
            self._want_defaults("the ode kernel takes no indices", "eta", "codebook", "index_bits")
        if self.scheduler == "unipc" and self.kernel != "ode":
            raise BitstreamError(f"header field kernel: {self.kernel!r}, but the unipc scheduler takes no indices")
        if self.kernel == "euler_maruyama":
            self._want_defaults("the euler_maruyama kernel has no eta", "eta")
        if self.kernel == "ancestral" and not 0 < self.eta <= 1:
            raise BitstreamError(f"header field eta: {self.eta} is outside (0, 1], as the ancestral kernel wants it")

        if self.context and not (self.window and self.context < self.window[0] and self.window[3] == 0):
            raise BitstreamError(
                f"header field context: {self.context}, but window is {self.window}; context wants windows of more "
                "latent frames, without overlap in time"
            )
        if self.context == 0:
            self._want_defaults("context=0 samples no blocks", "deblock")

    @property
    def num_pixels(self) -> int:
        """Of all frames, without padding."""
        return self.frames * self.height * self.width

    @property
    def block_steps(self) -> int | None:
        """Steps of a block, for segments that are sampled block by block; nothing for others."""
        return self.steps if self.context else None

    def _want_defaults(self, reason: str, *names: str) -> None:
        """Refuse values that decoding would ignore: a header says what is done, and says it in one way."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in names and value != item.default:
                raise BitstreamError(f"header field {item.name}: {value!r}, but {reason}; leave it at {item.default!r}")

    def names_model(self, name: str, fingerprint: bytes) -> bool:
        """Whether a base model of this name and (whole) fingerprint is the one that the file was made for."""
        return (self.base_name, self.base_fingerprint) == (name, fingerprint[: len(self.base_fingerprint)])
