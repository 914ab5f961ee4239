"""What is evaluated: every ``.vov`` file with its clip's name, its rate's name and its source."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from vov_lightning.errors import SettingError
from vov_lightning.fitting.data import SAMPLE
from vov_lightning.fitting.joint import source_name
from vov_lightning.fitting.sets import VIDEO_ENDINGS
from vov_lightning.video.images import IMAGE_ENDINGS


@dataclass(frozen=True)
class SourceOptions:
    """Where sources lie and how they were brought to size."""

    folder: Path | None = None
    """Holds ``<name of the file>.mp4``, ``.png``, ... or a folder of that name; None: where the fits found them."""
    start: int = 0
    """First frame, for files that do not lie in their run's folder."""
    fit: Literal["resize", "crop"] = "resize"
    """How the source was brought to size, likewise."""


@dataclass(frozen=True)
class Entry:
    """One file to evaluate."""

    file: Path
    clip: str
    rate: str
    """Name of the set that it was fitted in: the folder above its run's folder, or its own folder."""
    source: Path
    start: int
    fit: Literal["resize", "crop"]


def find_entries(paths: Iterable[Path], options: SourceOptions = SourceOptions()) -> tuple[list[Entry], dict[str, str]]:
    """The files that ``paths`` name, and those whose source is missing with what is wrong.

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
    entries, failures = [], {}
    for file in sorted(files, key=lambda file: (names[folders[file]], file.stem)):
        try:
            entries.append(_entry(file, names[folders[file]], options))
        except SettingError as error:
            failures[str(file)] = str(error)
    return entries, failures


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SettingError(f"{path} does not exist; wanted a .vov file or a folder that holds some")
    return sorted(found for found in path.rglob("*.vov") if found.is_file())


def _rate_folder(file: Path) -> Path:
    return file.parents[1] if file.parent.name == file.stem else file.parent


def _short_names(folders: set[Path]) -> dict[Path, str]:
    """Last names of ``folders``, or where they would clash, paths from where they part."""
    names = {folder: folder.name for folder in folders}
    if len(set(names.values())) < len(folders):
        above = Path(os.path.commonpath(folders))
        names = {folder: str(folder.relative_to(above)) for folder in folders}
    return names


def _entry(file: Path, rate: str, options: SourceOptions) -> Entry:
    data = _fit_settings(file)
    if options.folder is not None:
        source = find_source(file.stem, options.folder)
    elif data.get("path"):
        source = Path(data["path"])
        if data["path"] != SAMPLE and not source.exists():
            raise SettingError(f"its source {source} is not there any more; give --sources FOLDER")
    else:
        raise SettingError("no config.yaml of its fit lies beside it; give --sources FOLDER")
    fit = options.fit if data.get("fit") in (None, "pad") else data["fit"]
    return Entry(file, file.stem, rate, source, data.get("start", options.start), fit)


def _fit_settings(file: Path) -> dict[str, Any]:
    """Group ``data`` of the run's configuration, of a joint fit with the path of this source; empty where none is."""
    data = _data_settings(file.parent)
    joint = {} if data else _data_settings(file.parents[1])
    own = [path for path in joint.get("paths") or () if source_name(path) == file.stem]
    return joint | {"path": own[0]} if own else data


def _data_settings(folder: Path) -> dict[str, Any]:
    config = folder / "config.yaml"
    found = yaml.safe_load(config.read_text()) if config.is_file() else None
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, dict) else {}


def find_source(name: str, folder: Path) -> Path:
    """The one video, image or folder of frames in ``folder`` that is called ``name``.

    Raises:
        SettingError: If there is none, or more than one.
    """
    if not folder.is_dir():
        raise SettingError(f"--sources {folder} is not a folder")
    found = [folder / f"{name}{ending}" for ending in (*VIDEO_ENDINGS, *IMAGE_ENDINGS)]
    found = [path for path in (*found, folder / name) if path.exists()]
    if len(found) != 1:
        listing = ", ".join(path.name for path in found) or "none"
        raise SettingError(f"--sources {folder} should hold one source called {name}, found: {listing}")
    return found[0]
