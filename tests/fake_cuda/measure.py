"""Runs a base model of the hub at its real size on a pretended CUDA device, and prints what each part costs as JSON.

    python tests/fake_cuda/measure.py wan2.1-t2v-1.3b draw-attention step decode
    python tests/fake_cuda/measure.py wan2.2-ti2v-5b@81x480x832 step    # frames, height and width, not the default size

In a process of its own: it patches what PyTorch asks of a driver.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from backward import backward
from recorder import Recorder
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from vov_lightning.bases import ClipSize, base_class
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.running import KEEPING
from vov_lightning.codec.decode import velocity_field
from vov_lightning.fitting.objectives import Target, flow_losses
from vov_lightning.sampling import steering
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import integrate
from vov_lightning.sampling.steering import Replay, Search, Steering
from vov_lightning.vector.adapter import HashedLoRA

K, RANK = 131072, 1
SAMPLER = SamplerConfig(compute_dtype="weights")
INDICES, INDEX_BITS = 4, 8


def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **options: Any):
    """What PyTorch calls on an H100: flash attention for 16 bits without a mask, else the memory-efficient one."""
    aten = torch.ops.aten
    if attn_mask is None and query.dtype != torch.float32:
        return aten._scaled_dot_product_flash_attention(query, key, value)[0]
    if attn_mask is not None:
        attn_mask = attn_mask.to(query.dtype).expand(*query.shape[:-1], key.shape[-2])
    return aten._scaled_dot_product_efficient_attention(query, key, value, attn_mask, True)[0]


def apply(module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`torch.nn.Module._apply` with new parameters, as pretended ones cannot change their device."""
    for child in module.children():
        child._apply(function)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(function(parameter), requires_grad=parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


class Measured:
    """A model, a clip of ``size`` and a vector on the pretended device."""

    def __init__(self, family: type[HubModel], size: ClipSize) -> None:
        with torch.device("cuda"):
            self.base = family.untrained(family.sizes, torch.bfloat16)
        self.base.vae.cpu()
        self.size = size
        self.shape = (1, *self.base.latent_shape(self.size))
        self.adapter = HashedLoRA(self.base.adapted_layers(self.base.default_targets), RANK, K, 0)
        self.adapter.projection.to("cuda")

    def latents(self) -> Tensor:
        return torch.empty(self.shape, device="cuda")

    def draw(self, keeping: Any) -> None:
        self.base.use_checkpointing(keeping)
        latents, velocity = self.latents(), self.base.velocity("a")
        target = Target(latents, torch.ones(1, device="cuda"), latents, [1.0, 0.0], velocity, velocity)
        vector = torch.empty(K, device="cuda", requires_grad=True)
        self.adapter.attach(vector)
        window = torch.zeros(1, dtype=torch.long)
        losses = [flow_losses(target, torch.rand(1), torch.randn(self.shape), window, torch.Generator()).mean()]
        assert backward(losses)[vector].shape == (K,)
        self.adapter.detach()

    @torch.no_grad()
    def step(self) -> None:
        self.adapter.attach(torch.empty(K, device="cuda"))
        integrate(velocity_field(self.base, "a", SAMPLER), self.latents(), [1.0, 0.96])
        self.adapter.detach()

    def steered(self, steering: Steering) -> None:
        """A step but for its network, which `step` measures."""
        integrate(lambda x_t, t: torch.zeros_like(x_t), self.latents(), [1.0, 0.96], steering=steering)

    def search(self) -> None:
        config = ScalingConfig(bits=INDICES * INDEX_BITS, index_bits=INDEX_BITS, allocation="even")
        with mock.patch.object(steering, "divergence_bits", return_value=1.0):  # a number that is not there
            self.steered(Search(config, self.latents(), 0, [1.0, 0.96, 0.0]))

    def replay(self) -> None:
        config = ScalingConfig(bits=INDICES * INDEX_BITS, index_bits=INDEX_BITS)
        indices = [torch.zeros(INDICES, dtype=torch.int64)]
        self.steered(Replay(config, 0, indices))

    def encode(self, tiled: bool = False) -> None:
        self.base.use_vae_tiling(tiled)
        frames = torch.zeros(self.size.frames, 3, self.size.height, self.size.width, dtype=torch.uint8)
        assert self.base.encode(frames).shape == self.shape

    def decode(self, tiled: bool = False) -> None:
        self.base.use_vae_tiling(tiled)
        frames = self.base.decode(self.latents(), self.size.frames)
        assert frames.shape == (self.size.frames, 3, self.size.height, self.size.width)


@contextmanager
def pretended_cuda() -> Iterator[None]:
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(nn.Module, "_apply", apply),
        mock.patch.object(F, "scaled_dot_product_attention", attention),
    ):
        yield


def measure(base: str, parts: list[str]) -> dict[str, Any]:
    """Figures of each of ``parts`` of base model ``base``, ``NAME`` or ``NAME@FRAMESxHEIGHTxWIDTH``."""
    name, _, size = base.partition("@")
    family: Any = base_class(name)
    found = {}
    with pretended_cuda():
        model = Measured(family, ClipSize(*map(int, size.split("x"))) if size else family.default_size)
        calls: dict[str, Callable[[], None]] = {
            **{f"draw-{keeping}": partial(model.draw, keeping) for keeping in KEEPING},
            **{name: getattr(model, name) for name in ("step", "search", "replay", "encode", "decode")},
            "encode-tiled": partial(model.encode, tiled=True),
            "decode-tiled": partial(model.decode, tiled=True),
        }
        for part in parts:
            recorder = Recorder(model.base)
            with recorder:
                calls[part]()
            found[part] = {
                "attention": dict(recorder.attention),
                "two_devices": sorted(recorder.mixed),
                "tflop": recorder.flops / 1e12,
                "peak_gb": recorder.peak_bytes / 1e9,
                "elementwise_gb": recorder.elementwise_bytes / 1e9,
            }
            assert not any(parameter.is_cuda for parameter in model.base.vae.parameters())
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    print(json.dumps(measure(sys.argv[1], sys.argv[2:]), indent=1))
