"""Lightning's trainer and loggers as ``vov-fit`` makes them: settings in, one line where they do not work."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from vov_lightning.cli.common import own_error
from vov_lightning.errors import SettingError


def spell_enums(settings: Any) -> None:
    """Replace members of enumerations by their values, which YAML can hold: `Timer` has one for a default."""
    if isinstance(settings, list):
        for one in settings:
            spell_enums(one)
    elif isinstance(settings, Namespace):
        for name, value in vars(settings).items():
            if isinstance(value, Enum):
                settings[name] = value.value
            else:
                spell_enums(value)


def loggers_of(trainer: Namespace) -> list[Namespace]:
    """Configurations of the loggers in group ``trainer``: none, one, or a list of them; ``true`` is Lightning's own."""
    found = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    return [one for one in found if isinstance(one, Namespace) and one.get("init_args")]


def place_loggers(trainer: Namespace, folder: Path, name: str, member: bool) -> None:
    """Give loggers what they leave open: the run's folder, its name, and for a clip of a set an id of its own.

    Args:
        trainer: Group ``trainer`` of the configuration; changed.
        folder: Of the run.
        name: Of the run.
        member: Whether the run is one of a set. Its clips share the environment, so ``WANDB_RUN_ID`` cannot be the id
            of each; the clip's name makes one of it that stays the same when the set goes on.
    """
    shared = os.environ.get("WANDB_RUN_ID")
    for logger in loggers_of(trainer):
        settings = logger.init_args
        if settings.get("save_dir", ".") == "." and "save_dir" in settings:
            settings.save_dir = str(folder)
        if "name" in settings and settings.name in (None, "lightning_logs"):
            settings.name = name
        if member and shared and "id" in settings and settings.id is None:
            settings.id = re.sub(r"[^\w-]", "-", f"{shared}-{name}", flags=re.ASCII)


def shows_progress(trainer: Any) -> bool:
    """Whether the user's own callbacks in ``trainer`` (classes already made) include a progress bar."""
    callbacks = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
    return any(isinstance(one, ProgressBar) for one in callbacks)


@contextmanager
def one_line_errors(trainer: Any, of_trainer: bool = False) -> Iterator[None]:
    """Within the block, errors of what group ``trainer`` names become one line.

    Args:
        trainer: The group.
        of_trainer: Whether the block makes nothing but Lightning's trainer, so that every wrong value is of the group.

    Raises:
        SettingError: If Lightning cannot make the trainer, or a class of the configuration does not load.
    """
    try:
        yield
    except (MisconfigurationException, ImportError, ValueError) as error:
        found = re.search(r"Problem with given class_path '([^']+)':\s*\n\s*([^\n]+)", str(error))
        if found is not None and own_error(error) is None:
            raise SettingError(f"class {found[1]} cannot be used: {found[2]}") from error
        if own_error(error) is not None or (type(error) is ValueError and not of_trainer):
            raise
        said = " ".join(str(error).split())
        raise SettingError(
            f"trainer.accelerator={trainer.accelerator}, devices={trainer.devices}, strategy={trainer.strategy} "
            f"and what else --trainer says do not work here: {said}; --trainer.accelerator auto takes what there is"
        ) from error
