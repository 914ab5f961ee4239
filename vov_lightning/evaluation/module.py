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
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from vov_lightning.bases import BaseModel, load_base
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.codec import decode, place
from vov_lightning.errors import MetricError, VovError
from vov_lightning.evaluation.baselines import Baseline, BaselineError, Coded, Task, UnreachableError
from vov_lightning.evaluation.cache import Cache, Record
from vov_lightning.evaluation.distances import SetDistances
from vov_lightning.evaluation.entries import Entry
from vov_lightning.evaluation.metrics import METRICS
from vov_lightning.evaluation.metrics.clip import ClipMetrics
from vov_lightning.evaluation.metrics.fvd import PROTOCOLS
from vov_lightning.fitting.data import source_of
from vov_lightning.video import Fitted, Signal, remove_padding

VOV = "vov"
"""Method of the files themselves."""
DESCRIPTION = (
    "The .vov files: every byte counts, decoded from the file and its base model. The seconds of encoding are "
    "the fit's, where its metrics.json lies beside the file."
)
BOUND = "autoencoder"
"""The base model's autoencoder alone, which no file of that model can beat in distortion."""


class EvaluationModule(L.LightningModule):
    """Measures entries when `Trainer.test` runs it; then `points`, `unreachable` and `failures` hold what was found.

    Args:
        entries: What to evaluate.
        metrics: Keys of `METRICS`; all of them if None.
        baselines: Codecs that code every clip at the bytes of its file.
        cache: What is there is not coded or measured again.
        weights_dir: Folder of the metrics' networks; torch hub's own if None.
        base: Base model in place of the one that a file names.
        limits: What a file may ask for.

    Raises:
        SettingError: If a metric is unknown.
        MetricError: If the weights behind FVD cannot be had.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        metrics: Sequence[str] | None,
        baselines: Sequence[Baseline],
        cache: Cache,
        weights_dir: Path | None = None,
        base: BaseModel | None = None,
        limits: Limits = Limits(),
    ) -> None:
        super().__init__()
        self.entries, self.baselines, self.cache, self.limits = list(entries), list(baselines), cache, limits
        names = list(METRICS if metrics is None else metrics)
        self.infos = {name: asdict(info) for name, info in METRICS.items() if name in names}
        self.metrics = ClipMetrics([name for name in names if name not in PROTOCOLS], weights_dir)
        rates = sorted({entry.rate for entry in entries})
        self.methods = {VOV: {"label": "vov_lightning", "description": DESCRIPTION}}
        self.methods |= {one.key: {"label": one.label, "description": one.description} for one in baselines}
        protocols = [name for name in PROTOCOLS if name in names]
        self.distances = SetDistances(protocols, self.methods, rates, cache, weights_dir)
        self._base, self._base_given = [base], base is not None  # in a list: not a part that Lightning moves
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
        except MetricError:  # the same for every clip: weights are missing
            raise
        except VovError as error:
            self._fail(entry, error)

    def on_test_epoch_end(self) -> None:
        """Every process learns what the others found."""
        found = [self.points, self.unreachable, self.failures, self.distances.incomplete]
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, found)
            found = [list(chain.from_iterable(part)) for part in zip(*gathered, strict=True)]
        self.points, self.unreachable, self.failures, incomplete = found
        self.set_figures = self.distances.values(incomplete)

    def _evaluate(self, entry: Entry) -> None:
        file = VovFile.open(entry.file, self.limits)
        base = self._base_of(file)
        fitted = source_of(file, base, str(entry.source), entry.start, entry.fit)
        source = remove_padding(fitted.signal, fitted.padding)
        source_key = source_digest(source)
        if self.cache.load(source_key) is None:
            self.cache.save(source_key, {"name": source.name}, source.frames)
        measure = partial(self._measure, entry, source, source_key)
        whole = {"file": digest(file.to_bytes())}
        encode_s = encode_seconds(entry.file)
        origin = {"file": str(entry.file), "sections": file.section_bytes(), "encode_s": encode_s}
        self.points.append(measure(VOV, lambda: decoded(file, base), whole) | origin)
        self.points.append(measure(BOUND, lambda: autoencoded(fitted, base), {"base": base.fingerprint().hex()}))
        task = Task(source, len(file.to_bytes()), file, base)
        for baseline in self.baselines:
            settings = {**whole, "settings": repr(sorted(vars(baseline).items()))}
            try:
                self.points.append(measure(baseline.key, partial(baseline.code, task), settings))
            except UnreachableError as error:
                wanted = {"clip": entry.clip, "method": baseline.key, "rate": entry.rate, "bytes": task.num_bytes}
                self.unreachable.append({**wanted, "reason": str(error), "source": source_key})
            except BaselineError as error:
                self._fail(entry, error)

    def _measure(
        self,
        entry: Entry,
        source: Signal,
        source_key: str,
        method: str,
        code: Callable[[], Coded],
        identity: dict[str, str],
    ) -> Record:
        """The point of ``method``, coded by ``code`` where it is not in the cache yet."""
        versions = {"version": version("vov_lightning"), "device": self.device.type}
        key = self.cache.key(method=method, source=source_key, **versions, **identity)
        record = self.cache.load(key)
        if record is None:
            with torch.enable_grad():  # some baselines are fitted
                coded = vars(code())
            record = {name: value for name, value in coded.items() if name != "frames"}
            self.cache.save(key, record, coded["frames"])
        frames = self.cache.frames(key)
        figures_key = self.cache.key(clip=key, metrics=self.metrics.names)
        figures = self.cache.load(figures_key)
        if figures is None:
            figures = vars(self.metrics.measure(Signal(frames, source.fps, method), source))
            self.cache.save(figures_key, figures)
        if method != BOUND:
            distances = self.distances.measure(method, entry.rate, (key, frames), (source_key, source.frames))
            figures = {**figures, **{name: figures[name] | found for name, found in distances.items()}}
        return {
            "clip": entry.clip,
            "method": method,
            "rate": entry.rate,
            "file": None,
            "bytes": record["num_bytes"],
            "bpp": 8 * record["num_bytes"] / source.num_pixels,
            "sections": {},
            "frames": source.num_frames,
            "height": source.height,
            "width": source.width,
            "fps": str(source.fps),
            "figures": figures["values"],
            "reasons": figures["reasons"],
            "per_frame": figures["per_frame"],
            **{name: record[name] for name in ("settings", "encode_s", "decode_s")},
            "coded": key,
            "source": source_key,
        }

    def _fail(self, entry: Entry, error: VovError) -> None:
        self.failures.append({"file": str(entry.file), "error": f"{type(error).__name__}: {error}"})
        print(f"{entry.file} failed: {error}", file=sys.stderr)

    def _base_of(self, file: VovFile) -> BaseModel:
        """The base model for ``file`` on this process's device; only the last one is kept."""
        base = self._base.pop()
        if base is None or not (self._base_given or base.name == file.header.base_name):
            base = load_base(file.header.base_name)
        self._base.append(base)
        return place(base.to("cpu"), file, self.device)


