"""Files that appear whole or not at all.

Everything the package writes goes to a temporary name in the destination's own folder, is flushed to the disk
(``fsync``) and is then renamed over the destination, which file systems do in one step. A full disk or an error
half-way leaves an older file as it was and no fragment beside it. A killed process leaves a fragment, which
`clear_fragments` removes. A folder that is replaced steps aside between two renames; a kill at that moment leaves it as
``.NAME-before-...`` beside its place, and nothing removes that.

Errors of the operating system become a :class:`~vov_lightning.errors.VovError` that names the path; a caller with a
more fitting subclass passes it as ``error``.
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from vov_lightning.errors import VovError

FRAGMENT = ".vov-"
"""How the names of temporary files and folders begin."""


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], *, overwrite: bool = True, error: type[VovError] = VovError
) -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    Args:
        path: The file to appear. Missing parent folders are created; a symbolic link keeps pointing where it did.
        overwrite: Whether an existing file may be replaced.
        error: Class of the errors raised here.

    Yields:
        A path in the same folder and with the same ending, at which nothing exists yet.

    Raises:
        VovError: If ``path`` is not a file that can be written, or exists and ``overwrite`` is false.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with atomic_path(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text()
        'whole'
    """

    def check() -> None:
        check_file(path, overwrite=overwrite, error=error)

    with _renamed_on_success(path, check, error) as (temporary, target):
        yield temporary
        _fsync(temporary)
        os.replace(temporary, target)


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    replaceable: Callable[[Path], bool],
    error: type[VovError] = VovError,
) -> Iterator[Path]:
    """An empty temporary folder to fill; it becomes ``path`` when the block ends without an error.

    Args:
        path: The folder to appear. Missing parent folders are created.
        overwrite: Whether an existing folder may be replaced.
        replaceable: Says of an entry of an existing folder whether it may be lost; one that may not stops the write.
        error: Class of the errors raised here.

    Yields:
        An empty folder beside ``path``.

    Raises:
        VovError: If ``path`` cannot be written, or holds something that is not ``replaceable``.
    """

    def check() -> None:
        check_folder(path, overwrite=overwrite, replaceable=replaceable, error=error)

    with _renamed_on_success(path, check, error) as (temporary, target):
        temporary.mkdir()
        yield temporary
        for entry in (*temporary.iterdir(), temporary):
            _fsync(entry)
        if not target.exists():
            os.rename(temporary, target)
            return
        # A folder with entries cannot be replaced by a rename: the old one steps aside, and back on failure.
        aside = target.with_name(f".{target.name}-before-{secrets.token_hex(6)}")  # a kill right here leaves it there
        os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def atomic_write(
    path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True, error: type[VovError] = VovError
) -> None:
    """Write ``data`` to ``path``, whole or not at all; see :func:`atomic_path` for arguments and errors."""
    with atomic_path(path, overwrite=overwrite, error=error) as temporary:
        temporary.write_bytes(data)


def clear_fragments(folder: Path, age_s: float = 3600.0) -> None:
    """Remove what killed processes left in ``folder`` and below.

    Args:
        folder: It has one owner, and this process is it.
        age_s: Seconds since the last write; what another command writes there at this moment is younger.
    """
    paths: list[Path] = []
    with suppress(OSError):  # a folder below was moved meanwhile
        paths = list(folder.rglob(f"{FRAGMENT}*"))
    for path in paths:
        with suppress(OSError):  # its writer was faster, or it is another user's
            if time.time() - path.stat().st_mtime > age_s:
                _remove(path)


def check_file(path: str | os.PathLike[str], *, overwrite: bool = True, error: type[VovError] = VovError) -> None:
    """Raise what `atomic_path` would, as far as it is known before anything is written; arguments as there."""
    target = _checked_place(path, overwrite, error)
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "neither a file nor a folder"
        raise error(f"{path} is {kind}; name a file to write")


def check_folder(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    replaceable: Callable[[Path], bool],
    error: type[VovError] = VovError,
) -> None:
    """Raise what `atomic_folder` would, as far as it is known before anything is written; arguments as there."""
    target = _checked_place(path, overwrite, error)
    if target == Path.cwd():
        raise error(f"a folder cannot replace the one that this command runs in ({target}); name another")
    if target.exists() and not target.is_dir():
        raise error(f"{path} is a file, and a folder is to be written there; remove it or choose another name")
    for entry in target.iterdir() if target.exists() else ():
        if not replaceable(entry):
            raise error(f"{path} holds {entry.name}, which replacing the folder would delete; choose a new folder")


def _checked_place(path: str | os.PathLike[str], overwrite: bool, error: type[VovError]) -> Path:
    """Where ``path`` leads, once something can be written there."""
    target = Path(os.path.realpath(path))
    if target.exists() and not overwrite:
        raise error(f"{path} exists; choose another name or set overwrite")
    there = next((folder for folder in target.parents if folder.exists()), target)
    if not there.is_dir():
        raise error(f"{path} cannot be written ({there} is a file, not a folder); choose another folder")
    if not os.access(there, os.W_OK):
        raise error(f"{path} cannot be written (no permission in {there}); choose another folder")
    return target


@contextmanager
def _renamed_on_success(
    path: str | os.PathLike[str], check: Callable[[], None], error: type[VovError]
) -> Iterator[tuple[Path, Path]]:
    """The temporary path and the resolved target; whatever is left at the temporary path is removed at the end."""
    try:
        check()
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_name(target)
        try:
            yield temporary, target
        finally:
            _remove(temporary)
        _fsync(target.parent)
    except (OSError, SafetensorError) as cause:  # safetensors wraps a full disk in an error of its own
        reason = getattr(cause, "strerror", None) or str(cause)
        raise error(f"{path} cannot be written ({reason}); choose a folder with space and write permission") from cause


def _temporary_name(target: Path) -> Path:
    return target.with_name(f"{FRAGMENT}{secrets.token_hex(6)}{target.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    """Wait until ``path`` is on the disk. Windows can flush neither a folder nor a file opened for reading."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files; 64 hex digits.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a").write_bytes(b"abc")
        >>> sha256_of(folder / "a")[:8]
        'ba7816bf'
        >>> sha256_of(folder) == sha256_of(folder / "a")
        False
    """
    found = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as stream:
            while piece := stream.read(2**20):
                found.update(piece)
        return found.hexdigest()
    for file in sorted(entry for entry in path.iterdir() if entry.is_file()):
        found.update(f"{sha256_of(file)} {file.name}\n".encode())
    return found.hexdigest()
