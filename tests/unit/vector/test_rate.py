"""The learned rate: CompressAI's density, used without CompressAI's own noise and rounding."""

import pytest
import torch
from compressai.entropy_models import EntropyBottleneck
from support import gradient_of
from torch import Tensor

from vov_lightning.vector.rate import FactorizedRate


@pytest.fixture
def symbols() -> Tensor:
    """2000 symbols of a Laplacian with a standard deviation of 3 steps."""
    uniform = torch.rand(2000, generator=torch.Generator().manual_seed(0)) - 0.5
    return (-(3 / 2**0.5) * uniform.sign() * torch.log1p(-2 * uniform.abs())).round()


@pytest.fixture
def rate() -> FactorizedRate:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FactorizedRate(init_scale=5.0)


def empirical_entropy_bits(symbols: Tensor) -> float:
    _, counts = symbols.unique(return_counts=True)
    return float((counts * (len(symbols) / counts.double()).log2()).sum())


def test_bits_equal_compressai_in_evaluation_mode(rate: FactorizedRate, symbols: Tensor) -> None:
    for parameter in rate.parameters():
        if parameter.requires_grad:  # away from the symmetric start
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    reference = EntropyBottleneck(1, init_scale=5.0)
    reference.load_state_dict(rate.state_dict())
    values, likelihoods = reference.eval()(symbols.view(1, 1, -1))
    assert torch.equal(values.flatten(), symbols)
    torch.testing.assert_close(rate.bits(symbols), -likelihoods.log2().sum(), rtol=1e-6, atol=0)


def test_bits_depend_neither_on_the_mode_nor_on_chance(rate: FactorizedRate, symbols: Tensor) -> None:
    first = rate.train().bits(symbols)
    assert first.shape == ()
    assert torch.equal(rate.bits(symbols), first)
    assert torch.equal(rate.eval().bits(symbols), first)
    assert not torch.equal(rate.bits(symbols + 0.25), first)  # values between integers are not rounded away


def test_gradient_reaches_values_and_density_but_not_the_quantiles(rate: FactorizedRate, symbols: Tensor) -> None:
    values = symbols.clone().requires_grad_()
    rate.bits(values).backward()
    assert float(gradient_of(values).abs().max()) > 0
    for name, parameter in rate.named_parameters():
        if name == "quantiles":
            assert not parameter.requires_grad
            assert parameter.grad is None
        else:
            assert parameter.grad is not None
            assert name.startswith("factors") or float(parameter.grad.abs().max()) > 0


@pytest.mark.usefixtures("one_thread")
def test_training_approaches_the_empirical_entropy(rate: FactorizedRate, symbols: Tensor) -> None:
    entropy = empirical_entropy_bits(symbols)
    optimizer = torch.optim.Adam([p for p in rate.parameters() if p.requires_grad], lr=0.02)
    assert rate.bits(symbols).item() > 1.03 * entropy
    for _ in range(300):
        optimizer.zero_grad()
        rate.bits(symbols).div(len(symbols)).backward()
        optimizer.step()
    # From above: no density spends fewer bits on these symbols than their own frequencies do.
    assert entropy <= rate.bits(symbols).item() < 1.03 * entropy
