"""The commands: ``vov-fit``, ``vov-eval`` and ``vov-app``, and, without Lightning, ``vov-decode``, ``vov-edit``,
``vov-info``, ``vov-scale`` and ``vov-export``.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import TextIO

from vov_lightning.errors import SignalWarning
from vov_lightning.fitting.quiet import ADVICE

# Advice from one dependency to another, which the user of a command cannot act on.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
for message in ADVICE:
    warnings.filterwarnings("ignore", message=message)
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)

_show_as_python_does = warnings.showwarning


def show_in_one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as a command shows its errors, in one line; others as Python does."""
    if issubclass(category, SignalWarning):
        print(f"{Path(sys.argv[0]).name}: warning: {message}", file=file or sys.stderr)
    else:
        _show_as_python_does(message, category, filename, lineno, file, line)


warnings.showwarning = show_in_one_line  # Lightning replaces warnings.formatwarning when it is imported
