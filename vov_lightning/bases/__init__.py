"""Base models: the frozen generators that files are fitted on, by registered name.

A file names its base model by this name only; nothing named in a file is
imported. Other packages register theirs under the entry-point group
``vov_lightning.bases``.
"""

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from vov_lightning.bases.base import BaseModel, ClipSize, Condition
from vov_lightning.errors import BaseModelError
from vov_lightning.nearest import did_you_mean

ENTRY_POINTS = "vov_lightning.bases"


def load_base(name: str, **options) -> BaseModel:
    """Base model ``name``, loaded with ``options``, e.g. ``load_base("nano")``.

    Raises:
        BaseModelError: If no installed package registers ``name``, or its weights cannot be had.
    """
    return base_class(name)(**options)


def load_revision(name: str, revision: str) -> BaseModel:
    """Base model ``name`` as a file names it: of that ``revision`` where the package brings it, else its default.

    Raises:
        BaseModelError: As of `load_base`.
    """
    return load_base(name, **base_class(name).options_for(revision))


def shared_base(name: str, revision: str = "") -> BaseModel:
    """Base model ``name``, on the CPU, as `load_revision` gives it; the last one is kept and comes back for its name.

    Raises:
        BaseModelError: As of `load_base`.
    """
    return _kept(name, **(base_class(name).options_for(revision) if revision else {}))


@lru_cache(maxsize=1)
def _kept(name: str, **options: Any) -> BaseModel:
    return load_base(name, **options)


def base_class(name: str) -> type[BaseModel]:
    """Class registered as ``name``.

    Raises:
        BaseModelError: If no installed package registers ``name``.
    """
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in points:
        raise BaseModelError(
            f"base model {name!r} is not registered; installed: {', '.join(sorted(points))}. "
            f"Install the package that registers it, or pass --base with its class path{did_you_mean(name, points)}"
        )
    return points[name].load()


def class_of(text: str) -> type[BaseModel]:
    """Class that a user means by ``text``: a registered name or a class path, which is imported.

    Not for what a file names: see `base_class`.

    Raises:
        BaseModelError: If it is neither.
    """
    names = {point.name for point in entry_points(group=ENTRY_POINTS)}
    module, _, name = text.rpartition(".")
    if text in names or not module or not all(part.isidentifier() for part in text.split(".")):
        return base_class(text)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BaseModelError(
            f"base model {text!r} cannot be imported ({error}), nor is it registered; installed: "
            f"{', '.join(sorted(names))}. Put the folder that holds {module.split('.')[0]} on PYTHONPATH, or correct it"
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise BaseModelError(f"base model {text!r} is no class derived from vov_lightning.bases.BaseModel")
    return found


__all__ = ["BaseModel", "ClipSize", "Condition", "base_class", "class_of", "load_base", "load_revision", "shared_base"]
