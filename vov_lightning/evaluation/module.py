"""The evaluation: every file decoded and measured, and every baseline at the same number of bytes.

A LightningModule without anything to train: `Trainer.test` brings devices, processes and progress. Processes share the
entries; figures of single clips are gathered, distances between sets of clips are summed by torchmetrics.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from vov_lightning.bases import BaseModel, load_revision
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.codec.decode import decode, place
from vov_lightning.errors import MetricError, SettingError, VovError
from vov_lightning.evaluation.baselines import Baseline, BaselineError, Coded, Task, UnreachableError
from vov_lightning.evaluation.cache import Cache, Record
from vov_lightning.evaluation.diagnostics import diagnose, undefined_reason
from vov_lightning.evaluation.distances import SetDistances
from vov_lightning.evaluation.entries import Entry
from vov_lightning.evaluation.environment import environment
from vov_lightning.evaluation.metrics import METRICS
from vov_lightning.evaluation.metrics.clip import ClipMetrics
from vov_lightning.evaluation.metrics.fvd import PROTOCOLS
from vov_lightning.runs.encode import autoencoded
from vov_lightning.runs.source import source_of
from vov_lightning.video import Signal, remove_padding
from vov_lightning.video.source import Clip

VOV = "vov"
"""Name of the method that the ``.vov`` files are."""
DESCRIPTION = (
    "The .vov files: every byte but the sound's counts, decoded from the file and its base model. The seconds of "
    "encoding are the fit's, where its metrics.json lies beside the file."
)
BOUND = "autoencoder"
"""The base model's autoencoder alone, which no file of that model can beat in distortion."""
NOTHING = -1
"""Batch of a process that has no entry."""


