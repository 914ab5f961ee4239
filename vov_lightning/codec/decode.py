"""The whole way on one page: a file and the base model that it names into a signal.

Decoding sees nothing else. The encoder takes the same steps by the same code,
so both see the same frames bit for bit.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel, ClipSize, load_revision
from vov_lightning.bases.context import Blocks, with_context
from vov_lightning.bases.memory import check_device, check_gpu_memory
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.bitstream.segments import first_steps
from vov_lightning.codec.deblock import REACH, deblock
from vov_lightning.codec.settings import sampler_of, steering_of
from vov_lightning.errors import BaseModelMismatchError, BitstreamError, SettingError
from vov_lightning.flow import Velocity, guide
from vov_lightning.progress import Progress
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import check_stop_at, initial_noise, integrate
from vov_lightning.sampling.steering import Replay, Steering
from vov_lightning.sampling.unipc import integrate_unipc
from vov_lightning.vector.adapter import HashedLoRA
from vov_lightning.vector.dictionary import Dictionary
from vov_lightning.vector.quantizer import dequantize
from vov_lightning.video import Padding, Signal, remove_padding


def decode(
    file: VovFile,
    base: BaseModel | None = None,
    *,
    stop_at: float = 0.0,
    progress: Progress = iter,
) -> Signal:
    """Signal that ``file`` holds, all in memory; `decode_segments` gives it in parts.

    Args:
        file: An opened file.
        base: The model that it was fitted on; loaded by registered name when left out.
        stop_at: Time in [0, 1) at which sampling stops early (paper, appendix B.1); 0 never.
        progress: Wraps the sampler's steps of each segment, e.g. in a progress bar.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        BitstreamError, BaseModelError: If the file asks for what the base model does not have.
    """
    base = load_revision(file.header.base_name, file.header.base_revision) if base is None else base
    numbers = range(len(file.segments))
    parts = [decode_segment(file, base, number, stop_at=stop_at, progress=progress) for number in numbers]
    return Signal(torch.cat([part.frames for part in parts]), file.header.fps, "decoded")


@torch.no_grad()
def decode_segment(
    file: VovFile,
    base: BaseModel,
    number: int,
    *,
    frames: int | None = None,
    stop_at: float = 0.0,
    progress: Progress = iter,
) -> Signal:
    """Segment ``number`` (from 0) of ``file``, without padding; arguments and errors as of `decode`.

    Of its first ``frames`` alone, where those are given: blocks that they do not need are not sampled.
    """
    part = file.part(number)
    header = part.header
    size, wanted = checked_size(header, base), header.frames if frames is None else frames
    sampled = min(size.frames, wanted + REACH) if header.deblock else wanted
    latents = sample(part, base, replay_of(part, base), stop_at, progress, sampled)
    shown = decode_latents(base, latents, replace(size, frames=sampled), header)
    signal = Signal(shown.frames[:wanted], shown.fps, shown.name)
    return remove_padding(signal, Padding(0, header.pad_height, header.pad_width))


def sample(
    file: VovFile,
    base: BaseModel,
    steering: Steering | None = None,
    stop_at: float = 0.0,
    progress: Progress = iter,
    frames: int | None = None,
) -> Tensor:
    """Latents ``[1, ...]`` that the adapted model generates from the file's noise; `checked_size` comes before.

    ``frames``: as of `generate`.
    """
    sampler, size = sampler_of(file.header), generated_size(file.header)
    velocity = velocity_field(base, file.caption, sampler, windows_of(file.header), file.header.context)
    # Whatever precision the caller works in, a file decodes in its own.
    with torch.autocast(base.device.type, enabled=False), adapted(base, file):
        return generate(base, velocity, sampler, size, steering, stop_at, progress, blocks_of(file.header), frames)


def generate(
    base: BaseModel,
    velocity: Velocity,
    sampler: SamplerConfig,
    size: ClipSize,
    steering: Steering | None = None,
    stop_at: float = 0.0,
    progress: Progress = iter,
    blocks: Blocks | None = None,
    frames: int | None = None,
) -> Tensor:
    """Latents ``[1, ...]`` of a clip of ``size`` where ``velocity`` leads from the sampler's noise.

    With ``blocks``, each takes all steps, given the blocks before it; those after the first ``frames`` stay noise.

    Raises:
        SettingError: If ``stop_at`` is outside [0, 1), or the scheduler cannot be steered.
    """
    check_stop_at(stop_at)
    noise = initial_noise(sampler.seed, base.latent_shape(size)).to(base.device)
    times = sampler.times().tolist()
    if sampler.scheduler == "unipc" and steering is not None:
        raise SettingError(
            "indices steer the flow_euler scheduler only, the file has unipc; fit with scheduler=flow_euler"
        )

    def sampled(velocity: Velocity, noise: Tensor, progress: Progress, first_step: int) -> Tensor:
        if sampler.scheduler == "unipc":
            return integrate_unipc(velocity, noise, times, stop_at, progress)
        return integrate(velocity, noise, times, stop_at, progress, steering, first_step)

    if blocks is None:
        return sampled(velocity, noise, progress, 0)
    parts = noise.split(blocks.length, dim=2)
    count = len(parts) if frames is None else -(-latent_frames(base, frames) // blocks.length)
    shown = iter(progress(range(count * sampler.steps)))  # one bar over the steps of all blocks
    latents = noise[:, :, :0]
    for number, part in enumerate(parts[:count]):
        given = with_context(velocity, latents[:, :, -blocks.context :]) if number else velocity
        block = sampled(
            given, part, lambda steps: (step for step, _ in zip(steps, shown, strict=False)), number * sampler.steps
        )
        latents = torch.cat([latents, block], dim=2)
    return torch.cat([latents, *parts[count:]], dim=2)


def replay_of(file: VovFile, base: BaseModel, keep_steps: int | None = None) -> Steering | None:
    """Steering by the file's indices, or by those of its first steps (of each block); nothing where there are none.

    Raises:
        BitstreamError: If a step carries more indices than there are latent entries, or there are more blocks.
    """
    header = file.header
    kept = first_steps(file.indices, keep_steps, header)
    if not any(map(len, kept)):
        return None
    channels, frames, rows, columns = base.latent_shape(generated_size(header))
    blocks = blocks_of(header) or Blocks(frames, 0)
    for number, step in enumerate(kept):
        block_frames = min(blocks.length, frames - number // header.steps * blocks.length)
        num_entries = max(0, channels * block_frames * rows * columns)
        if len(step) > num_entries:
            raise BitstreamError(
                f"a step carries {len(step)} indices for {num_entries} latent entries; the file is damaged"
            )
    return Replay(steering_of(header), header.seed, [torch.from_numpy(step.copy()) for step in kept])


def decode_latents(base: BaseModel, latents: Tensor, size: ClipSize, header: Header) -> Signal:
    """Signal of ``size`` that ``base`` makes of ``latents``; in tiles, and deblocked, where ``header`` says so."""
    with torch.autocast(base.device.type, enabled=False), tiling(base, header.vae_tiling):
        frames = base.decode(latents, size.frames)
    blocks = blocks_of(header)
    if header.deblock and blocks is not None:
        frames = deblock(frames, base.block_frames * blocks.length)
    return Signal(frames, header.fps, "decoded")


def checked_size(header: Header, base: BaseModel) -> ClipSize:
    """Size that the base model generates for ``header``, padding included; checked against the model's rules.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        BitstreamError, BaseModelError: If the file asks for what the base model does not have.
    """
    check_base(header, base)
    if header.context and not base.per_frame_times:
        raise BitstreamError(
            f"the file gives its base model {header.context} latent frames of the past, and {base.name} "
            f"{base.revision} takes none; the file is damaged"
        )
    if header.deblock and base.block_frames == 1:
        raise BitstreamError(f"the file deblocks, and {base.name} decodes no blocks of frames; the file is damaged")
    size = generated_size(header)
    base.check_size(size)
    return size


def latent_frames(base: BaseModel, frames: int) -> int:
    """Latent frames that hold the first ``frames`` frames of a clip."""
    factor = base.temporal_factor
    return base.latent_shape(ClipSize(1 - (1 - frames) // factor * factor, *base.size_multiple))[1]


def generated_size(header: Header) -> ClipSize:
    """Size of the clip with its padding."""
    return ClipSize(
        header.frames + header.pad_frames, header.height + header.pad_height, header.width + header.pad_width
    )


@contextmanager
def tiling(base: BaseModel, enabled: bool) -> Iterator[None]:
    """Within the block ``base`` decodes in tiles, or at once, as the file's encoder did."""
    before = base.vae_tiling
    base.use_vae_tiling(enabled)
    try:
        yield
    finally:
        base.use_vae_tiling(before)


