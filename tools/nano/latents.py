"""Latents for the flow transformer: a pool of clips is encoded once, so that training touches no autoencoder."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, TensorDataset
from tqdm import tqdm

from nano.autoencoder_module import to_unit
from nano.data import process_rank
from vov_lightning.bases.nano.autoencoder import LappedAutoencoder
from vov_lightning.bases.nano.model import caption_row
from vov_lightning.bases.nano.vocabulary import describe, parse
from vov_lightning.files import atomic_path


@torch.no_grad()
def encode_pool(autoencoder: LappedAutoencoder, open_clips: Callable[[], DataLoader], size: int, folder: Path) -> None:
    """Fill ``folder`` with latents (float16) and caption rows of ``size`` clips, unless this process has done so.

    ``open_clips`` is called only where it is needed, since an open pack takes gigabytes. Every process encodes its
    share, in whole batches, into a file of its own.
    """
    file = folder / f"{process_rank()}.pt"
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    synchronise()
    if not file.exists():
        clips = open_clips()
        assert clips.batch_size is not None  # they come in batches
        device = "cuda" if torch.cuda.is_available() else "cpu"
        autoencoder = autoencoder.to(device).eval()
        latents, rows = [], []
        batches = -(-size // (clips.batch_size * processes))
        for frames in tqdm(islice(clips, batches), desc="encode", total=batches, unit="batch"):
            with torch.autocast(device, torch.bfloat16):
                latents.append(autoencoder.encode(to_unit(frames.to(device))).half().cpu())
            rows.append(torch.tensor([caption_row(parse(describe(clip))) for clip in frames]))
        with atomic_path(file) as temporary:
            torch.save({"latents": torch.cat(latents), "rows": torch.cat(rows)}, temporary)
    synchronise()


class LatentStream(IterableDataset):
    """Endless ``(latents [z, n, h, w] float32, rows [7])`` of a pool; ``seed`` and the process decide the order."""

    def __init__(self, folder: Path, seed: int) -> None:
        parts = [torch.load(path, mmap=True) for path in sorted(folder.glob("[0-9]*.pt"))]
        self.clips: ConcatDataset[tuple[Tensor, ...]] = ConcatDataset(
            [TensorDataset(part["latents"], part["rows"]) for part in parts]
        )
        self.seed = seed

    def __iter__(self):
        generator = torch.Generator().manual_seed(1000 * self.seed + process_rank())
        while True:
            for number in torch.randperm(len(self.clips), generator=generator).tolist():
                latents, row = self.clips[number]
                yield latents.float(), row


def synchronise() -> None:
    """Wait for the other processes, if there are any."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