class EvaluationModule(L.LightningModule):
    """Measures entries when `Trainer.test` runs it; `points`, `unreachable` and `failures` hold the results.

    Args:
        entries: What to evaluate.
        metrics: Keys of `METRICS`; all of them if None.
        baselines: Codecs that code every clip at the bytes of its file.
        cache: What is there is not coded or measured again.
        weights_dir: Folder of the metrics' networks; torch hub's own if None.
        base: Base model in place of the one that a file names.
        limits: What a file may ask for.
        diagnose: Whether `diagnose` is asked about every file; then `diagnostics` holds the answers.

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
        diagnose: bool = False,
    ) -> None:
        super().__init__()
        self.baselines, self.cache, self.limits = list(baselines), cache, limits
        names = list(METRICS if metrics is None else metrics)
        self.infos = {name: asdict(info) for name, info in METRICS.items() if name in names}
        self.metrics = ClipMetrics([name for name in names if name not in PROTOCOLS], weights_dir)
        rates = sorted({entry.rate for entry in entries})
        self.methods = {VOV: {"label": "vov_lightning", "description": DESCRIPTION}}
        self.methods |= {one.key: {"label": one.label, "description": one.about} for one in baselines}
        protocols = [name for name in PROTOCOLS if name in names]
        self.distances = SetDistances(protocols, self.methods, rates, cache, weights_dir)
        self._base, self._base_given = [base], base is not None  # in a list: not a part that Lightning moves
        self.diagnose = diagnose
        self.start_over(entries)

    def start_over(self, entries: Sequence[Entry]) -> None:
        """Forget all results; evaluate ``entries`` next, which are some of the first ones."""
        self.entries = list(entries)
        self.points: list[Record] = []
        self.diagnostics: list[Record] = []
        self.unreachable: list[Record] = []
        self.failures: list[Record] = []
        self.distances.start_over()

    def setup(self, stage: str) -> None:
        self.environment = environment(self.trainer.strategy.root_device)

    def test_dataloader(self) -> DataLoader:
        """Numbers of this process's entries; none twice, so processes may have unequally many, or none."""
        own: Any = list(range(self.global_rank, len(self.entries), self.trainer.world_size))
        own = own or [NOTHING]  # a process without a batch would not reach the end
        return DataLoader(own, batch_size=None)

    def test_step(self, batch: int, batch_idx: int) -> None:
        if batch == NOTHING:
            return
        entry = self.entries[batch]
        try:
            self._evaluate(entry)
        except MetricError:  # the same for every clip: weights are missing
            raise
        except VovError as error:
            self._fail(entry, error)

    def on_test_epoch_end(self) -> None:
        """Gather the results of all processes in each of them."""
        found = [self.points, self.unreachable, self.failures, self.diagnostics, self.distances.incomplete]
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, found)
            found = [list(chain.from_iterable(part)) for part in zip(*gathered, strict=True)]
        self.points, self.unreachable, self.failures, self.diagnostics, incomplete = found
        self.set_figures = self.distances.values(incomplete)

    def _evaluate(self, entry: Entry) -> None:
        file = VovFile.open(entry.file, self.limits)
        header, base = file.header, self._base_of(file)
        clip = source_of(file, base, str(entry.source), entry.start, entry.fit)
        fitted = clip.whole()
        source = replace(remove_padding(fitted.signal, fitted.padding), fps=header.fps)
        frames = digest(source.frames.contiguous().numpy().tobytes())
        shape = [*source.frames.shape, str(source.fps)]
        source_key = self.cache.key(frames=frames, shape=shape, environment=self.environment)
        if self.cache.load(source_key) is None:
            self.cache.save(source_key, {}, source.frames)
        measure = partial(self._measure, entry, source, source_key)
        whole = {"file": digest(file.to_bytes())}
        encode_s = encode_seconds(entry.file)
        sections = {name: size for name, size in file.section_bytes().items() if name != "sound"}
        origin = {"file": str(entry.file), "sections": sections, "encode_s": encode_s}
        self.points.append(measure(VOV, lambda: decoded(file, base), whole) | origin)
        lengths = [segment.frames for segment in file.segments]
        autoencoder = {
            "base": base.fingerprint().hex(),
            "tiling": str(header.vae_tiling),
            "segments": str(lengths),
        }
        self.points.append(measure(BOUND, lambda: bound_of(clip, base, header.vae_tiling), autoencoder))
        if self.diagnose and (reason := undefined_reason(file)):
            print(f"{entry.file} has no diagnostics: {reason}", file=sys.stderr)
        elif self.diagnose:
            key = self.cache.key(diagnostics=source_key, **whole)
            record = self.cache.load(key)
            if record is None:
                record = diagnose(file, base, fitted).to_dict()
                self.cache.save(key, record)
            self.diagnostics.append({"clip": entry.clip, "rate": entry.rate, "source": source_key, **record})
        task = Task(source, file.bytes_without_sound, file, base)
        for baseline in self.baselines:
            settings = {**whole, "settings": repr(sorted(vars(baseline).items()))}
            try:
                self.points.append(measure(baseline.key, partial(baseline.code, task), settings))
            except UnreachableError as error:
                wanted = {"clip": entry.clip, "method": baseline.key, "rate": entry.rate, "bytes": task.num_bytes}
                self.unreachable.append({**wanted, "reason": str(error), "source": source_key})
            except BaselineError as error:
                self._fail(entry, error, baseline.key)

    def _measure(
        self,
        entry: Entry,
        source: Signal,
        source_key: str,
        method: str,
        code: Callable[[], Coded],
        identity: dict[str, str],
    ) -> Record:
        """The point of ``method``, coded by ``code`` where it is not in the cache yet.

        Raises:
            UnreachableError: If the method cannot code the source in as few bytes.
        """
        key = self.cache.key(method=method, source=source_key, **identity)
        record = self._coded(key, code)
        frames = self.cache.frames(key)
        figures = self._figures(key, Signal(frames, source.fps, method), source)
        if method != BOUND:
            distances = self.distances.measure(method, entry.rate, (key, frames), (source_key, source.frames))
            figures = {**figures, **{part: figures[part] | found for part, found in distances.items()}}
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
            **{name: record[name] for name in ("settings", "seed", "encode_s", "decode_s")},
            "coded": key,
            "source": source_key,
        }

    def _coded(self, key: str, code: Callable[[], Coded]) -> Record:
        """Result of ``code`` without the frames, from the cache if it is there.

        Raises:
            UnreachableError: If ``code`` cannot reach the bytes, now or when the record was written.
        """
        record = self.cache.load(key)
        if record is None:
            try:
                with torch.enable_grad():  # some baselines are fitted
                    coded = vars(code())
            except UnreachableError as error:
                self.cache.save(key, {"unreachable": str(error)})
                raise
            record = {name: value for name, value in coded.items() if name != "frames"}
            self.cache.save(key, record, coded["frames"])
        if "unreachable" in record:
            raise UnreachableError(record["unreachable"])
        return record

    def _figures(self, key: str, shown: Signal, source: Signal) -> Record:
        """Figures of the clip under ``key``; only those that the cache lacks are measured."""
        key = self.cache.key(clip=key, weights=str(self.metrics.weights_dir))
        found: Record = self.cache.load(key) or {"values": {}, "reasons": {}, "per_frame": {}}
        missing = [name for name in self.metrics.names if name not in found["values"]]
        if missing:
            more = vars(self.metrics.measure(shown, source, missing))
            found = {part: values | more[part] for part, values in found.items()}
            self.cache.save(key, found)
        return {
            part: {name: values[name] for name in self.metrics.names if name in values}
            for part, values in found.items()
        }

    def _fail(self, entry: Entry, error: VovError, method: str = VOV) -> None:
        message = f"{type(error).__name__}: {error}"
        self.failures.append({"file": str(entry.file), "method": method, "error": message})
        who = f"{entry.file} by {method}" if method != VOV else str(entry.file)
        print(f"{who} failed: {error}", file=sys.stderr)

    def _base_of(self, file: VovFile) -> BaseModel:
        """The base model for ``file`` on this process's device; only the last one is kept."""
        base, header = self._base[0], file.header
        if base is None or not (self._base_given or header.names_model(base.name, base.fingerprint())):
            self._base[0] = None  # two need not fit
            self._base[0] = base = load_revision(header.base_name, header.base_revision)
        return place(base.to("cpu"), file, self.device)