def digest(data: bytes) -> str:
    """Name of ``data`` in keys of the cache."""
    return hashlib.sha256(data).hexdigest()


def source_digest(source: Signal) -> str:
    """Name of the frames of ``source`` in keys of the cache."""
    return digest(source.frames.contiguous().numpy().tobytes())


def decoded(file: VovFile, base: BaseModel) -> Coded:
    """What the decoder makes of ``file``."""
    started_s = time.perf_counter()
    frames = decode(file, base).frames
    decode_s = time.perf_counter() - started_s
    return Coded(frames, len(file.to_bytes()), in_words(file), None, decode_s)


def autoencoded(source: Fitted, base: BaseModel) -> Coded:
    """``source`` through the autoencoder and back, as if latents cost nothing."""
    with torch.no_grad():
        frames = base.decode(base.encode(source.signal.frames), source.signal.num_frames)
    shown = remove_padding(Signal(frames, source.signal.fps, BOUND), source.padding)
    return Coded(shown.frames, 0, "", None, None)


def in_words(file: VovFile) -> str:
    """What the decoder reads from the header, in a line."""
    header = file.header
    vector = f"k = {header.k}, rank {header.rank}" if header.k else "no vector"
    indices = f", {header.index_bits}-bit indices ({header.codebook}, {header.kernel})" if file.indices else ""
    return (
        f"{header.base_name}@{header.base_revision}, {vector}, {header.steps} steps, seed {header.seed}{indices}, "
        f"caption {file.caption!r}"
    )


def encode_seconds(path: Path) -> float | None:
    """What the fit took, where its metrics lie beside the file and are of this file."""
    metrics = path.parent / "metrics.json"
    found = json.loads(metrics.read_text()) if metrics.is_file() else {}
    if found.get("sha256") != digest(path.read_bytes()):
        return None
    return sum(value for name, value in found["seconds"].items() if name != "decode")
