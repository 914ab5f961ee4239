"""Run by test_fvd.py: metrics over two gloo processes against one. Not a test itself."""

import os
import tempfile
from fractions import Fraction

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vov_lightning.evaluation.metrics.clip import ClipMetrics
from vov_lightning.evaluation.metrics.fvd import FrechetVideoDistance
from vov_lightning.video import Signal


class Flat(torch.nn.Module):
    def forward(self, videos):
        mixing = torch.randn(3 * 9, 400, generator=torch.Generator().manual_seed(0))
        return videos.double().mean(dim=(3, 4)).flatten(1) @ mixing.double()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(256, (2, 5, 9, 3, 1, 1), generator=generator, dtype=torch.uint8)
    real, decoded = levels.expand(-1, -1, -1, -1, 8, 8)  # this network takes any size

    share = slice(0, 1) if rank == 0 else slice(1, 5)  # one sample alone has no covariance
    metric = FrechetVideoDistance(Flat())
    metric.update(real[share], real=True)
    metric.update(decoded[share], real=False)
    alone = FrechetVideoDistance(Flat(), sync_on_compute=False)
    alone.update(real, real=True)
    alone.update(decoded, real=False)
    distances = metric.compute(), alone.compute()
    assert torch.allclose(*distances, rtol=1e-9), distances

    noise = torch.randint(40 * (rank + 1), (3, 3, 32, 32), generator=generator, dtype=torch.uint8)
    clips = Signal(noise, Fraction(25), "decoded"), Signal(torch.zeros_like(noise), Fraction(25), "source")
    found = ClipMetrics(["psnr_db"]).measure(*clips).values["psnr_db"]
    expected = 10 * torch.log10(255**2 / noise.double().square().mean()).item()
    assert found is not None
    assert abs(found - expected) < 1e-4, (found, expected)
    print("as one process", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(work, args=(folder,), nprocs=2, start_method="fork")
