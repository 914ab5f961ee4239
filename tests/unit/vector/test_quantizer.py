"""Vector to symbols and back, and what training sees in place of rounding."""

import pytest
import torch
from support import gradient_of
from torch import Tensor

from vov_lightning.vector.quantizer import (
    SYMBOL_LIMIT,
    NoiseQuantizer,
    Quantizer,
    StraightThroughQuantizer,
    dequantize,
    quantize,
)

QUANTIZERS = [NoiseQuantizer, StraightThroughQuantizer]


@pytest.fixture
def vector() -> Tensor:
    return 0.03 * torch.randn(5000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("step", [0.001, 0.01, 0.37])
def test_round_trip_is_within_half_a_step(vector: Tensor, step: float) -> None:
    symbols = quantize(vector, step)
    assert symbols.dtype == torch.int32
    restored = dequantize(symbols, step)
    assert restored.dtype == torch.float32
    # float32 rounding of v / step and of q * step on top of half a step
    assert float((restored - vector).abs().max()) <= step / 2 + 1e-6 * float(vector.abs().max())
    assert torch.equal(quantize(restored, step), symbols)


def test_dequantized_values_are_one_float32_product() -> None:
    step = 0.012345679
    expected = [float(torch.tensor(q, dtype=torch.float32) * torch.tensor(step)) for q in (-32767, -3, 0, 1, 77)]
    assert dequantize(torch.tensor([-32767, -3, 0, 1, 77]), step).tolist() == expected


def test_symbols_stay_within_what_the_file_holds() -> None:
    assert SYMBOL_LIMIT == 32767
    assert quantize(torch.tensor([-1e9, -32768.0, 32766.6, 1e9]), 1.0).tolist() == [-32767, -32767, 32767, 32767]


def test_quantizing_needs_no_gradient(vector: Tensor) -> None:
    assert not quantize(vector.requires_grad_(), 0.1).requires_grad


@pytest.mark.parametrize("kind", QUANTIZERS)
@pytest.mark.parametrize("steps_per_std", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_initial_step_is_a_fraction_of_the_standard_deviation(
    vector: Tensor, kind: type[Quantizer], steps_per_std: float, scale: float
) -> None:
    quantizer = kind(steps_per_std)
    assert quantizer.step.item() > 0
    quantizer.initialise(scale * vector)
    assert quantizer.step.item() == pytest.approx(scale * float(vector.std()) / steps_per_std, rel=1e-5)


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_constant_vector_still_gets_a_positive_step(kind: type[Quantizer]) -> None:
    quantizer = kind()
    quantizer.initialise(torch.zeros(100))
    assert 0 < quantizer.step.item() < 1e-5


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_step_learns(kind: type[Quantizer]) -> None:
    quantizer = kind()
    quantizer.step.backward()
    # the derivative of softplus is the logistic function
    assert float(gradient_of(quantizer.raw_step)) == pytest.approx(torch.sigmoid(quantizer.raw_step).item(), rel=1e-5)


def relaxed(quantizer: Quantizer, scaled: list[float], uniform: list[float]) -> tuple[list[float], list[float]]:
    """Values of `relax`, and their gradients under an upstream gradient of 1, 2, 3 ..."""
    leaf = torch.tensor(scaled, requires_grad=True)
    values = quantizer.relax(leaf, torch.tensor(uniform))
    (values * torch.arange(1.0, len(scaled) + 1)).sum().backward()
    return values.tolist(), gradient_of(leaf).tolist()


def test_noise_relaxation_adds_the_noise() -> None:
    values, gradient = relaxed(NoiseQuantizer(), [0.25, -1.5, 300.0], [0.5, -0.25, 0.0])
    assert values == [0.75, -1.75, 300.0]
    assert gradient == [1.0, 2.0, 3.0]


def test_straight_through_relaxation_rounds_and_ignores_the_noise() -> None:
    values, gradient = relaxed(StraightThroughQuantizer(), [0.3, -1.6, 127.4, 300.0, -300.0], [0.5] * 5)
    assert values == pytest.approx([0.0, -2.0, 127.0, 128.0, -128.0], abs=1e-5)
    assert gradient == [1.0, 2.0, 3.0, 4.0, 5.0]  # the identity's, also where the value is clamped
