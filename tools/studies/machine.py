"""Where a study's results come from: machine, date and command."""

import os
import shlex
import sys
from datetime import date
from pathlib import Path


def machine(threads: int = 0) -> str:
    """Cores and model of the processor, and how many threads were used; 0: all.

    Example:
        >>> machine(1).endswith("(one thread used)")
        True
    """
    info = Path("/proc/cpuinfo")  # Linux; elsewhere the model is not said
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    used = {0: "", 1: " (one thread used)"}.get(threads, f" ({threads} threads used)")
    return f"{os.cpu_count()} cores of {models[0] if models else 'an unnamed processor'}{used}"


def about(threads: int = 0) -> dict[str, str]:
    """What every result begins with; ``threads``: as of `machine`."""
    return {
        "machine": machine(threads),
        "date": date.today().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
    }