@contextmanager
def adapted(base: BaseModel, file: VovFile, weight: float = 1.0) -> Iterator[HashedLoRA | None]:
    """Within the block ``base`` is the model that generates the file's clip; nothing changes where k = 0.

    Args:
        base: The model that the file was fitted on.
        file: What holds the vector.
        weight: Factor of its low-rank updates. Blocks of several files nest, and their updates add up.

    Yields:
        The adapter, which can be paused; nothing where there is none.
    """
    if not file.header.k:
        yield None
        return
    adapter, vector = adapter_of(file, base)
    if base.dtype == torch.float32:
        with adapter.merged(vector, weight):
            yield adapter
        return
    # Merged, updates below half a step of a 16-bit weight would be lost; the fit had them.
    adapter.attach(vector, weight)
    try:
        yield adapter
    finally:
        adapter.detach()


def adapter_of(file: VovFile, base: BaseModel) -> tuple[HashedLoRA, Tensor]:
    """Adapter over the layers of ``base`` that ``file`` names, and the vector [k] that drives it; for k above 0.

    Raises:
        BitstreamError, BaseModelError: If the file's vector does not fit the base model.
    """
    header = file.header
    dictionary = dictionary_of(header, base)
    layers = base.adapted_layers(base.mask_to_targets(header.targets) if dictionary is None else base.default_targets)
    try:
        adapter = HashedLoRA(layers, header.rank, header.k, header.hash_seed, header.hash_scheme, dictionary)
    except SettingError as error:
        raise BitstreamError(f"the file is damaged, its vector does not fit the base model: {error}") from None
    return adapter, dequantize(torch.tensor(file.symbols, device=base.device), header.step)


