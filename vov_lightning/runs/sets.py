"""A set of clips: who belongs to it, which part of it one machine takes, and the table over what was fitted."""

import json
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vov_lightning.errors import RunError, SettingError, SignalError, SignalWarning
from vov_lightning.files import atomic_write, sha256_of
from vov_lightning.runs.figures import format_db, mean
from vov_lightning.runs.folder import RunFolder
from vov_lightning.video.images import IMAGE_ENDINGS

VIDEO_ENDINGS = (
    ".mp4", ".mov", ".mkv", ".webm", ".y4m", ".avi", ".m4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv",
    ".ogv", ".3gp", ".3g2", ".mxf", ".vob", ".gif", ".avif",
)  # fmt: skip
"""Files of a folder without manifest that are taken for videos."""
BESIDE_ENDINGS = (".txt", ".md", ".json", ".csv", ".yaml", ".yml", ".vov")
"""Files that may lie beside clips without being meant as one."""
MANIFEST = "manifest.json"
FIGURES = ("bytes", "bpp", "psnr_db")
"""Columns of the table, as ``metrics.json`` names them."""


@dataclass(frozen=True)
class Member:
    """One clip or image of a set."""

    name: str
    path: Path

    @property
    def caption(self) -> Path | None:
        """``<name>.txt`` beside the clip, where it exists."""
        path = self.path.with_name(f"{self.name}.txt")
        return path if path.is_file() else None


def read_set(folder: Path, option: str = "--set") -> list[Member]:
    """Members of the set in ``folder``, in the order of the manifest or else of their names.

    With a ``manifest.json`` from ``tools/prepare_dataset.py`` these are its files, each still what it was when it was
    prepared. Otherwise every video, every image and every folder of images is a member.

    Args:
        folder: Where they lie.
        option: The option that names it, for errors.

    Raises:
        SignalError: If there is no such folder, nothing in it, a file that is not the manifest's, or two of one name.
    """
    if not folder.is_dir():
        raise SignalError(
            f"{option} {folder} is not a folder; wanted a folder of clips or images, such as "
            "`python tools/prepare_dataset.py uvg --source DIR --out DIR` fills"
        )
    manifest = folder / MANIFEST
    members = _prepared(manifest) if manifest.is_file() else _found(folder)
    if not members:
        raise SignalError(f"{option} {folder} holds no videos, images or folders of images")
    first: dict[str, Path] = {}
    for member in members:
        if member.name in first:
            raise SignalError(f"{first[member.name]} and {member.path} would both be {member.name}; rename one of them")
        first[member.name] = member.path
    return members


