"""Ways to run a transformer: the gradient stays, what is kept for it does not."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vov_lightning.bases import ClipSize
from vov_lightning.bases.estimate import Estimate, choose_checkpointing
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.memory import true_float32
from vov_lightning.bases.running import KEEPING, check_backward
from vov_lightning.bases.wan import Wan13B
from vov_lightning.errors import SettingError
from vov_lightning.vector.adapter import HashedLoRA

pytestmark = pytest.mark.usefixtures("one_thread")
K = 200


class Calls(TorchDispatchMode):
    """Counts attention and feed-forward products of the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = self.linear = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        self.attention += "attention" in name and "backward" not in name
        self.linear += name in ("addmm", "mm")
        return func(*args, **(kwargs or {}))


def gradient(base: HubModel, seed: int = 0) -> Tensor:
    adapter = HashedLoRA(base.adapted_layers(base.target_kinds), 2, K, seed=0)
    generator = torch.Generator().manual_seed(seed)
    vector = (0.1 * torch.randn(K, generator=generator)).requires_grad_()
    x_t = torch.randn(1, *base.latent_shape(ClipSize(1, 64, 64)), generator=generator)
    adapter.attach(vector)
    (found,) = torch.autograd.grad(base.velocity("a")(x_t, torch.tensor([0.3])).square().sum(), vector)
    adapter.detach()
    return found


def test_attention_is_kept_and_the_rest_computed_again(base: HubModel) -> None:
    expected, calls = gradient(base), {}
    for keeping in KEEPING:
        base.use_checkpointing(keeping)
        with Calls() as counted:
            assert torch.equal(gradient(base), expected)
        calls[keeping] = counted
    assert calls["attention"].attention == calls["none"].attention < calls["all"].attention
    assert calls["none"].linear < calls["attention"].linear == calls["all"].linear


@pytest.mark.slow
@pytest.mark.parametrize("keeping", KEEPING)
def test_compiled_blocks_see_every_vector(keeping: Any) -> None:
    torch.manual_seed(0)
    base = Wan13B.untrained(dtype=torch.bfloat16)
    expected = [gradient(base, seed) for seed in range(3)]
    torch._dynamo.reset()
    base.compile_blocks(backend="aot_eager")
    base.use_checkpointing(keeping)
    for seed, wanted in enumerate(expected):
        torch.testing.assert_close(gradient(base, seed), wanted, rtol=2e-2, atol=1e-3 * float(wanted.abs().max()))
    torch._dynamo.reset()


def test_native_attention_has_a_backward() -> None:
    check_backward(torch.randn(1, 16, 2, 12), None, "native", "x")


def test_attention_that_cannot_be_fitted_through_is_refused() -> None:
    with pytest.raises(SettingError, match="attention=_native_cudnn of base model x has no backward here"):
        check_backward(torch.randn(1, 16, 2, 12), None, "_native_cudnn", "x")


def test_attention_that_is_not_installed_is_refused(base: HubModel) -> None:
    with pytest.raises(SettingError, match=r"attention=flash of base model .* use --model.base.attention native"):
        base.use_attention("flash")


def test_checkpointing_is_chosen_by_memory() -> None:
    costs = Estimate(1, 1, 1, 1, 1, 1.0, 1.0, 0, activation_bytes=900, attention_bytes=90, block_bytes=9)
    chosen = {free: choose_checkpointing(free, costs, 1) for free in (1000, 999, 100, 99, 10, 1)}
    assert list(chosen.values()) == ["none", "attention", "attention", "all", "all", "all"]
    assert choose_checkpointing(1000, costs, 2) == "attention"


def test_a_cpu_computes_nothing_again(base: HubModel) -> None:
    base.use_checkpointing("all")
    base.prepare_fit(base.latent_shape(ClipSize(1, 64, 64)), 1)
    assert not base.transformer.is_gradient_checkpointing


def test_what_was_asked_for_is_used(base: HubModel) -> None:
    base.checkpointing = "attention"
    base.prepare_fit(base.latent_shape(ClipSize(1, 64, 64)), 1)
    assert base.transformer.is_gradient_checkpointing


def test_the_autoencoder_stays_where_it_is(base: HubModel) -> None:
    base.to("meta")
    assert {parameter.device.type for parameter in base.transformer.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in base.vae.parameters()} == {"cpu"}


def test_true_float32_puts_everything_back() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), true_float32(torch.device("cpu")):
            assert not torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
        assert torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_autoencoder_computes_in_true_float32(base: HubModel) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    base.vae.encoder.register_forward_hook(
        lambda _, __, output: seen.append((torch.backends.cudnn.allow_tf32, output.dtype))
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        base.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert seen == [(False, torch.float32)]


def test_captions_are_embedded_where_the_model_will_be(base: HubModel) -> None:
    assert base._text_device == torch.device("cpu")
    base.text_device = torch.device("cuda", 1)
    assert base._text_device == torch.device("cuda", 1)
