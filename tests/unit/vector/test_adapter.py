"""The vector on a model: which entry goes where, and that gradients and restored weights are right."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from support import random_tensor
from torch import Tensor, nn

from vov_lightning.bases.nano.model import Nano
from vov_lightning.vector.adapter import DEFAULT_K, HashedLoRA

pytestmark = pytest.mark.usefixtures("one_thread")

K = 40


@pytest.fixture
def mlp() -> nn.Sequential:
    """Four layers, no two of one shape."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(6, 8),
            nn.SiLU(),
            nn.Linear(8, 5, bias=False),
            nn.SiLU(),
            nn.Linear(5, 7),
            nn.SiLU(),
            nn.Linear(7, 3),
        ).requires_grad_(False)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def hand_built_weights(layers: dict[str, nn.Linear], theta: list[float], rank: int) -> dict[str, Tensor]:
    """``W + B A`` entry by entry, reading ``theta`` once from front to back: A's rows, then B's rows."""
    stream = iter(theta)
    weights = {}
    for name, layer in layers.items():
        a = [[next(stream) for _ in range(layer.in_features)] for _ in range(rank)]
        b = [[next(stream) for _ in range(rank)] for _ in range(layer.out_features)]
        update = [
            [sum(b[o][r] * a[r][i] for r in range(rank)) for i in range(layer.in_features)]
            for o in range(layer.out_features)
        ]
        weights[name] = layer.weight + torch.tensor(update)
    assert next(stream, None) is None
    return weights


