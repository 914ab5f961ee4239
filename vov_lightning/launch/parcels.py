"""Clips and run folders that travel to workers which do not see the folder of the set, and come back from them.

A `Keeper` runs where the command runs. It hands out a clip with what there is
of its run, takes in every new checkpoint, and at the end the finished run. So
a worker that dies costs what it did since its last checkpoint, wherever the
next one is.
"""

import io
import os
import secrets
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from vov_lightning.files import FRAGMENT, atomic_write
from vov_lightning.runs.claims import Claim
from vov_lightning.runs.folder import JOBS, RunFolder
from vov_lightning.runs.sets import Member, note_failure

LOOK_S = 1.0
"""Seconds between two looks for a new checkpoint that is sent."""


@dataclass(frozen=True)
class Parcel:
    """A clip on its way to a worker."""

    source: bytes
    """Archive of the clip, and of its caption where it has one."""
    run: bytes
    """Archive of its run folder."""


@dataclass(frozen=True)
class Mark:
    """A file by which a worker knows whether it sees the folder of the set."""

    path: Path
    shared: bool | None
    """What the user says; None to look."""

    @property
    def is_seen(self) -> bool:
        """Whether this process sees the folder."""
        return self.path.is_file() if self.shared is None else self.shared


@contextmanager
def marked(folder: Path, shared: bool | None) -> Iterator[Mark]:
    """A mark in ``folder`` that is removed at the end of the block."""
    mark = Mark(folder / JOBS / f"{secrets.token_hex(8)}.seen", shared)
    atomic_write(mark.path, b"")
    try:
        yield mark
    finally:
        mark.path.unlink(missing_ok=True)
        with suppress(OSError):  # claims are in it
            mark.path.parent.rmdir()


class Keeper:
    """Sends clips to workers and keeps what comes back; it holds the claims on their runs meanwhile.

    Args:
        folder: Of the set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claims: dict[str, Claim] = {}

    def send(self, member: Member) -> Parcel:
        """What a worker needs for ``member``.

        Raises:
            ClaimedError: If another command works on the clip.
        """
        run = self._run(member)
        if member.name not in self._claims:
            self._claims[member.name] = Claim(run.claim, str(run.path)).__enter__()
        files = [member.path, *([member.caption] if member.caption else [])]
        return Parcel(pack({file.name: file for file in files}), pack({"run": run.path}))

    def keep(self, member: Member, run: bytes) -> None:
        """Take in the run folder of ``member`` as it is on a worker."""
        folder = self._run(member)
        unpack(run, folder.path.parent, {"run": member.name})
        readdress(folder, member)

    def end(self, member: Member, run: bytes, error: str | None) -> None:
        """Take in the run folder as the worker leaves it, and what it failed with; let go of the claim."""
        home = self._run(member)
        home.clear_segments()
        home.unfinished.unlink(missing_ok=True)  # the worker's own comes back where it has one
        self.keep(member, run)
        if error is not None:
            note_failure(home, error)
        else:
            home.failure.unlink(missing_ok=True)
        if (claim := self._claims.pop(member.name, None)) is not None:
            claim.__exit__()

    def _run(self, member: Member) -> RunFolder:
        return RunFolder(self.folder / member.name, member.name)


def pack(paths: dict[str, Path]) -> bytes:
    """An archive of files and folders under new names, with what links lead to.

    What does not exist is left out, and so are files that are being written.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
        for name, path in paths.items():
            for file in _files_below(path):
                with suppress(FileNotFoundError):  # a segment that is removed just now
                    archive.add(file, Path(name, file.relative_to(path)), recursive=False)
    return stream.getvalue()


def _files_below(path: Path) -> Iterator[Path]:
    """``path`` itself, or all files in the folder that it is."""
    if path.is_file():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith(FRAGMENT))


def unpack(data: bytes, folder: Path, names: dict[str, str]) -> None:
    """Write the files of an archive below ``folder``, each whole or not at all; ``metrics.json`` comes last.

    Args:
        data: The archive.
        folder: Where to.
        names: New names for the first part of paths; the others stay.
    """
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = sorted(
            (one for one in archive.getmembers() if one.isfile()), key=lambda one: "metrics.json" in one.name
        )
        for file in files:
            first, *rest = Path(file.name).parts
            content = archive.extractfile(file)
            assert content is not None
            atomic_write(Path(folder, names.get(first, first), *rest), content.read())


def readdress(run: RunFolder, member: Member) -> None:
    """Make the settings of ``run`` name the clip where ``member`` has it."""
    if run.config.exists():
        settings = yaml.safe_load(run.config.read_text())
        settings["data"]["path"] = str(member.path)
        if member.caption is not None:
            settings["data"]["caption_file"] = str(member.caption)
        atomic_write(run.config, yaml.safe_dump(settings, sort_keys=False).encode())


def receive(parcel: Parcel, member: Member, folder: Path, runs: Path) -> Member:
    """``member`` as it is on this machine, with its clip in ``folder`` and its run below ``runs``."""
    unpack(parcel.source, folder, {})
    here = Member(member.name, folder / member.path.name)
    unpack(parcel.run, runs, {"run": member.name})
    readdress(RunFolder(runs / member.name, member.name), here)
    return here


class Sender:
    """Sends the run folder to the keeper whenever there is a new checkpoint or segment, within the block.

    Args:
        send: Takes an archive.
        run: The folder.
    """

    def __init__(self, send: Callable[[bytes], object], run: RunFolder) -> None:
        self._send, self._run = send, run
        self._stop = threading.Event()
        self._seen: object = self._state()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            state = self._state()
            with suppress(OSError):  # a file that changes while it is read: the next look finds it whole
                if state != self._seen:
                    self._send(pack({"run": self._run.path}))
                    self._seen = state

    def _state(self) -> object:
        """What changes with a checkpoint and with a segment; a fit may have either without the other."""
        checkpoint = self._run.last_checkpoint
        try:
            saved_ns = os.stat(checkpoint).st_mtime_ns
        except FileNotFoundError:
            saved_ns = 0
        return saved_ns, sorted(self._run.kept_segments.rglob("[0-9]*.vov"))