def dictionary_of(header: Header, base: BaseModel) -> Dictionary | None:
    """The dictionary of ``base`` that drives the file's vector; None under a hash.

    Raises:
        BaseModelMismatchError: If ``base`` has none, or another one.
    """
    if header.hash_scheme != "dictionary":
        return None
    found = base.dictionary
    if found is None or found.digest != header.hash_seed:
        loaded = "none" if found is None else str(found.digest)
        raise BaseModelMismatchError(
            f"the file's vector is of dictionary {header.hash_seed} of {base.name} {base.revision}, and loaded is "
            f"{loaded}; install the vov_lightning version that carries it"
        )
    return found


def rank_of(header: Header, base: BaseModel) -> int:
    """Rank of the updates that the file's vector drives."""
    dictionary = dictionary_of(header, base)
    return header.rank if dictionary is None else dictionary.rank


def windows_of(header: Header) -> Windows | None:
    """Windows in which the file's latents are evaluated; None for all at once.

    Raises:
        BitstreamError: If the header's numbers describe no windows.
    """
    if not header.window:
        return None
    try:
        return Windows(*header.window)
    except SettingError as error:
        raise BitstreamError(f"the file is damaged, its windows are none: {error}") from None


def blocks_of(header: Header) -> Blocks | None:
    """How the file's latents are sampled, one block after the other; None for all at once."""
    return Blocks(header.window[0] - header.context, header.context) if header.context else None


def velocity_field(
    base: BaseModel, caption: str, sampler: SamplerConfig, windows: Windows | None = None, context: int = 0
) -> Velocity:
    """The base model's velocity under ``caption``: guided, in the sampler's arithmetic, blended from ``windows``.

    ``context`` latent frames of a window are given.
    """
    guided = guided_velocity(base, caption, sampler.guidance)
    if windows is not None:
        base.check_windows(windows)
        guided = windowed(guided, windows, context)
    sixteen_bits = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(sampler.compute_dtype)

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        # Without a cache of cast weights: an adapter that is paused changes them.
        with torch.autocast(x_t.device.type, dtype=sixteen_bits, enabled=bool(sixteen_bits), cache_enabled=False):
            return guided(x_t, t).float()

    return velocity


def guided_velocity(base: BaseModel, caption: str, guidance: float) -> Velocity:
    """The base model's velocity under ``caption`` with classifier-free guidance; 1 is none."""
    if guidance == 1:
        return base.velocity(caption)
    return guide(base.velocity(caption), base.velocity(""), guidance)


def place(base: BaseModel, file: VovFile, device: torch.device | str, prompts: Iterable[str] = ()) -> BaseModel:
    """``base`` on ``device``; what conditions it is embedded first: text encoder and model need not share a GPU.

    Args:
        base: The model that ``file`` was fitted on.
        file: What is to be decoded.
        device: Where the model is to run.
        prompts: Texts beside the file's own caption.

    Raises:
        SettingError: If there is no such device.
        BaseModelError: If it is a GPU that has no room for the model.
    """
    check_device(device)
    base.text_device = torch.device(device)
    for caption in (file.caption, *([] if file.header.guidance == 1 else [""]), *prompts):
        base.embed(caption)
    check_gpu_memory(base, device, base.name)
    return base.to(device)


def check_base(header: Header, base: BaseModel) -> None:
    """Refuse to decode with another model than the file was fitted on.

    Raises:
        BaseModelMismatchError: If name or fingerprint differ.
    """
    wanted = f"{header.base_name}@{header.base_revision} ({header.base_fingerprint.hex()})"
    loaded = f"{base.name}@{base.revision} ({base.fingerprint()[: len(header.base_fingerprint)].hex()})"
    if not header.names_model(base.name, base.fingerprint()):
        raise BaseModelMismatchError(
            f"the file was fitted on base model {wanted}, loaded is {loaded}; "
            f"install the vov_lightning version that carries {header.base_name}@{header.base_revision}, "
            "or pass --base with the right weights, for a model of the hub by --base.revision and --base.dtype"
        )
