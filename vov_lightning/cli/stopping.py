"""How ``vov-fit`` ends when it is stopped: one line, and the exit status that shells and schedulers expect.

130, 143 and 129 after Ctrl-C, SIGTERM and SIGHUP, `UNFINISHED` where a limit of
the trainer has ended a fit early. Under SLURM, the signal that comes before the
end of the job (SIGUSR1 or SIGUSR2) puts the job back into the queue.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from vov_lightning.errors import UnfinishedError
from vov_lightning.fitting.interruption import Interrupted, stopped_by_signals
from vov_lightning.fitting.quiet import without_chatter

UNFINISHED = 75
"""Exit status of a fit that stopped early and can be continued: "try again" in sysexits.h."""

REQUEUE = ("SIGUSR1", "SIGUSR2")
"""Signals that SLURM is told to send before a job's time is over (``sbatch --signal=SIGUSR1@90``)."""


def stoppable(run: Callable[[list[str] | None], int]) -> Callable[[list[str] | None], int]:
    """``run`` without Lightning's chatter, and with one line and an exit status for each way of being stopped."""

    @wraps(run)
    def main(args: list[str] | None = None) -> int:
        try:
            with stopped_by_signals(), without_chatter():
                return run(args)
        except UnfinishedError as error:
            say(str(error))
            return UNFINISHED
        except Interrupted as stop:
            say(f"{stop.line}; the same command goes on")
            requeue(stop.signum)
            return stop.status

    return main


def say(line: str) -> None:
    """Print ``line`` under the command's name to standard error."""
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr, flush=True)


def requeue(signum: int) -> None:
    """Put this SLURM job back into the queue, if there is one and ``signum`` is the signal for that."""
    job, array = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        job = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    if signal.Signals(signum).name not in REQUEUE or not re.fullmatch(r"\d+(_\d+)?", job):
        return
    try:
        status = subprocess.run(["scontrol", "requeue", job], check=False).returncode
    except OSError as error:
        say(f"job {job} was not requeued: scontrol cannot be run ({error.strerror})")
    else:
        say(f"job {job} was requeued" if status == 0 else f"job {job} was not requeued: scontrol ended with {status}")
