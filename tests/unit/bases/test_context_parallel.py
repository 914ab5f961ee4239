"""Diffusers' context parallelism carries the adapter: what docs/full-size.md says of it, by two processes on a CPU."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ContextParallelConfig
from torch import Tensor, distributed, multiprocessing

from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.wan import Wan13B
from vov_lightning.vector.adapter import HashedLoRA

PROCESSES = 2


def velocity_and_gradient(base: HubModel) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_t, vector = torch.randn(1, 16, 3, 8, 8, generator=generator), torch.randn(100, generator=generator)
    adapter = HashedLoRA(base.adapted_layers(base.default_targets), 1, 100, seed=0)
    adapter.attach(vector.requires_grad_())
    u = base.velocity("a")(x_t, torch.tensor([0.4]))
    (gradient,) = torch.autograd.grad(u.square().sum(), vector)
    adapter.detach()
    return u.detach(), gradient


def share_one_draw(rank: int, meeting: str) -> None:
    """Of each process."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    torch.manual_seed(0)
    base = Wan13B.untrained()
    u, gradient = velocity_and_gradient(base)
    torch.accelerator.device_count = lambda: 1  # a CPU is no accelerator, and diffusers divides by their number
    transformer: Any = base.transformer
    transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=PROCESSES))
    for keeping in ("none", "all"):
        base.use_checkpointing(keeping)
        shared, part = velocity_and_gradient(base)
        torch.testing.assert_close(shared, u)
        assert (part - gradient).norm() > 0.1 * gradient.norm()  # that of a process's own tokens alone
        distributed.all_reduce(part)
        torch.testing.assert_close(part, gradient, rtol=1e-4, atol=1e-4)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_the_tokens_of_a_draw_and_the_sum_of_their_gradients_is_its_gradient(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "meeting")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    multiprocessing.spawn(share_one_draw, (sys.argv[1],), nprocs=PROCESSES)
