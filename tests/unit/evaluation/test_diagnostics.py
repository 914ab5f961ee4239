"""`diagnose` on whole files: a model whose adapter has a known effect, and the tiny `nano`."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bases.hub import digest
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import sample
from vov_lightning.codec.scale import assemble
from vov_lightning.errors import SettingError
from vov_lightning.evaluation.diagnostics import Diagnostics, Mean, diagnose, undefined_reason
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.vector.quantizer import dequantize
from vov_lightning.video import Fitted, Padding, Signal

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLER = SamplerConfig(steps=5, seed=5)
STEP = 0.25


class LinearBase(BaseModel):
    """Latents are pixels over 128 less 1, and the velocity is a matrix over the three channels."""

    name, size_multiple, temporal_factor, target_kinds, default_targets = "linear", (1, 1), 1, ("mix",), ("mix",)
    default_size = ClipSize(frames=1, height=4, width=4)

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = nn.Module()
        self.network.blocks = nn.ModuleList([nn.Module()])
        self.network.blocks[0].mix = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.network.blocks[0].mix.weight.copy_(0.5 * torch.eye(3))
        self.revision = "1"
        self.eval().requires_grad_(False)

    @property
    def transformer(self) -> nn.Module:
        return self.network

    def fingerprint(self) -> bytes:
        return digest(self.state_dict())

    def latent_shape(self, size: ClipSize) -> tuple[int, ...]:
        return 3, size.frames, size.height, size.width

    def encode(self, frames: Tensor) -> Tensor:
        return frames.transpose(0, 1)[None] / 128 - 1

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return ((latents[0].transpose(0, 1) + 1) * 128).round().clamp(0, 255).byte()

    def embed(self, caption: str) -> None:
        return None

    def predict_velocity(self, x_t: Tensor, t: Tensor, condition: None) -> Tensor:
        return self.network.blocks[0].mix(x_t.movedim(1, -1)).movedim(-1, 1)


def a_source(frames: int = 1, height: int = 4, width: int = 4) -> Fitted:
    pixels = torch.randint(0, 256, (frames, 3, height, width), generator=torch.Generator().manual_seed(0))
    return Fitted(Signal(pixels.byte(), Fraction(25), "noise"), Padding())


def a_file(base: BaseModel, source: Fitted, k: int, scale: int = 6, step: float = STEP) -> VovFile:
    symbols = torch.randint(-scale, scale + 1, (k,), generator=torch.Generator().manual_seed(0))
    return build_file(base, source, "", symbols, step, AdapterConfig(k=k, rank=1), SAMPLER)


@pytest.fixture(scope="module")
def nano_case(tiny_nano_config) -> tuple[VovFile, Nano, Fitted, Diagnostics]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = Nano.untrained(tiny_nano_config)
    source = a_source(5, 16, 24)
    file = a_file(base, source, k=64)
    return file, base, source, diagnose(file, base, source, seeds=[3, 5], num_times=4)


@pytest.mark.parametrize("kernel", ["euler_maruyama", "ancestral"])
def test_first_step_of_an_adapter_of_known_effect(kernel):
    """At t = 1 both models see the noise, and their velocities differ by B A noise."""
    base, source = LinearBase(), a_source()
    file = a_file(base, source, k=6)
    found = diagnose(file, base, source, seeds=[7], kernels=[kernel]).path_kl[kernel]
    layers = base.adapted_layers(("mix",))
    vector = dequantize(torch.tensor(file.symbols), STEP)
    ((lora_a, lora_b),) = HashedLoRA(layers, 1, 6, 0).matrices(vector).values()
    noise = initial_noise(7, (3, 1, 4, 4))
    effect = torch.einsum("ij,bjtyx->bityx", lora_b @ lora_a, noise)
    s = SAMPLER.times()[1].item()
    # Euler-Maruyama moves by (1 - s) u with gamma = 5 sqrt(1 - s), the posterior to (1 - s) x^ with gamma = s.
    gamma = 5 * math.sqrt(1 - s) if kernel == "euler_maruyama" else s
    expected = ((1 - s) * effect / gamma).square().sum().item() / (2 * math.log(2))
    assert expected > 0.01
    assert found.step_bits[0].mean == pytest.approx(expected, rel=1e-4)
    assert found.times == pytest.approx(SAMPLER.times()[:-2].tolist())
    assert found.total_bits.mean == pytest.approx(sum(step.mean for step in found.step_bits))


def test_velocity_error_is_of_the_adapted_and_of_the_base_model():
    base, source = LinearBase(), a_source()
    file = a_file(base, source, k=6)
    found = diagnose(file, base, source, seeds=[7], num_times=1).velocity_error
    clean, noise = base.encode(source.signal.frames), initial_noise(7, (3, 1, 4, 4))
    state = (clean + noise) / 2
    assert found.times == [0.5]
    assert found.base[0].mean == pytest.approx((0.5 * state - (noise - clean)).square().mean().item(), rel=1e-5)
    assert found.adapted[0].mean != pytest.approx(found.base[0].mean, rel=1e-3)


def test_without_a_vector_nothing_moves(nano_case):
    _, base, source, _ = nano_case
    found = diagnose(a_file(base, source, k=0), base, source, seeds=[0, 1], num_times=3)
    for path in found.path_kl.values():
        assert path.total_bits == Mean(0.0, 0.0)
    assert found.velocity_error.adapted == found.velocity_error.base
    assert (found.k, found.vector_bits) == (0, 0)


def test_twice_the_vector_is_sixteen_times_the_divergence(nano_case):
    """The update is B A of one vector, so a small one acts by its square, and its KL by the fourth power."""
    _, base, source, _ = nano_case
    bits = [
        diagnose(a_file(base, source, k=64, step=step), base, source, seeds=[1], kernels=["ancestral"]).path_kl
        for step in (2**-6, 2**-5)
    ]
    small, large = (found["ancestral"].total_bits.mean for found in bits)
    assert large / small == pytest.approx(16, rel=0.1)


def test_the_last_stop_is_the_decoders_end(nano_case):
    file, base, source, found = nano_case
    clean = base.encode(source.signal.frames)
    ends = [sample(replace_seed(file, seed), base) for seed in (3, 5)]
    expected = sum((end - clean).square().mean().item() for end in ends) / 2
    assert found.early_stop.error[-1].mean == pytest.approx(expected, rel=1e-4)


def replace_seed(file: VovFile, seed: int) -> VovFile:
    return replace(file, header=replace(file.header, seed=seed))


def test_early_stop_bounds_the_error(nano_case):
    stop = nano_case[3].early_stop
    assert stop.times == pytest.approx(SAMPLER.times()[:-1].tolist())
    for error, bound in zip(stop.error, stop.bound, strict=True):
        assert error.mean <= bound * (1 + 1e-6)
    for bound, proposition in zip(stop.bound, stop.proposition_bound, strict=True):
        assert bound <= proposition * (1 + 1e-6)
    assert stop.state_term[0].mean == 0
    ideal = [bits.mean for bits in stop.ideal_bits]
    assert ideal[0] == 0
    assert ideal == sorted(ideal)
    assert ideal[-1] > 0


def test_diagnostics_become_json(nano_case):
    file, base, _, found = nano_case
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["base"] == f"{base.name}@{base.revision}"
    assert told["seeds"] == [3, 5]
    assert told["vector_bits"] == 8 * (file.section_bytes()["vector"] + file.section_bytes()["count_table"])
    assert set(told["path_kl"]) == {"euler_maruyama", "ancestral"}
    assert told["path_kl"]["ancestral"]["total_bits"]["mean"] > 0
    assert len(told["velocity_error"]["adapted"]) == 4


def test_means_and_standard_errors():
    assert Mean.of([1.0, 3.0]) == Mean(2.0, 1.0)
    assert Mean.of([2.5]) == Mean(2.5, None)


def test_progress_counts_seeds_twice(nano_case):
    file, base, source, _ = nano_case
    seen = []
    diagnose(file, base, source, seeds=[0, 1], num_times=1, progress=lambda seeds: [seen.append(1) or s for s in seeds])
    assert len(seen) == 4


def test_what_cannot_be_measured_is_refused(nano_case):
    file, base, source, _ = nano_case
    with pytest.raises(SettingError, match=r"the source has \(1, 3, 4, 4\) frames"):
        diagnose(file, base, a_source())
    with pytest.raises(SettingError, match=r"seeds=\[\] and num_times=20 leave nothing to measure"):
        diagnose(file, base, source, seeds=[])


def test_a_kernel_that_diverges_is_refused():
    base, source = LinearBase(), a_source()
    base.network.blocks[0].mix.weight.fill_(1e30)
    with pytest.raises(SettingError, match="euler_maruyama diverges in 5 steps"):
        diagnose(a_file(base, source, k=6), base, source, seeds=[0], kernels=["euler_maruyama"])


def test_velocities_are_those_of_the_decoders_windows(tiny_nano: Nano) -> None:
    source = a_source(9, 64, 96)
    file = a_file(tiny_nano, source, k=0)
    assert file.header.window == (1, 8, 8, 0, 2)
    found = diagnose(file, tiny_nano, source, seeds=[7], num_times=1, kernels=[]).velocity_error
    clean = tiny_nano.encode(source.signal.frames)
    noise = initial_noise(7, tuple(clean.shape[1:]))
    velocity = windowed(tiny_nano.velocity(""), Windows(*file.header.window))
    wanted = (velocity((clean + noise) / 2, torch.tensor([0.5])) - (noise - clean)).square().mean().item()
    assert found.base[0].mean == pytest.approx(wanted, rel=1e-5)


def test_what_is_not_sampled_at_once_has_none(tiny_nano: Nano) -> None:
    file = a_file(tiny_nano, a_source(9, 64, 96), k=0)
    assert undefined_reason(file) is None
    two = assemble(file, [file, file])
    assert undefined_reason(two) == "it has 2 segments, and diagnostics want one"
    with pytest.raises(SettingError, match="it has 2 segments, and diagnostics want one; leave out --diagnostics"):
        diagnose(two, tiny_nano, a_source(18, 64, 96))
