"""What is evaluated: every ``.vov`` file with its clip's name, its rate's name and its source."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vov_lightning.errors import SettingError, SignalError
from vov_lightning.files import sha256_of
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.joint import source_name
from vov_lightning.runs.sets import read_set
from vov_lightning.runs.source import SAMPLE
from vov_lightning.video.source import Fit


@dataclass(frozen=True)
class SourceOptions:
    """Where sources lie and how they were brought to size."""

    folder: Path | None = None
    """Folder with ``<name of the file>.mp4``, ``.png``, ..., or a folder of that name; None: as the fits found them."""
    start: int = 0
    """First frame, for files that do not lie in their run's folder."""
    fit: Fit | None = None
    """How such a source was brought to size; None: as the sizes of source and file suggest."""


@dataclass(frozen=True)
class Entry:
    """One file to evaluate."""

    file: Path
    clip: str
    rate: str
    """Name of the set that it was fitted in: the folder above its run's folder, or its own folder."""
    source: Path
    start: int
    fit: Fit | None


def find_entries(paths: Iterable[Path], options: SourceOptions = SourceOptions()) -> tuple[list[Entry], dict[str, str]]:
    """Files to evaluate, and for each file without a usable source what is wrong, by its path.

    Args:
        paths: ``.vov`` files, and folders that hold some at any depth.
        options: Where the sources are.

    Raises:
        SettingError: If there is nothing at a path, no file in all of them, or two of one clip in one set.
    """
    files = [file for path in paths for file in _files_at(path)]
    files = list(dict.fromkeys(file.resolve() for file in files))
    if not files:
        raise SettingError("there is no .vov file in what is to be evaluated; name files, run folders or sets of them")
    folders = {file: _rate_folder(file) for file in files}
    names = _short_names(set(folders.values()))
    twice = [pair for pair, count in Counter((file.stem, folders[file]) for file in files).items() if count > 1]
    if twice:
        clip, folder = twice[0]
        raise SettingError(f"{folder} holds more than one file of {clip}; move them into sets of their own")
    sources = {} if options.folder is None else _sources_in(options.folder)
    entries, failures = [], {}
    for file in sorted(files, key=lambda file: (names[folders[file]], file.stem)):
        try:
            entries.append(_entry(file, names[folders[file]], options, sources))
        except SettingError as error:
            failures[str(file)] = str(error)
    return entries, failures


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SettingError(f"{path} does not exist; wanted a .vov file or a folder that holds some")
    found = (file for file in path.rglob("*.vov") if file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


def _rate_folder(file: Path) -> Path:
    return file.parents[1] if file.parent.name == file.stem else file.parent


def _short_names(folders: set[Path]) -> dict[Path, str]:
    """Last names of ``folders``, or where they would clash, paths from where they part."""
    names = {folder: folder.name for folder in folders}
    if len(set(names.values())) < len(folders):
        above = Path(os.path.commonpath(folders))
        names = {folder: str(folder.relative_to(above)) for folder in folders}
    return names


def _entry(file: Path, rate: str, options: SourceOptions, sources: dict[str, Path]) -> Entry:
    if RunFolder(file.parent, file.stem).unfinished.is_file():
        raise SettingError("its fit is not finished, unfinished.json says why; let the same vov-fit command go on")
    data = _fit_settings(file)
    if options.folder is not None:
        if file.stem not in sources:
            raise SettingError(f"--sources {options.folder} holds no source called {file.stem}")
        source = sources[file.stem]
        _check_source(source, data.get("source_sha256"))
    elif data.get("path"):
        source = Path(data["path"])
        _check_source(source, data.get("source_sha256"))
    else:
        raise SettingError("no config.yaml of its fit lies beside it; give --sources FOLDER")
    fit = data.get("fit") or options.fit
    return Entry(file, file.stem, rate, source, data.get("start", options.start), fit)


def _check_source(source: Path, sha256: str | None) -> None:
    """Raise if the source is missing or has changed since the fit."""
    if str(source) == SAMPLE:
        return
    if not source.exists():
        raise SettingError(f"its source {source.absolute()} is not there; give --sources FOLDER")
    if sha256 is not None and sha256_of(source) != sha256:
        raise SettingError(
            f"{source} is not what was compressed: its SHA-256 is not that of the run's config.yaml; give --sources "
            "FOLDER, or, to measure against something else, move the .vov file out of its run"
        )


def _fit_settings(file: Path) -> dict[str, Any]:
    """Group ``data`` of the run's configuration; for a joint fit with the path of this source; empty without one."""
    data = _data_settings(file.parent)
    joint = {} if data else _data_settings(file.parents[1])
    for path in joint.get("paths") or ():
        if source_name(path) == file.stem:
            return joint | {"path": path, "source_sha256": (joint["sources_sha256"] or {}).get(path)}
    return data


def _data_settings(folder: Path) -> dict[str, Any]:
    config = folder / "config.yaml"
    try:
        found = yaml.safe_load(config.read_text()) if config.is_file() else None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingError(f"{config} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
        return {}
    return found["data"] | {name: found.get(name) for name in ("source_sha256", "sources_sha256")}


def _sources_in(folder: Path) -> dict[str, Path]:
    """Videos, images and folders of frames in ``folder`` by name, as `vov-fit --set` takes them.

    Raises:
        SettingError: If there is no such folder, nothing in it, or two of one name.
    """
    try:
        return {member.name: member.path for member in read_set(folder, "--sources")}
    except SignalError as error:
        raise SettingError(str(error)) from error
