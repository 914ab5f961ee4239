"""Processes share the tokens of a draw: which models can, and the gradients of two groups of two processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from vov_lightning.bases import ClipSize, class_of
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.parallel import check_shares
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.errors import SettingError
from vov_lightning.vector.adapter import HashedLoRA

PROCESSES, DEGREE = 4, 2


def small(base: HubModel) -> tuple[int, ...]:
    rows, columns = base.size_multiple
    return base.latent_shape(base.nearest_size(ClipSize(9, 2 * rows, 2 * columns)))


def velocity_and_gradient(base: HubModel) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_t, vector = torch.randn(2, *small(base), generator=generator), torch.randn(100, generator=generator)
    adapter = HashedLoRA(base.adapted_layers(base.target_kinds), 1, 100, seed=0)
    adapter.attach(vector.requires_grad_())
    u = base.velocity("a")(x_t, torch.tensor([0.4, 0.7]))
    (gradient,) = torch.autograd.grad(u.square().sum(), vector)
    adapter.detach()
    return u.detach(), gradient


def share_one_draw(rank: int, meeting: str) -> None:
    """Of each process."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    for model in (Wan13B, Wan22TI2V5B, QwenImage):
        torch.manual_seed(rank // DEGREE)  # the groups differ
        base = model.untrained()
        u, gradient = velocity_and_gradient(base)
        base.context_parallel = DEGREE
        base.prepare_fit(small(base), 1)
        shared: Any = base.shared_tokens
        for keeping in ("none", "attention", "all"):
            base.use_checkpointing(keeping)
            shared.begin()
            found, part = velocity_and_gradient(base)
            shared.end()
            torch.testing.assert_close(found, u, rtol=1e-4, atol=1e-5)
            assert (part - gradient).norm() > 0.1 * gradient.norm()  # that of a process's own tokens alone
            distributed.all_reduce(part, group=shared.config.context_parallel_config._ulysses_mesh.get_group())
            assert (part - gradient).norm() < 1e-5 * gradient.norm()
            alone = velocity_and_gradient(base)
            assert torch.equal(alone[0], u)
            assert torch.equal(alone[1], gradient)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_the_tokens_of_a_draw_and_the_sum_of_their_gradients_is_its_gradient(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "meeting")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["ltx-video", "flux2-klein-base-4b", "z-image", "hunyuan-video-1.5"])
def test_a_model_that_cannot_share_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=rf"context_parallel=2 does not suit base model {name},.*Wan model"):
        class_of(name).stand_in(context_parallel=2)
    with pytest.raises(SettingError, match=rf"context_parallel=2 does not suit base model {name},.*Wan model"):
        class_of(name)(context_parallel=2)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"context_parallel": 0}, "context_parallel=0 is below 1; use 1"),
        ({"context_parallel": 2, "compile": True}, "context_parallel=2 does not work with compile=true; leave one"),
    ],
)
def test_settings_that_no_model_takes_are_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingError, match=error):
        Wan13B(**settings)


@pytest.mark.parametrize(
    ("processes", "heads", "tokens", "captions", "error"),
    [
        (1, 12, 24, {}, "does not divide 1, the number of processes; use --trainer.strategy ddp and --trainer"),
        (2, 3, 24, {}, "does not divide 3, the number of heads of the base model's attention; use a divisor"),
        (2, 12, 15, {}, "does not divide 15, the number of tokens of the clip; use another --data.height"),
        (2, 12, 24, {"a": 8, "b c": 7}, "does not divide 7, the number of tokens of the caption 'b c'; change it"),
    ],
)
def test_unequal_shares_are_refused(
    monkeypatch: pytest.MonkeyPatch, processes: int, heads: int, tokens: int, captions: dict[str, int], error: str
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: processes)
    with pytest.raises(SettingError, match=f"context_parallel=2 {error}"):
        check_shares(2, heads, tokens, captions)


def test_a_fit_of_one_process_has_nobody_to_share_with() -> None:
    base = Wan13B.untrained()
    base.context_parallel = 2
    with pytest.raises(SettingError, match="does not divide 1, the number of processes"):
        base.prepare_fit(small(base), 1)


if __name__ == "__main__":
    multiprocessing.spawn(share_one_draw, (sys.argv[1],), nprocs=PROCESSES)
