"""One owner for a job among many processes and machines: a claim, a file that its owner keeps fresh.

Creating the file is the claim (``O_EXCL``, which network file systems keep
atomic). Its owner touches it every `HEARTBEAT_S` seconds. A claim is stale, and
anybody may take it over, once its process is gone from this machine, or from
another machine once nobody has touched it for `STALE_S` seconds by the file
server's own clock. Whoever holds a second claim, named by the stale owner's
token, may replace the first one; so two that take over at once get one owner.
"""

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from typing_extensions import Self

from vov_lightning.errors import ClaimedError
from vov_lightning.files import atomic_write

HEARTBEAT_S = 10.0
"""Seconds between two touches of a claim."""
STALE_S = 60.0
"""Age in seconds from which a claim of another machine is stale."""
POLL_S = 0.5
"""Seconds between two looks at a claim of another machine."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim."""

    token: str
    """Of this claim alone."""
    host: str
    pid: int
    machine: str
    """Boot and process namespace that ``pid`` is of; empty where the system does not tell."""
    process: str
    """When the process started, as the system counts; empty where it does not tell."""
    since: str
    """Date and time, UTC."""
    job: str
    """Job of a scheduler; empty without one."""

    def __str__(self) -> str:
        job = f", SLURM job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, since {self.since}"

    @classmethod
    def this_process(cls) -> Self:
        """The owner of a new claim."""
        pid, now = os.getpid(), datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        job = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
        name = "_".join(job) if all(job) else os.environ.get("SLURM_JOB_ID", "")
        return cls(secrets.token_hex(8), socket.gethostname(), pid, machine(), process_start(pid) or "", now, name)

    @property
    def is_alive(self) -> bool | None:
        """Whether the process runs; None where it is of another machine, or the system does not tell."""
        if not (self.machine and self.process) or self.machine != machine():
            return None
        return process_start(self.pid) == self.process


class Claim:
    """Holds the claim at ``path`` within the block, or raises.

    An owner on another machine is waited for until it touches its claim, which shows that it is alive, or until the
    claim is stale: a job that a scheduler begins again elsewhere takes over what it had itself. An owner that lost its
    claim, because it was suspended for longer than `STALE_S`, is sent SIGTERM.

    Args:
        path: The file.
        what: What it is a claim on, for the error.

    Raises:
        ClaimedError: If somebody else holds it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self.owner: Owner | None = None
        self._made = [folder for folder in path.parents if not folder.exists()]
        self._released = threading.Event()

    def __enter__(self) -> Self:
        first: tuple[str, int] | None = None
        while (other := self._take()) is not None:
            touched = other.token, _touched(self.path)
            if other.is_alive or (first is not None and touched[0] == first[0] and touched[1] > first[1] > 0):
                raise ClaimedError(
                    f"{self.what} is being worked on by {other}; wait for it, stop it, or choose another --name"
                )
            first = first if first is not None and first[0] == other.token else touched
            time.sleep(POLL_S)
        self._released.clear()
        threading.Thread(target=self._keep_fresh, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if (found := read_claim(self.path)) is not None and found[0] == self.owner:
            self.path.unlink(missing_ok=True)
            for folder in (self.path.parent, *self._made):
                with suppress(OSError):  # something is in it, or it is gone
                    folder.rmdir()

    def _take(self) -> Owner | None:
        """Take the claim; who has it, where that is somebody else."""
        self.owner = Owner.this_process()
        content = json.dumps(asdict(self.owner)).encode()
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("xb") as stream:
                    stream.write(content)
                return None
            except FileExistsError:
                found = read_claim(self.path)
            except FileNotFoundError:  # the last owner has removed the folder
                continue
            if found is None:
                continue
            other, stale = found
            if not stale:
                return other
            try:
                with Claim(self.path.with_name(f"{self.path.name}.{other.token}"), self.what):
                    if read_claim(self.path) == found:
                        atomic_write(self.path, content)
                        return None
            except ClaimedError:
                return other

    def _keep_fresh(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                found = read_claim(self.path)
                if found is not None and found[0] == self.owner:
                    os.utime(self.path)
                    continue
            except OSError:  # the server does not answer; the next time it may
                continue
            if not self._released.is_set():
                taken = f"was taken over by {found[0]}" if found else "is gone"
                print(f"the claim on {self.what} {taken}; this process stops", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
            return


NOBODY = Owner("unknown", "an unknown machine", 0, "", "", "an unknown time", "")
"""Owner of a claim that is being written, or whose writer died in that."""


def read_claim(path: Path) -> tuple[Owner, bool] | None:
    """Owner of the claim at ``path``, and whether it is stale; None where there is no claim."""
    try:
        text, touched_s = path.read_text(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        owner = Owner(**json.loads(text))
    except (ValueError, TypeError):
        owner = NOBODY
    return owner, owner.is_alive is False or _server_time(path) - touched_s > STALE_S


def living(paths: Iterable[Path]) -> set[Path]:
    """Those of the claims at ``paths`` whose owners are alive; others are waited for, once for all, as in `Claim`."""
    first = {path: _touched(path) for path in paths}
    found: set[Path] = set()
    deadline_s = time.monotonic() + 1.5 * HEARTBEAT_S
    while True:
        for path in first.keys() - found:
            claim = read_claim(path)
            if claim is not None and (claim[0].is_alive or _touched(path) > first[path] > 0):
                found.add(path)
        if len(found) == len(first) or time.monotonic() > deadline_s:
            return found
        time.sleep(POLL_S)


def _touched(path: Path) -> int:
    """When ``path`` was touched last, in nanoseconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _server_time(path: Path) -> float:
    """Now in seconds by the clock that dates the files beside ``path``; clocks of machines differ."""
    probe = path.with_name(f".{secrets.token_hex(6)}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # who may only read asks for the state
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def machine() -> str:
    """Boot and process namespace of this process: where two are equal, process numbers mean the same."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """Clock ticks from boot to the start of process ``pid``; None where it has ended, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
