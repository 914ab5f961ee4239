"""What every base model promises, tried on one: ``vov-info --check my_package.MyBase``."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vov_lightning.bases.base import BaseModel, ClipSize
from vov_lightning.vector.adapter import HashedLoRA

VECTOR_LENGTH = 64
TOLERANCE = 1e-3
"""Absolute and relative, of velocities that two orders of arithmetic find, in float32."""


@dataclass(frozen=True)
class Finding:
    """One promise, and what is wrong with it; nothing where it is kept."""

    promise: str
    problem: str = ""


def check_contract(base: BaseModel) -> list[Finding]:
    """What ``base`` keeps of the contract, on its smallest clip; quick where it is a `BaseModel.stand_in`."""
    findings = []
    for check in CHECKS:
        try:
            problem = check(base) or ""
        except Exception as error:  # whatever a stranger's class raises is the finding
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        findings.append(Finding(str(check.__doc__), problem))
    return findings


def clip_size(base: BaseModel) -> ClipSize:
    """The smallest clip with more than one frame and token, where the model takes one."""
    frames = 1 if base.max_frames == 1 else 1 + max(base.temporal_factor, 1)
    return ClipSize(frames, *(2 * multiple for multiple in base.size_multiple))


def frames_of(base: BaseModel) -> Tensor:
    size = clip_size(base)
    shape = (size.frames, 3, size.height, size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def inputs_of(base: BaseModel, batch: int = 2) -> tuple[Tensor, Tensor]:
    shape = base.latent_shape(clip_size(base))
    x_t = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1)).to(base.device)
    return x_t, torch.linspace(0.3, 0.9, batch, device=base.device)


def adapter_of(base: BaseModel) -> tuple[HashedLoRA, Tensor]:
    adapter = HashedLoRA(base.adapted_layers(base.default_targets), 1, VECTOR_LENGTH, seed=0)
    vector = torch.randn(VECTOR_LENGTH, generator=torch.Generator().manual_seed(2)).to(base.device)
    return adapter, vector


def names_and_sizes(base: BaseModel) -> str | None:
    """The name is text of a file's header, and the default size is one that the model takes."""
    if not (base.name and base.name.isascii() and len(base.name) <= 255):
        return f"name={base.name!r} is not 1 to 255 ASCII characters"
    base.check_size(clip_size(base))
    base.check_size(base.default_size)
    return None


def frozen(base: BaseModel) -> str | None:
    """No parameter asks for a gradient, and the model is in evaluation mode."""
    asking = [name for name, parameter in base.named_parameters() if parameter.requires_grad]
    if asking:
        return f"{asking[0]} has requires_grad=True; call self.eval().requires_grad_(False)"
    return "training mode; call self.eval().requires_grad_(False)" if base.transformer.training else None


def encodes(base: BaseModel) -> str | None:
    """encode gives [1, *latent_shape] float32, the same every time."""
    frames = frames_of(base)
    first, second = base.encode(frames), base.encode(frames)
    wanted = (1, *base.latent_shape(clip_size(base)))
    if tuple(first.shape) != wanted or first.dtype != torch.float32:
        return f"{tuple(first.shape)} {first.dtype}, wanted {wanted} torch.float32"
    if not torch.equal(first, second):
        return "two calls differ; take the posterior's mean, not a sample"
    return None if first.isfinite().all() else "not all finite"


def decodes(base: BaseModel) -> str | None:
    """decode gives the frames of its size as uint8 on the CPU, the same every time."""
    frames = frames_of(base)
    latents = base.encode(frames)
    first, second = (base.decode(latents, len(frames)) for _ in range(2))
    if first.shape != frames.shape or first.dtype != torch.uint8 or first.device.type != "cpu":
        return f"{tuple(first.shape)} {first.dtype} on {first.device}, wanted {tuple(frames.shape)} torch.uint8 on cpu"
    return None if torch.equal(first, second) else "two calls differ"