def _prepared(manifest: Path) -> list[Member]:
    try:
        entries = json.loads(manifest.read_text())["members"]
        files = {name: (manifest.parent / Path(entry["file"]).name, entry["sha256"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SignalError(f"{manifest} cannot be read ({error}); prepare the set again into a new folder") from error
    for name, (path, _) in files.items():
        if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
            raise SignalError(f"{manifest} names a member {name!r} ({path.name}); wanted letters, digits, _ . and -")
    for path, sha256 in files.values():
        if not path.is_file() or sha256_of(path) != sha256:
            raise SignalError(f"{path} is missing, or not what {manifest} says; prepare the set again")
    return [Member(name, path) for name, (path, _) in files.items()]


def _found(folder: Path) -> list[Member]:
    def is_member(path: Path) -> bool:
        if path.is_dir():
            return any(child.suffix.lower() in IMAGE_ENDINGS for child in path.iterdir())
        return path.suffix.lower() in (*IMAGE_ENDINGS, *VIDEO_ENDINGS)

    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    members = [path for path in paths if is_member(path)]
    if left := [path.name for path in paths if path not in members and _could_be_meant(path)]:
        warnings.warn(
            f"{folder}: left out, as their endings are of no video or image: {', '.join(left)}; rename or convert them",
            SignalWarning,
            stacklevel=3,
        )
    return [Member(path.stem, path) for path in members]


def _could_be_meant(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in BESIDE_ENDINGS


def part_of_array() -> str | None:
    """The part that this task of a SLURM array takes, such as ``2/8``; None outside of one.

    Raises:
        SettingError: If the array's numbers do not follow each other, so that parts would be missing.
    """
    number, count = (os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT"))
    if number is None or count is None:
        return None
    first, step = (
        int(os.environ.get(f"SLURM_ARRAY_TASK_{name}", default)) for name, default in (("MIN", 1), ("STEP", 1))
    )
    place, left = divmod(int(number) - first, step)
    if left or not 0 <= place < int(count):
        raise SettingError(
            f"SLURM_ARRAY_TASK_ID={number} is not one of {count} numbers from {first} on; submit --array 1-{count}, "
            "or give --part"
        )
    return f"{place + 1}/{count}"


def take_part(members: list[Member], part: str | None) -> list[Member]:
    """Every eighth of ``members`` from the second on for ``2/8``; all of them for None.

    Raises:
        SettingError: If ``part`` is not of that form.

    Example:
        >>> [member.name for member in take_part([Member(name, Path(name)) for name in "abcde"], "2/3")]
        ['b', 'e']
    """
    if part is None:
        return members
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise SettingError(f"--part {part} is not a part of the set; wanted e.g. 2/8: every 8th clip from the 2nd on")
    return members[number - 1 :: count]


def check_set_folder(folder: Path, members: Iterable[Member]) -> None:
    """Raise if a folder of runs holds something else: a single run, or runs of another set.

    Raises:
        RunError: If ``folder`` is a run folder, or a run in it is none of ``members``.
    """
    names = {member.name for member in members}
    if (folder / "config.yaml").exists():
        raise RunError(f"{folder} is the folder of one run and cannot hold a set; choose another --name or --runs")
    found = (path.parent.name for path in folder.glob("*/config.yaml"))
    others = sorted(name for name in found if name not in names and not name.startswith("."))
    if others:
        raise RunError(
            f"{folder} holds runs of another set ({', '.join(others[:3])}{' ...' if others[3:] else ''}); choose "
            "another --name or --runs"
        )


def note_failure(run: RunFolder, error: str) -> None:
    """Note that fitting a clip of a set ended with ``error``."""
    atomic_write(run.failure, f"{error}\n".encode())


def failure_of(run: RunFolder) -> str | None:
    """What the last try at a clip failed with; None if it did not fail, or succeeded later."""
    try:
        return run.failure.read_text().rstrip("\n")
    except FileNotFoundError:
        return None


def summarize(folder: Path, members: Iterable[Member]) -> dict[str, Any]:
    """Figures of the finished runs below ``folder``, their means, and who is missing; written to ``summary.json``.

    Processes that share a set write the same file; the last one to end finds all clips.

    Args:
        folder: Where each member has its run folder.
        members: The whole set.
    """
    clips, failed, unfinished = [], {}, []
    for member in members:
        run = RunFolder(folder / member.name, member.name)
        if (error := failure_of(run)) is not None:
            failed[member.name] = error
            continue
        try:
            found = json.loads(run.metrics.read_text())
        except FileNotFoundError:
            unfinished.append(member.name)
            continue
        clips.append({"name": member.name, **{key: found[key] for key in FIGURES}})
    means = {key: mean(clip[key] for clip in clips) for key in FIGURES} if clips else {}
    summary = {"set": folder.name, "clips": clips, "mean": means, "failed": failed, "unfinished": unfinished}
    atomic_write(folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def format_summary(summary: dict[str, Any]) -> str:
    """The table that ends a set: a line a clip, their means, and what went wrong."""
    width = max(map(len, ["clip", *(clip["name"] for clip in summary["clips"])]))
    lines = [f"{'clip':<{width}}{'bytes':>12}{'bpp':>10}{'PSNR, dB':>10}"]
    means = [{"name": "mean", **summary["mean"]}] if summary["mean"] else []
    for row in [*summary["clips"], *means]:
        lines.append(
            f"{row['name']:<{width}}{row['bytes']:>12.0f}{row['bpp']:>10.4f}{format_db(row['psnr_db'], ''):>10}"
        )
    lines += [f"{name} failed: {error}" for name, error in summary["failed"].items()]
    if summary["unfinished"]:
        lines.append(f"not finished: {', '.join(summary['unfinished'])}")
    return "\n".join(lines)
