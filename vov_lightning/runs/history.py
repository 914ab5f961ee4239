"""The course of a fit, read back from its run folder (`vov_lightning.fitting.history` writes it)."""

import html
import json
from pathlib import Path
from typing import Any

from vov_lightning.errors import RunError, SettingError
from vov_lightning.runs.folder import RunFolder

SHOWN_ROWS = 12
"""Rows that a table shows on the screen; of a longer one the first and the last."""
GAP = "..."


class FitHistory(list[dict[str, Any]]):
    """Rows of a fit by rising step: a list of dictionaries that shows itself as a table and plots itself.

    A row lacks what was not measured after its step; ``val/...`` is there after a validation only.

    Example:
        >>> FitHistory([{"step": 10, "train/distortion": 0.5}, {"step": 20, "train/distortion": 0.25}])
        step  train/distortion
          10  0.5
          20  0.25
    """

    @property
    def columns(self) -> list[str]:
        """Names of all figures, in the order of their first row."""
        return list(dict.fromkeys(name for row in self for name in row))

    def column(self, name: str) -> tuple[list[int], list[float]]:
        """Steps after which figure ``name`` is known, and its values there."""
        known = [row for row in self if row.get(name) is not None]
        return [row["step"] for row in known], [row[name] for row in known]

    def plot(self) -> Any:
        """A `matplotlib.figure.Figure`: a panel against the steps for every figure of training and validation.

        Raises:
            SettingError: If matplotlib is not installed, or there is nothing to show.
        """
        try:
            from matplotlib import pyplot
        except ImportError:
            raise SettingError("history.plot() needs matplotlib; pip install matplotlib") from None
        names = [name for name in self.columns if "/" in name and self.column(name)[0]]
        if not names:
            raise SettingError("history.plot() has nothing to show: no vector was fitted (k = 0)")
        figure, panels = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3), squeeze=False)
        for panel, name in zip(panels[0], names, strict=True):
            panel.plot(*self.column(name), marker="." if name.startswith("val/") else "")
            panel.set(title=name, xlabel="step")
        figure.tight_layout()
        pyplot.close(figure)  # a notebook shows what a cell ends with, and open figures once more
        return figure

    def __repr__(self) -> str:
        if not self:
            return "no rows: no vector was fitted"
        table = self._table()
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        numbers = [cells[0].rjust(widths[0]) for cells in table]
        others = [
            "  ".join(cell.ljust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)) for cells in table
        ]
        return "\n".join(f"{number}  {rest}".rstrip() for number, rest in zip(numbers, others, strict=True))

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in self._table()]
        head = rows[0].replace("td>", "th>") if self else "<td>no rows: no vector was fitted</td>"
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in [head, *rows[1:]])}</table>"

    def _table(self) -> list[list[str]]:
        """Head and cells as text."""
        columns = self.columns
        cells = [[_cell(row.get(name)) for name in columns] for row in self]
        if len(cells) > SHOWN_ROWS:
            half = SHOWN_ROWS // 2
            cells = [*cells[:half], [GAP] * len(columns), *cells[-half:]]
        return [columns, *cells]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read_history(folder: str | Path) -> FitHistory:
    """Rows of the run in ``folder``; none where nothing was fitted (k = 0).

    Raises:
        RunError: If there is no such folder, or its history is damaged.
    """
    path = RunFolder(Path(folder), "").history
    if not path.parent.is_dir():
        raise RunError(f"{folder} is no run folder; name one that `vov-fit` has left, such as runs/sample")
    if not path.exists():
        return FitHistory()
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        steps = [row["step"] for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged ({error!r}); delete it, the compressed file does not depend on it"
        ) from error
    if steps != sorted(set(steps)):
        raise RunError(f"{path} is damaged (steps {steps} do not rise); delete it, nothing else depends on it")
    return FitHistory(rows)
