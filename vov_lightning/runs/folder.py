"""The folder of a run: what is in it, and whether the same command may go on there.

A run is finished when ``metrics.json`` exists, which is written last. An
unfinished run goes on from its last checkpoint, a finished one is verified and
left alone, and a run with other settings is never touched. ``unfinished.json``
says of a ``.vov`` file that is there already why it is not final. A
joint run has a folder for each of its sources.
"""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vov_lightning.bitstream import VovFile
from vov_lightning.errors import BitstreamError, RunError
from vov_lightning.files import atomic_write, clear_fragments
from vov_lightning.runs.segments import SegmentFolder
from vov_lightning.runs.settings import counting

JOBS = ".jobs"
"""Folder beside runs that says who works on them."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    Args:
        path: The folder.
        name: Name of the signal; the file is ``<name>.vov``.
    """

    path: Path
    name: str

    @property
    def file(self) -> Path:
        return self.path / f"{self.name}.vov"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def unfinished(self) -> Path:
        return self.path / "unfinished.json"

    @property
    def claim(self) -> Path:
        """Claim of who works on the run (`vov_lightning.runs.claims`): beside the folder, which --overwrite removes."""
        return self.path.parent / JOBS / f"{self.path.name}.claim"

    @property
    def failure(self) -> Path:
        """What the last try at a clip of a set failed with; gone once it succeeds."""
        return self.path.parent / JOBS / f"{self.path.name}.failed"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def caption(self) -> Path:
        return self.path / "caption.txt"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def kept_segments(self) -> Path:
        """Folder of the segments of an encoder that has not ended; hidden, since they are no files for a user."""
        return self.path / ".segments"

    def segments(self, key: str) -> SegmentFolder:
        return SegmentFolder(self.kept_segments, key)

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    def parts(self, sources: Sequence[str]) -> "list[RunFolder]":
        """Where each of ``sources`` has its file and clips: here, or of several, in a folder of its own below."""
        return [RunFolder(self.path / source, source) for source in sources] if len(sources) > 1 else [self]

    def inspect(self, config: dict[str, Any], overwrite: bool = False) -> dict[str, Any] | None:
        """Whether a run with ``config`` may begin or go on here.

        Returns:
            The metrics of a finished run with this configuration, or None when there is something left to do.

        Raises:
            RunError: If the folder holds something else, another configuration, or a damaged result.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, wanted a run folder; choose another --name or --runs")
        if not self.path.exists() or all(entry.name.startswith(".") for entry in self.path.iterdir()):
            return None
        if not self.config.exists() or "stage2" not in self.config.read_text():
            raise RunError(f"{self.path} is not empty and not a run folder; choose another --name or --runs")
        if overwrite:
            return None
        self._compare(yaml.safe_load(self.config.read_text()), config)
        return self._verified() if self.metrics.exists() else None

    def begin(self, config: dict[str, Any], captions: Mapping[str, str], overwrite: bool = False) -> None:
        """Take the folder that `inspect` has approved, and note the captions; with ``overwrite`` empty it first.

        What killed processes left half-written is removed.

        Args:
            config: Every setting that the result depends on.
            captions: By the names of the sources.
            overwrite: Whether what is there may be deleted.
        """
        if overwrite and self.path.exists():
            # Renamed first, so that no kill leaves half a run behind under this name.
            self.path.rename(self.path.with_name(f".{self.path.name}-discarded-{os.getpid()}"))
        for discarded in self.path.parent.glob(f".{glob.escape(self.path.name)}-discarded-[0-9]*"):
            shutil.rmtree(discarded)
        clear_fragments(self.path)
        if not self.config.exists():
            atomic_write(self.config, yaml.safe_dump(config, sort_keys=False).encode())
        for part, caption in zip(self.parts(list(captions)), captions.values(), strict=True):
            atomic_write(part.caption, f"{caption}\n".encode())

    def mark_unfinished(self, why: dict[str, Any]) -> None:
        """Mark the run as unfinished, for the reasons in ``why``; the mark stays until `write_metrics`.

        Args:
            why: What is written, and with it the callbacks that have stopped the run before.
        """
        callbacks = sorted({*self._stopping_callbacks(), *why.get("callbacks", ())})
        atomic_write(self.unfinished, (json.dumps(why | {"callbacks": callbacks}, indent=2) + "\n").encode())

    def clear_segments(self) -> None:
        """Remove what an encoder that was stopped would go on from."""
        shutil.rmtree(self.kept_segments, ignore_errors=True)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Mark the run as finished."""
        atomic_write(self.metrics, (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())
        self.unfinished.unlink(missing_ok=True)

    def _stopping_callbacks(self) -> list[str]:
        """Names of the callbacks that may have stopped the run."""
        try:
            return list(json.loads(self.unfinished.read_text())["callbacks"])
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _compare(self, found: Any, wanted: dict[str, Any]) -> None:
        stoppers = self._stopping_callbacks()
        before, now = (_flatten(counting(settings, stoppers)) for settings in (found, wanted))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            listing = "; ".join(f"{key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:5])
            raise RunError(
                f"{self.path} holds a run with other settings ({listing}{' ...' if changed[5:] else ''}); "
                "choose another --name, or --overwrite true to start it again"
            )

    def _verified(self) -> dict[str, Any]:
        try:
            metrics = json.loads(self.metrics.read_text())
            if "sources" in metrics:  # a joint run
                for part in self.parts(list(metrics["sources"])):
                    part._verified()
                return metrics
            data = self.file.read_bytes()
            VovFile.from_bytes(data)
            intact = hashlib.sha256(data).hexdigest() == metrics["sha256"]
        except (OSError, ValueError, KeyError, BitstreamError) as error:
            raise RunError(f"{self.path} is damaged: {error}; start it again with --overwrite true") from error
        if not intact:
            raise RunError(f"{self.file} changed since the run ended; start it again with --overwrite true")
        return metrics


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        return {
            key: value for name, child in tree.items() for key, value in _flatten(child, f"{prefix}{name}.").items()
        }
    return {prefix.rstrip("."): tree}
