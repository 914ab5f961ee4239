"""Code that the commands share: errors of one line, exit codes, base models.

Nothing here imports torch before it is needed: ``vov-info`` reads a file without it.
"""

import os
import select
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jsonargparse import ArgumentParser, Namespace

from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.cli import light
from vov_lightning.cli.settings import BASE, DEVICE
from vov_lightning.errors import SettingError, SignalError, VovError

if TYPE_CHECKING:
    from vov_lightning.bases import BaseModel


class Main(Protocol):
    """A command: takes arguments, by default the command line's, and returns the exit status."""

    def __call__(self, args: list[str] | None = None) -> int: ...


def command(run: Callable[[list[str] | None], int | None]) -> Main:
    """Entry point that turns our own errors into one line on stderr and exit status 1.

    Our own are also those that jsonargparse wraps where an optional class fails to load. Where nobody reads standard
    output any more (``| head``), the command ends in silence with a shell's status for that, 141.
    """

    @wraps(run)
    def main(args: list[str] | None = None) -> int:
        try:
            status = run(args) or 0
            sys.stdout.flush()  # a closed pipe shows here rather than when Python exits
            return status
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _stdout_is_closed():
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
                return 141
            own = own_error(error)
            if own is None and type(error).__name__ == "OutOfMemoryError":  # torch's, imported by now
                from vov_lightning.bases.memory import out_of_memory

                print(f"{Path(sys.argv[0]).name}: {out_of_memory(error)}", file=sys.stderr)
                return 1
            if own is None:
                raise
            print(f"{Path(sys.argv[0]).name}: {type(own).__name__}: {own}", file=sys.stderr)
            return 1

    return main


def own_error(error: BaseException | None) -> VovError | None:
    """``error``, or the first `VovError` that it was raised from or while handling; None without one."""
    while error is not None and not isinstance(error, VovError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def _stdout_is_closed() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # asks for errors alone
    return bool(poll.poll(0))


def add_flag(parser: ArgumentParser, name: str, description: str) -> None:
    """Add the boolean option ``name``, off by default: on when it stands alone, and YAML may set it."""
    parser.add_argument(f"--{name}", type=bool, nargs="?", const=True, default=False, help=description)


def add_decoder_arguments(parser: ArgumentParser) -> None:
    """Add the options of every command that decodes: ``device``, ``base``, ``limits``."""
    parser.add_argument("--device", type=str, default="cpu", help=DEVICE.text)
    add_base_arguments(parser)


def add_base_arguments(parser: ArgumentParser) -> None:
    """Add the options of every command that loads a base model: ``base``, ``limits``."""
    from vov_lightning.bases import BaseModel

    parser.add_subclass_arguments(BaseModel, "base", required=False, instantiate=False, help=BASE.text)
    parser.add_class_arguments(Limits, "limits")


def class_path(cls: type) -> str:
    """``cls`` as jsonargparse names it in a configuration."""
    return f"{cls.__module__}.{cls.__qualname__}"


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "WIDTHxHEIGHT".

    Raises:
        SettingError: If it is anything else.

    Example:
        >>> parse_size("832x480")
        (832, 480)
    """
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise SettingError(f"size={text!r} is not WIDTHxHEIGHT in pixels; for example 832x480")
    return int(sides[0]), int(sides[1])


def load_decoder(file: VovFile, options: Namespace) -> "BaseModel":
    """`base_of` the file on ``--device``."""
    from vov_lightning.bases.memory import check_device
    from vov_lightning.codec.decode import place

    check_device(options.device)
    return place(base_of(file, options), file, options.device)


def base_of(file: VovFile, options: Namespace) -> "BaseModel":
    """The base model of ``--base``, or the one that ``file`` names."""
    from vov_lightning.bases import load_revision

    given = given_base(options)
    if given is not None:
        return given
    light.prepare_for(file.header.base_name)
    return load_revision(file.header.base_name, file.header.base_revision)


def check_source(option: str, path: str) -> None:
    """Refuse a source that is not there, before a base model is loaded.

    Raises:
        SignalError: If nothing lies at ``path``.
    """
    if not Path(path).exists():
        raise SignalError(f"{option} {path} does not exist; give a video, an image or a folder of frames")


def given_base(options: Namespace) -> "BaseModel | None":
    """The base model of ``--base``, loaded now that everything else has been checked; None without one."""
    return made(options.get("base"))


def made(value: Any) -> Any:
    """What ``value`` describes: a class path and its arguments become an object, anything else stays."""
    if not (isinstance(value, Namespace) and "class_path" in value):
        return value
    module, _, name = value.class_path.rpartition(".")
    settings = value.get("init_args") or Namespace()
    return getattr(import_module(module), name)(**{key: made(one) for key, one in vars(settings).items()})
