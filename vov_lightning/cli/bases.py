"""Base models on the command line: by registered name or class path, and loaded once for all clips of a set."""

import sys
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from vov_lightning.bases import ENTRY_POINTS, BaseModel

OPTIONS = (
    *("--base", "--model.base", "--model.fit_base"),
    *("--base.class_path", "--model.base.class_path", "--model.fit_base.class_path"),
)
"""Options that take a base model."""
PARSER_MODE = "vov_yaml"
"""jsonargparse's name for YAML in which registered names stand for class paths; for ``parser_mode``."""


def with_class_paths(args: list[str] | None) -> list[str]:
    """``args``, or the command line's, with the class path in place of a registered name behind each of `OPTIONS`.

    Example:
        >>> with_class_paths(["--base", "nano"])
        ['--base', 'vov_lightning.bases.nano.Nano']
    """
    args = sys.argv[1:] if args is None else args
    paths = _class_paths()
    joined = {f"{option}={name}": f"{option}={path}" for option in OPTIONS for name, path in paths.items()}
    before = ["", *args][: len(args)]
    return [(paths if last in OPTIONS else joined).get(word, word) for last, word in zip(before, args, strict=True)]


def load_yaml(text: str) -> Any:
    """``text`` as jsonargparse reads YAML, with class paths in place of registered names under keys ``base``."""
    return _named(get_loader("yaml")(text), _class_paths())


set_loader(PARSER_MODE, load_yaml, (yaml.YAMLError,))


@cache
def _class_paths() -> dict[str, str]:
    # Kept: a parser asks for every value, and looking through all installed packages takes 20 ms.
    return {point.name: point.value.replace(":", ".") for point in entry_points(group=ENTRY_POINTS)}


def _named(tree: Any, paths: dict[str, str]) -> Any:
    if not isinstance(tree, dict):
        return tree
    found = {key: _named(value, paths) for key, value in tree.items()}
    for key in ("base", "fit_base"):
        base = found.get(key)
        if isinstance(base, str):
            found[key] = paths.get(base, base)
        elif isinstance(base, dict) and isinstance(base.get("class_path"), str):
            base["class_path"] = paths.get(base["class_path"], base["class_path"])
    return found


class SharedBase:
    """Makes the base model that a configuration asks for, or hands out the last one where it asks for the same.

    Args:
        stand_in: Make `BaseModel.stand_in`, for a dry run.
    """

    def __init__(self, stand_in: bool = False) -> None:
        self.stand_in = stand_in
        self.loading = False
        self._settings: Any = None
        self._base: BaseModel | None = None

    def __call__(self, base_class: type[BaseModel], **settings: Any) -> BaseModel:
        if self._base is None or self._settings != (base_class, settings):
            self.forget()
            self.loading = True  # and so it stays where loading fails
            self._base = base_class.stand_in(**settings) if self.stand_in else base_class(**settings)
            self._settings = base_class, settings
            self.loading = False
        # Where a fresh one would lie: captions are embedded there, and devices round differently.
        return self._base.to("cpu")

    def forget(self) -> None:
        """Drop the base model, so that nothing of a failed fit is left on the next one."""
        self._base = None
