"""The evaluation: every file decoded and measured, and every baseline at the same number of bytes.

A LightningModule without anything to train: `Trainer.test` brings devices, processes and progress. Processes share the
entries; figures of single clips are gathered, distances between sets of clips are summed by torchmetrics.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vov_lightning.bases import BaseModel, load_base
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.codec import decode, place
from vov_lightning.errors import VovError
from vov_lightning.evaluation.baselines import Baseline, Coded, Task, UnreachableError
from vov_lightning.evaluation.cache import Cache, Record
from vov_lightning.evaluation.entries import Entry
from vov_lightning.evaluation.metrics import ClipMetrics
from vov_lightning.fitting.data import source_of
from vov_lightning.video import Fitted, Signal, remove_padding

VOV = "vov"
"""Method of the files themselves."""
BOUND = "autoencoder"
"""The base model's autoencoder alone, which no file of that model can beat in distortion."""


class EvaluationModule(L.LightningModule):
    """Measures entries when `Trainer.test` runs it; then `points`, `unreachable` and `failures` hold what was found.

    Args:
        entries: What to evaluate.
        metrics: The figures of a clip.
        baselines: Codecs that code every clip at the bytes of its file.
        cache: What is there is not coded or measured again.
        base: Base model in place of the one that a file names.
        limits: What a file may ask for.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        metrics: ClipMetrics,
        baselines: Sequence[Baseline],
        cache: Cache,
        base: BaseModel | None = None,
        limits: Limits = Limits(),
    ) -> None:
        super().__init__()
        self.entries, self.baselines, self.cache, self.limits = list(entries), list(baselines), cache, limits
        self.metrics = metrics
        self._given, self._loaded = [base], [None]  # in lists: Lightning need not move them
        self.points: list[Record] = []
        self.unreachable: list[Record] = []
        self.failures: list[Record] = []

    def test_dataloader(self) -> DataLoader:
        """Numbers of this process's entries; none twice, so processes may have unequally many."""
        own: Any = range(self.global_rank, len(self.entries), self.trainer.world_size)
        return DataLoader(own, batch_size=None)

    def test_step(self, batch: int, batch_idx: int) -> None:
        entry = self.entries[batch]
        try:
            self._evaluate(entry)
        except VovError as error:
            self.failures.append({"file": str(entry.file), "error": f"{type(error).__name__}: {error}"})
            print(f"{entry.file} failed: {error}", file=sys.stderr)

    def _evaluate(self, entry: Entry) -> None:
        file = VovFile.open(entry.file, self.limits)
        base = self._base_of(file)
        fitted = source_of(file, base, str(entry.source), entry.start, entry.fit)
        source = remove_padding(fitted.signal, fitted.padding)
        about = {"file": str(entry.file), "sections": file.section_bytes()}
        identity = {"file": file.to_bytes()}
        self._measure(entry, VOV, source, lambda: _decoded(file, base, _encode_seconds(entry.file)), identity, about)
        self._measure(entry, BOUND, source, lambda: _autoencoded(fitted, base), {"base": base.fingerprint()})
        task = Task(fitted, len(file.to_bytes()), file, base)
        for baseline in self.baselines:
            try:
                self._measure(entry, baseline.key, source, lambda b=baseline: b.code(task), identity)
            except UnreachableError as error:
                wanted = {"clip": entry.clip, "method": baseline.key, "rate": entry.rate, "bytes": task.num_bytes}
                self.unreachable.append({**wanted, "reason": str(error)})

    def _measure(
        self,
        entry: Entry,
        method: str,
        source: Signal,
        code: Callable[[], Coded],
        identity: dict[str, bytes],
        about: Record | None = None,
    ) -> None:
        """Add the point of ``method``, coded by ``code`` where it is not in the cache yet."""
        digests = {name: hashlib.sha256(value).hexdigest() for name, value in identity.items()}
        digests["source"] = hashlib.sha256(source.frames.contiguous().numpy().tobytes()).hexdigest()
        key = self.cache.key(method=method, version=version("vov_lightning"), device=self.device.type, **digests)
        record = self.cache.load(key)
        if record is None:
            with torch.enable_grad():  # some baselines are fitted
                coded = code()
            record = dict(vars(coded))
            self.cache.save(key, record, record.pop("frames"))
        frames = self.cache.frames(key)
        figures_key = self.cache.key(clip=key, metrics=self.metrics.names)
        figures = self.cache.load(figures_key)
        if figures is None:
            figures = asdict(self.metrics.measure(Signal(frames, source.fps, method), source))
            self.cache.save(figures_key, figures)
        num_bytes = record.pop("num_bytes")
        self.points.append(
            {
                "clip": entry.clip,
                "method": method,
                "rate": entry.rate,
                "file": None,
                "bytes": num_bytes,
                "bpp": 8 * num_bytes / source.num_pixels,
                "sections": {},
                "frames": source.num_frames,
                "height": source.height,
                "width": source.width,
                "fps": str(source.fps),
                "figures": figures["values"],
                "reasons": figures["reasons"],
                "per_frame": figures["per_frame"],
                **record,
                **(about or {}),
                "cache": key,
            }
        )

    def on_test_epoch_end(self) -> None:
        """Every process learns what the others found."""
        if self.trainer.world_size == 1:
            return
        own = self.points, self.unreachable, self.failures
        gathered: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(gathered, own)
        self.points, self.unreachable, self.failures = (
            [record for process in part for record in process] for part in zip(*gathered, strict=True)
        )

    def _base_of(self, file: VovFile) -> BaseModel:
        """The base model for ``file`` on this process's device; the last one is kept."""
        base = self._given[0] or self._loaded[0]
        if base is None or (self._given[0] is None and base.name != file.header.base_name):
            self._loaded[0] = None  # two need not fit
            base = self._loaded[0] = load_base(file.header.base_name)
        return place(base.to("cpu"), file, self.device)


def _decoded(file: VovFile, base: BaseModel, encode_s: float | None) -> Coded:
    started_s = time.perf_counter()
    frames = decode(file, base).frames
    decode_s = time.perf_counter() - started_s
    return Coded(frames, len(file.to_bytes()), _in_words(file), encode_s, decode_s)


def _autoencoded(source: Fitted, base: BaseModel) -> Coded:
    with torch.no_grad():
        frames = base.decode(base.encode(source.signal.frames), source.signal.num_frames)
    shown = remove_padding(Signal(frames, source.signal.fps, BOUND), source.padding)
    return Coded(shown.frames, 0, "", None, None)


def _in_words(file: VovFile) -> str:
    header = file.header
    vector = f"k = {header.k}, rank {header.rank}" if header.k else "no vector"
    indices = f", {header.index_bits}-bit indices ({header.codebook})" if file.indices else ""
    return (
        f"{header.base_name}@{header.base_revision}, {vector}, {header.steps} steps, seed {header.seed}{indices}, "
        f"caption {file.caption!r}"
    )


def _encode_seconds(path: Path) -> float | None:
    """What the fit took, where its metrics lie beside the file and are of this file."""
    metrics = path.parent / "metrics.json"
    if not metrics.is_file():
        return None
    found = json.loads(metrics.read_text())
    if found.get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
        return None
    return sum(value for name, value in found["seconds"].items() if name != "decode")