def digest(data: bytes) -> str:
    """Name of ``data`` in keys of the cache."""
    return hashlib.sha256(data).hexdigest()


def decoded(file: VovFile, base: BaseModel) -> Coded:
    """The decoded clip of ``file``, with the decoder's time."""
    started_s = time.perf_counter()
    frames = decode(file, base).frames
    decode_s = time.perf_counter() - started_s
    return Coded(frames, file.bytes_without_sound, in_words(file), None, decode_s, file.header.seed)


def bound_of(clip: Clip, base: BaseModel, tiled: bool) -> Coded:
    """``clip`` through the autoencoder and back, segment by segment, as if latents cost nothing."""
    parts = [autoencoded(base, segment, tiled) for segment in clip.segments()]
    return Coded(torch.cat([part.frames for part in parts]), 0, "", None, None)


def in_words(file: VovFile) -> str:
    """One line with the decoder's settings, from the header."""
    header = file.header
    kind = "of a dictionary" if header.hash_scheme == "dictionary" else f"rank {header.rank}"
    vector = f"k = {header.k}, {kind}" if header.k else "no vector"
    indices = (
        f", {header.index_bits}-bit indices ({header.codebook}, {header.kernel})" if header.kernel != "ode" else ""
    )
    return (
        f"{header.base_name}@{header.base_revision}, {vector}, {header.steps} steps, seed {header.seed}{indices}, "
        f"caption {file.caption!r}"
    )


def encode_seconds(path: Path) -> float | None:
    """Seconds of the fit, if figures of this very file lie beside it; None without them, and for a joint fit.

    Raises:
        SettingError: If they cannot be read.
    """
    metrics = path.parent / "metrics.json"
    if not metrics.is_file() or not (path.parent / "config.yaml").is_file():
        return None
    try:
        found = json.loads(metrics.read_text())
        if found["sha256"] != digest(path.read_bytes()):
            return None
        return sum(value for name, value in found["seconds"].items() if name != "drift")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"{metrics} is damaged ({error!r}); delete it, the file does not depend on it") from error
