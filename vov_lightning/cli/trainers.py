"""Lightning's trainer and loggers as ``vov-fit`` makes them: settings in, one line where they do not work."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from vov_lightning.errors import SettingError


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
def one_line_errors() -> Iterator[None]:
    """Within the block, what Lightning says of a trainer that cannot be made becomes a `SettingError` of one line."""
    try:
        yield
    except (MisconfigurationException, ImportError) as error:
        said = " ".join(str(error).split())
        raise SettingError(f"the settings of --trainer do not work here: {said}") from error
