"""Configurations of the command line: shipped ones by bare name, each read before the parser sees it."""

import json
from pathlib import Path

import yaml

from vov_lightning.errors import SettingError
from vov_lightning.nearest import did_you_mean

OPTIONS = ("--config", "-c")
GROUPS = ("data", "model", "trainer", "stage1", "stage2", "scaling", "drift", "launch")
"""Settings that hold further ones."""


def shipped_configs() -> Path:
    """Folder of the configurations that come with the package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_configs(args: list[str]) -> list[str]:
    """``args`` with the path of every shipped configuration that ``--config`` or ``-c`` names and that is no file here.

    Raises:
        SettingError: If a name is that of no file, or the file holds no settings.

    Example:
        >>> Path(find_configs(["--config", "nano.yaml"])[1]).is_file()
        True
    """
    found = list(args)
    for index, argument in enumerate(found):
        if argument.startswith("--config="):
            found[index] = "--config=" + _find(argument.removeprefix("--config="))
        elif index and found[index - 1] in OPTIONS:
            found[index] = _find(argument)
    return found


def _find(name: str) -> str:
    folder = shipped_configs()
    path = folder / name if not Path(name).exists() and (folder / name).is_file() else Path(name)
    if not path.is_file():
        names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*.yaml"))]
        kind = "a folder" if path.is_dir() else "no file, here or among the shipped ones"
        near = did_you_mean(name, [*names, *(Path(one).stem for one in names)])
        shipped = "; shipped: " + ", ".join(names)
        raise SettingError(f"--config {name} is {kind}{near or shipped}")
    try:
        settings = yaml.safe_load(path.read_text())
        json.dumps(settings, default=str)  # refuses what holds itself
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split()).replace('in "<unicode string>", ', "")
        raise SettingError(f"--config {name} is no YAML file ({said}); correct it, or give another") from error
    if not isinstance(settings, dict):
        held = "nothing" if settings is None else f"a {type(settings).__name__}"
        raise SettingError(f"--config {name} holds {held}, wanted settings by name such as data: {{frames: 9}}")
    for group in GROUPS:
        if group in settings and not isinstance(settings[group], dict):
            raise SettingError(f"--config {name} holds {group}: {settings[group]}, wanted settings by name below it")
    return str(path)
