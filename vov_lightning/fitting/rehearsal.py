"""A dry run: settings and clip are checked as they are, then everything runs once at the smallest sizes.

It needs neither weights nor network nor an accelerator: `BaseModel.stand_in` is
fitted instead of the model, two iterations on a few pixels of the real clip.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import Limits
from vov_lightning.codec.build import build_file
from vov_lightning.errors import RunError
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.costs import ClipCost, Work, cost_of
from vov_lightning.runs.joint import check_captions
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA

CHECKPOINT_BYTES = 12
"""A vector's entry and AdamW's two averages of it, float32."""


def check_clips(
    data: SignalData, base: BaseModel, adapter: AdapterConfig, sampler: SamplerConfig, work: Work
) -> tuple[SignalData, ClipCost]:
    """Read the sources as the fit would and check them against the model's rules, the adapter and the file's limits.

    Args:
        data: What is to be fitted. Its captioner is not asked.
        base: The stand-in.
        adapter: As it is to be fitted, not shrunk.
        sampler: Likewise.
        work: What the fit does.

    Returns:
        The sources at the smallest size, and what the fit will cost.

    Raises:
        VovError: If the fit could not begin.
    """
    k = 0
    if adapter.k != 0:
        full_size = base.skeleton()
        layers = full_size.adapted_layers(adapter.targets or full_size.default_targets)
        shape = adapter.rank, adapter.k, adapter.seed, adapter.scheme
        hashed = HashedLoRA(layers, *shape, full_size.dictionary)
        k, work = hashed.projection.k, replace(work, rank=hashed.rank)
    small, captions, clips, disk_bytes = [], {}, [], CHECKPOINT_BYTES * k
    for member in data.members:
        asks, member.captioner = member.captioner is not None, None
        loaded = member.load(base)
        fitted, caption = loaded.clip.first, loaded.caption
        signal = fitted.signal
        base.check_size(ClipSize(signal.num_frames, signal.height, signal.width))
        file = build_file(base, fitted, caption, torch.zeros(k), 1.0, adapter, sampler)
        Limits().check_header(file.header)
        if not asks:
            captions[member.source_name] = caption
        frames = 1 if signal.is_image else 1 + base.temporal_factor
        rows, columns = base.size_multiple
        small.append(SignalData.of(signal, frames=frames, height=2 * rows, width=2 * columns, caption=caption))
        # At worst decoded and preview (twice as wide) are folders of PNG that do not compress.
        disk_bytes += 3 * 3 * loaded.clip.num_pixels
        clips.append(loaded.clip)
    cost = cost_of(base, clips, work, disk_bytes)
    if not small[1:]:
        return small[0], cost
    for caption in captions.values():
        base.embed(caption)
    check_captions(captions, base)
    data.load_all(base)
    # Two stand for all, with captions that surely differ: a captioner's are not known.
    for one, prompt in zip(small, base.example_prompts, strict=False):
        one.caption = prompt
    return SignalData.joint(small[:2]), cost


@contextmanager
def scratch_folder(runs: Path) -> Iterator[Path]:
    """A folder on the disk of ``runs`` that is removed at the end, with everything that was created for it.

    Raises:
        RunError: If nothing can be written there.
    """
    missing = [folder for folder in (runs, *runs.parents) if not folder.exists()]
    try:
        runs.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".dry-run-", dir=runs)
    except OSError as error:
        raise RunError(f"--runs {runs} cannot be written ({error.strerror}); choose another folder") from error
    try:
        yield Path(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # another process writes there by now
                folder.rmdir()


def check_disk(runs: Path, needed: int) -> str:
    """A line on the disk below ``runs``.

    Raises:
        RunError: If ``needed`` bytes are more than are free.
    """
    free = shutil.disk_usage(runs).free
    line = f"up to {needed / 1e9:.2f} GB will be written to --runs, {free / 1e9:.1f} GB are free"
    if needed > free:
        raise RunError(f"{line}; make room or choose another --runs")
    return line