def weights_of(layers: dict[str, nn.Linear]) -> dict[str, Tensor]:
    return {name: layer.weight.detach().clone() for name, layer in layers.items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name in found:
        assert torch.equal(found[name], expected[name]), name


class TestMLP:
    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_entries_fill_a_then_b_row_by_row_layer_by_layer(self, mlp: nn.Sequential, rank: int) -> None:
        layers = linear_layers(mlp)
        adapter = HashedLoRA(layers, rank, K, seed=0)
        assert adapter.sizes == [rank * (6 + 8), rank * (8 + 5), rank * (5 + 7), rank * (7 + 3)]
        assert adapter.num_entries == rank * 49
        vector = random_tensor(K)
        expected = hand_built_weights(layers, adapter.projection(vector).tolist(), rank)
        with adapter.merged(vector):
            for name, layer in layers.items():
                torch.testing.assert_close(layer.weight.data, expected[name], rtol=1e-5, atol=1e-6)

    def test_attached_equals_merged(self, mlp: nn.Sequential) -> None:
        adapter = HashedLoRA(linear_layers(mlp), 2, K, seed=0)
        x, vector = random_tensor(10, 6), random_tensor(K)
        plain = mlp(x)
        with adapter.merged(vector):
            merged = mlp(x)
        adapter.attach(vector)
        attached = mlp(x)
        torch.testing.assert_close(attached, merged, rtol=1e-5, atol=1e-6)
        assert float((attached - plain).abs().max()) > 0.01

    def test_attaching_again_replaces(self, mlp: nn.Sequential) -> None:
        adapter = HashedLoRA(linear_layers(mlp), 2, K, seed=0)
        x, first, second = random_tensor(10, 6), random_tensor(K, seed=1), random_tensor(K, seed=2)
        adapter.attach(second)
        expected = mlp(x)
        adapter.attach(first)
        assert not torch.equal(mlp(x), expected)
        adapter.attach(second)
        assert torch.equal(mlp(x), expected)

    def test_detaching_restores_the_model(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        adapter, x, before = HashedLoRA(layers, 2, K, seed=0), random_tensor(10, 6), weights_of(layers)
        plain = mlp(x)
        adapter.attach(random_tensor(K))
        mlp(x)
        adapter.detach()
        assert torch.equal(mlp(x), plain)
        assert_equal(weights_of(layers), before)

    def test_leaving_merged_restores_the_weights(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        adapter, x, before = HashedLoRA(layers, 2, K, seed=0), random_tensor(10, 6), weights_of(layers)
        plain = mlp(x)
        with adapter.merged(random_tensor(K)):
            assert not torch.equal(layers["0"].weight, before["0"])
        assert_equal(weights_of(layers), before)
        assert torch.equal(mlp(x), plain)

    def test_an_error_inside_merged_restores_the_weights(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        adapter, before = HashedLoRA(layers, 2, K, seed=0), weights_of(layers)

        def fail() -> None:
            with adapter.merged(random_tensor(K)):
                raise RuntimeError("sampling failed")

        with pytest.raises(RuntimeError, match="sampling failed"):
            fail()
        assert_equal(weights_of(layers), before)

    def test_merging_into_bfloat16_sums_in_float32(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp.bfloat16())
        adapter, vector = HashedLoRA(layers, 2, K, seed=0), random_tensor(K)
        before = weights_of(layers)
        theta = adapter.projection(vector).tolist()
        expected = {
            name: weight.bfloat16() for name, weight in hand_built_weights(linear_layers(mlp.float()), theta, 2).items()
        }
        mlp.bfloat16()
        with adapter.merged(vector):
            for name, layer in layers.items():
                assert layer.weight.dtype == torch.bfloat16
                # One rounding of the sum; a last float32 bit may fall on the other side of it.
                torch.testing.assert_close(layer.weight.data, expected[name], rtol=2**-8, atol=0)
                assert float((layer.weight.data == expected[name]).double().mean()) > 0.95
        assert_equal(weights_of(layers), before)

    def test_gradient_equals_finite_differences(self, mlp: nn.Sequential) -> None:
        mlp.double()
        adapter, x = HashedLoRA(linear_layers(mlp), 2, K, seed=0), random_tensor(4, 6, dtype=torch.float64)

        def adapted(vector: Tensor) -> Tensor:
            adapter.attach(vector)
            return mlp(x)

        vector = random_tensor(K, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(adapted, vector)
        adapted(vector).sum().backward()
        assert vector.grad is not None
        assert int(torch.count_nonzero(vector.grad)) == K
        assert all(parameter.grad is None for parameter in mlp.parameters())

    def test_equals_peft_at_alpha_equal_to_rank(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        adapter, x, vector = HashedLoRA(layers, 2, K, seed=0), random_tensor(10, 6), random_tensor(K)
        matrices = adapter.matrices(vector)
        adapter.attach(vector)
        ours = mlp(x)
        adapter.detach()
        load_into_peft(mlp, 2, matrices)
        torch.testing.assert_close(ours, mlp(x), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("rank", [0, -1])
    def test_ranks_below_one_are_refused(self, mlp: nn.Sequential, rank: int) -> None:
        with pytest.raises(ValueError, match=f"rank={rank} is below 1"):
            HashedLoRA(linear_layers(mlp), rank, K, seed=0)

    def test_vectors_longer_than_the_adapter_are_refused(self, mlp: nn.Sequential) -> None:
        assert HashedLoRA(linear_layers(mlp), 1, 49, seed=0).num_entries == 49
        with pytest.raises(ValueError, match="k=50 is not within 1 and D=49"):
            HashedLoRA(linear_layers(mlp), 1, 50, seed=0)

    def test_without_a_length_each_scheme_has_its_own(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        assert HashedLoRA(layers, 100, None, seed=0).projection.k == DEFAULT_K
        assert HashedLoRA(layers, 3, None, seed=0, scheme="lora").projection.k == 3 * 49
        with pytest.raises(ValueError, match="k=4096 is not within 1 and D=49"):
            HashedLoRA(layers, 1, None, seed=0)

    def test_plain_lora_gives_every_layer_its_own_stretch_of_the_vector(self, mlp: nn.Sequential) -> None:
        layers = linear_layers(mlp)
        vector = random_tensor(2 * 49)
        expected = hand_built_weights(layers, vector.tolist(), rank=2)
        with HashedLoRA(layers, 2, None, seed=0, scheme="lora").merged(vector):
            for name, layer in layers.items():
                torch.testing.assert_close(layer.weight.data, expected[name], rtol=1e-5, atol=1e-6)


def load_into_peft(model: nn.Module, rank: int, matrices: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Wrap the layers of ``matrices`` in peft's LoRA layers, which compute ``W x + (alpha / rank) B A x``."""
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(matrices))
    inject_adapter_in_model(config, model)
    for name, (lora_a, lora_b) in matrices.items():
        layer: Any = model.get_submodule(name)
        layer.lora_A["default"].weight.data = lora_a.detach().clone()
        layer.lora_B["default"].weight.data = lora_b.detach().clone()


class TestNano:
    """The same on a Wan: shared code, but reached through blocks, checkpointing and a caption."""

    K = 500
    NAMES = tuple(f"{block}.attn1.{kind}" for block in (0, 1) for kind in ("to_q", "to_k", "to_v", "to_out.0"))

    @pytest.fixture
    def adapter(self, tiny_nano: Nano) -> HashedLoRA:
        return HashedLoRA(tiny_nano.adapted_layers(tiny_nano.target_kinds[:4]), 2, self.K, seed=3)

    @pytest.fixture
    def predict(self, tiny_nano: Nano) -> Callable[[], Tensor]:
        x_t, t = random_tensor(2, 16, 2, 2, 3), torch.tensor([0.3, 0.9])
        return lambda: tiny_nano.velocity("red, moving left")(x_t, t)

    def test_entries_go_block_by_block_query_key_value_output(self, tiny_nano: Nano, adapter: HashedLoRA) -> None:
        transformer: Any = tiny_nano.transformer
        layers = {name: transformer.blocks.get_submodule(name) for name in self.NAMES}
        assert adapter.num_entries == 8 * 2 * (64 + 64)
        vector = 0.1 * random_tensor(self.K)
        expected = hand_built_weights(layers, adapter.projection(vector).tolist(), rank=2)
        before = tiny_nano.state_dict()
        before = {name: tensor.clone() for name, tensor in before.items()}
        with adapter.merged(vector):
            for name in self.NAMES:
                torch.testing.assert_close(layers[name].weight.data, expected[name], rtol=1e-5, atol=1e-7)
            changed = {name for name, tensor in tiny_nano.state_dict().items() if not torch.equal(tensor, before[name])}
        assert changed == {f"_transformer.blocks.{name}.weight" for name in self.NAMES}
        assert_equal(tiny_nano.state_dict(), before)

    def test_attached_equals_merged(self, adapter: HashedLoRA, predict: Callable[[], Tensor]) -> None:
        plain, vector = predict(), random_tensor(self.K)
        with adapter.merged(vector):
            merged = predict()
        adapter.attach(vector)
        attached = predict()
        adapter.detach()
        torch.testing.assert_close(attached, merged, rtol=1e-5, atol=1e-5)
        assert float((attached - plain).abs().max()) > 1e-3
        assert torch.equal(predict(), plain)

    def test_equals_peft(self, tiny_nano: Nano, adapter: HashedLoRA, predict: Callable[[], Tensor]) -> None:
        vector = random_tensor(self.K)
        adapter.attach(vector)
        ours = predict()
        adapter.detach()
        load_into_peft(tiny_nano.transformer.get_submodule("blocks"), 2, adapter.matrices(vector))
        torch.testing.assert_close(ours, predict(), rtol=1e-5, atol=1e-5)

    def test_gradient_equals_finite_differences(self, adapter: HashedLoRA, predict: Callable[[], Tensor]) -> None:
        target = random_tensor(2, 16, 2, 2, 3, seed=5)

        def loss(vector: Tensor) -> Tensor:
            adapter.attach(vector)
            return (predict() - target).double().square().sum()

        vector = random_tensor(self.K).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(vector), vector)
        direction = gradient / gradient.norm()
        with torch.no_grad():
            difference = (loss(vector + 0.02 * direction) - loss(vector - 0.02 * direction)) / 0.04
        # float32 network: rounding and curvature at this distance leave about 1e-3.
        torch.testing.assert_close(difference.float(), gradient.norm(), rtol=1e-2, atol=0)

    def test_gradient_survives_activation_checkpointing(
        self, tiny_nano: Nano, adapter: HashedLoRA, predict: Callable[[], Tensor]
    ) -> None:
        """Checkpointing calls the layers again during ``backward``: they must still be the adapted ones there."""
        calls: list[int] = []
        transformer: Any = tiny_nano.transformer
        transformer.blocks[0].ffn.register_forward_hook(lambda *_: calls.append(1))

        def gradient() -> tuple[Tensor, int]:
            calls.clear()
            vector = random_tensor(self.K).requires_grad_()
            adapter.attach(vector)
            predict().square().sum().backward()
            assert vector.grad is not None
            return vector.grad, len(calls)

        transformer.train()
        plain, plain_calls = gradient()
        transformer.enable_gradient_checkpointing()
        checkpointed, checkpointed_calls = gradient()
        assert (plain_calls, checkpointed_calls) == (1, 2)
        assert float(plain.norm()) > 1e-3
        torch.testing.assert_close(checkpointed, plain, rtol=1e-5, atol=1e-8)
