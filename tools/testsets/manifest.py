"""``manifest.json``: which file each clip was made of, with checksums of both.

    {"set": "uvg", "protocol": "first 81 frames; ...", "tool": "prepare_dataset.py 1", "missing": [],
     "members": {"Beauty": {"file": "Beauty.mkv", "sha256": ..., "frames": 81, "width": 832, "height": 480,
                            "fps": "120", "rgb_sha256": ..., "source": {"file": ..., "sha256": ..., ...},
                            "versions": {"vov_lightning": ..., ...}}, ...}}

``missing`` names the members that are not there (``--partial``, or a run that was interrupted). ``rgb_sha256`` is of
the pixels alone, ``[T, 3, H, W]``, so that two machines can be compared whatever their FFV1 encoders do.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from testsets.raw import CHROMA, EXACT
from testsets.table import StandardSet
from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_write, sha256_of
from vov_lightning.video import Signal

VERSION = 1
"""Of the tool; goes up when the same source would give other pixels."""

Entry = dict[str, Any]


def describe(signal: Signal, file: Path, source: Entry) -> Entry:
    """Entry of ``signal``, which was written to ``file``; ``source`` says what it was made of."""
    return {
        "file": file.name,
        "sha256": sha256(file),
        "frames": signal.num_frames,
        "width": signal.width,
        "height": signal.height,
        "fps": str(signal.fps),
        "rgb_sha256": hashlib.sha256(signal.frames.numpy().tobytes()).hexdigest(),
        "source": source,
        "versions": {package: version(package) for package in ("vov_lightning", "av", "torch")},
    }


def verify(file: Path, entry: Entry | None, source: Path, source_sha256: str) -> None:
    """Raise unless ``file`` is the one that the manifest describes, made of this very source."""
    if entry is None:
        reason = "manifest.json does not list it"
    elif entry["sha256"] != sha256(file):
        reason = f"it is not the file that manifest.json lists (sha256 {entry['sha256'][:12]}...)"
    elif entry["source"]["sha256"] != source_sha256:
        reason = f"it was made of another {source.name} (sha256 {entry['source']['sha256'][:12]}...)"
    else:
        return
    raise SignalError(f"{file} exists, and {reason}; delete it to prepare it again, or choose another --out")


def settings(standard_set: StandardSet) -> Entry:
    """What decides on the pixels; a folder that was begun with other settings is refused."""
    target = standard_set.target
    protocol = "copied"
    if target is not None:
        size = f"{target.width}x{target.height}"
        protocol = (
            f"first {target.frames} frames; 4:2:0 in limited range and {standard_set.matrix} to RGB, chroma {CHROMA} "
            f"(swscale {EXACT}); "
            f"cut to the aspect of {size} around the centre; resized to {size} (fit_signal)"
        )
    return {"set": standard_set.name, "protocol": protocol, "tool": f"prepare_dataset.py {VERSION}"}


def read_manifest(standard_set: StandardSet, out: Path) -> dict[str, Entry]:
    """Entries by name; none where there is no manifest yet.

    Raises:
        SignalError: If the manifest is damaged or of other settings.
    """
    path, wanted = out / "manifest.json", settings(standard_set)
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        entries: dict[str, Entry] = manifest["members"]
        found = {key: manifest[key] for key in wanted}
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise SignalError(f"{path} is no manifest of this tool ({cause!r}); choose another --out") from cause
    for key in wanted:
        if found[key] != wanted[key]:
            raise SignalError(f"{path} has {key}={found[key]!r}, wanted {wanted[key]!r}; choose another --out")
    return entries


def write_manifest(standard_set: StandardSet, out: Path, entries: dict[str, Entry]) -> None:
    """Write ``manifest.json`` anew, members in the table's order."""
    manifest = settings(standard_set) | {
        "missing": [name for name in standard_set.members if name not in entries],
        "members": {name: entries[name] for name in standard_set.members if name in entries},
    }
    atomic_write(out / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode(), error=SignalError)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        return sha256_of(path)
    except OSError as cause:
        raise SignalError(f"{path} cannot be read ({cause.strerror}); check its permissions") from cause
