"""Records of what was coded and measured, so that an interrupted evaluation goes on and a new metric repeats nothing.

A record is kept under a digest of what it depends on: files, settings, versions, machine. Delete the cache after a
change of this package's code or what a folder of weights holds. Coded clips keep their frames for the report.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vov_lightning.errors import RunError
from vov_lightning.files import atomic_path, atomic_write

Record = dict[str, Any]
Name = TypeVar("Name", int, str)


class Cache:
    """A folder of records.

    Args:
        folder: Where they lie: ``<key>.json``, and ``<key>.npz`` with the frames of a coded clip.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, **identity: Any) -> str:
        """Name of the record that depends on ``identity``, plain JSON types."""
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    def load(self, key: str) -> Record | None:
        """Record under ``key``; None if there is none.

        Raises:
            RunError: If the record is damaged.
        """
        path = self.folder / f"{key}.json"
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except (OSError, ValueError) as cause:
            raise RunError(f"{path} is damaged ({cause}); delete it, what it held is measured again") from cause

    def frames(self, key: str) -> Tensor:
        """Frames ``[T, 3, H, W]`` uint8 of the clip under ``key``."""
        with np.load(self.folder / f"{key}.npz") as content:
            return torch.from_numpy(content["frames"])

    def save(self, key: str, record: Record, frames: Tensor | None = None) -> None:
        """Write ``record`` after its frames, so that a record that exists is whole."""
        if frames is not None:
            with atomic_path(self.folder / f"{key}.npz") as temporary:
                np.savez_compressed(temporary, frames=frames.cpu().numpy())
        atomic_write(self.folder / f"{key}.json", json.dumps(record).encode())


class Frames(Mapping[Name, Tensor]):
    """Frames in a cache by names of the caller's, each read when it is asked for: all of them may be many gigabytes.

    Args:
        cache: Where they lie.
        keys: Their keys by name.
    """

    def __init__(self, cache: Cache, keys: Mapping[Name, str]) -> None:
        self.cache = cache
        self.keys_by_name: dict[Name, str] = dict(keys)

    def __getitem__(self, name: Name) -> Tensor:
        return self.cache.frames(self.keys_by_name[name])

    def __iter__(self) -> Iterator[Name]:
        return iter(self.keys_by_name)

    def __len__(self) -> int:
        return len(self.keys_by_name)
