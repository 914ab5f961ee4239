"""The commands: ``vov-fit``, ``vov-eval`` and ``vov-app``, and, without Lightning, ``vov-decode``, ``vov-edit``,
``vov-info``, ``vov-scale`` and ``vov-export``.
"""

import logging
import sys
import warnings
from pathlib import Path

from vov_lightning.errors import SignalWarning
from vov_lightning.fitting.quiet import ADVICE

# Advice from one dependency to another, which the user of a command cannot act on.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
for message in ADVICE:
    warnings.filterwarnings("ignore", message=message)
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)

_format_as_python_does = warnings.formatwarning


def one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Our own warnings as a command shows its errors, in one line; others as Python shows them."""
    if not issubclass(category, SignalWarning):
        return _format_as_python_does(message, category, filename, lineno, line)
    return f"{Path(sys.argv[0]).name}: warning: {message}\n"


warnings.formatwarning = one_line