def decodes_in_order(base: BaseModel) -> str | None:
    """With a context, what decode shows does not depend on later latent frames, which may not be sampled yet."""
    if not base.context:
        return None
    shape = base.latent_shape(replace(clip_size(base), frames=base.block_frames + base.temporal_factor))
    latents = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1)).to(base.device)
    first, second = (
        base.decode(torch.cat([latents[:, :, :1], other], 2), 1) for other in (latents[:, :, 1:], -latents[:, :, 1:])
    )
    return (
        None
        if torch.equal(first, second)
        else "the first frame changes with the second latent frame; leave context at 0"
    )


def predicts(base: BaseModel) -> str | None:
    """predict_velocity gives the latents' shape in float32, finite, the same every time."""
    x_t, t = inputs_of(base)
    velocity = base.velocity(base.example_prompts[0])
    first, second = velocity(x_t, t), velocity(x_t, t)
    if first.shape != x_t.shape or first.dtype != torch.float32:
        return f"{tuple(first.shape)} {first.dtype}, wanted {tuple(x_t.shape)} torch.float32"
    if not first.isfinite().all():
        return "not all finite"
    return None if torch.equal(first, second) else "two calls differ"


def treats_samples_alike(base: BaseModel) -> str | None:
    """A sample's velocity does not depend on its batch."""
    x_t, t = inputs_of(base)
    velocity = base.velocity(base.example_prompts[0])
    return _difference(velocity(x_t, t)[1:], velocity(x_t[1:], t[1:]), base)


def hears_captions(base: BaseModel) -> str | None:
    """Captions change the velocity, and the empty caption is one; a model without text returns None for them."""
    if base.embed("") is None:
        return None
    x_t, t = inputs_of(base)
    found = [base.velocity(caption)(x_t, t) for caption in ("", *base.example_prompts[:2])]
    same = torch.equal(found[0], found[1]) or torch.equal(found[1], found[2])
    return "two captions give one velocity" if same else None


def passes_gradients(base: BaseModel) -> str | None:
    """Gradients of the velocity reach the adapter's vector."""
    x_t, t = inputs_of(base, 1)
    adapter, vector = adapter_of(base)
    adapter.attach(vector.requires_grad_())
    try:
        (gradient,) = torch.autograd.grad(base.velocity("")(x_t, t).square().sum(), vector, allow_unused=True)
    finally:
        adapter.detach()
    if gradient is None or not gradient.abs().sum() > 0:
        return "none arrives; predict_velocity must not be under no_grad, nor target_kinds name unused layers"
    return None


def merges(base: BaseModel) -> str | None:
    """A merged vector gives the velocity of an attached one, another than the unadapted model's, which comes back."""
    x_t, t = inputs_of(base, 1)
    adapter, vector = adapter_of(base)
    velocity = base.velocity("")
    plain = velocity(x_t, t)
    adapter.attach(vector)
    attached = velocity(x_t, t)
    adapter.detach()
    with adapter.merged(vector):
        merged = velocity(x_t, t)
    if torch.equal(attached, plain):
        return "the vector changes nothing"
    if not torch.equal(velocity(x_t, t), plain):
        return "the model is another after the vector was taken off"
    return _difference(attached, merged, base)


def knows_its_weights(base: BaseModel) -> str | None:
    """The fingerprint has eight bytes, and differs between two models exactly where their weights do."""
    found = base.fingerprint()
    if not isinstance(found, bytes) or len(found) != 8:
        return f"{found!r} is not eight bytes"
    with torch.random.fork_rng():
        torch.manual_seed(found[0])
        other = type(base).stand_in()
    weights, others = base.state_dict(), other.state_dict()
    same = weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    if same and other.fingerprint() != found:
        return "two models of the same weights have two"
    return "two models of other weights have the same one" if not same and other.fingerprint() == found else None


def _difference(first: Tensor, second: Tensor, base: BaseModel) -> str | None:
    if base.dtype != torch.float32 or torch.allclose(first, second, TOLERANCE, TOLERANCE):
        return None
    return f"they differ by {float((first - second).abs().max()):.2g}"


CHECKS: tuple[Callable[[BaseModel], str | None], ...] = (
    names_and_sizes,
    frozen,
    encodes,
    decodes,
    decodes_in_order,
    predicts,
    treats_samples_alike,
    hears_captions,
    passes_gradients,
    merges,
    knows_its_weights,
)
