"""The course of a fit, read back from its run folder (`vov_lightning.fitting.history` writes it)."""

import json
from pathlib import Path
from typing import Any

from vov_lightning.errors import RunError
from vov_lightning.runs.folder import RunFolder


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """Rows of the run in ``folder``, by rising step; none where nothing was fitted (k = 0).

    Raises:
        RunError: If there is no such folder, or its history is damaged.
    """
    path = RunFolder(Path(folder), "").history
    if not path.parent.is_dir():
        raise RunError(f"{folder} is no run folder; name one that `vov-fit` has left, such as runs/sample")
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        steps = [row["step"] for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged ({error!r}); delete it, the compressed file does not depend on it"
        ) from error
    if steps != sorted(set(steps)):
        raise RunError(f"{path} is damaged (steps {steps} do not rise); delete it, nothing else depends on it")
    return rows
