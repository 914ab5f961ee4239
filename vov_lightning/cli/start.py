"""Where the commands begin: what needs no parser is answered here, in a fraction of a second."""

import sys
from importlib import import_module

from vov_lightning.cli.help import asks_for_help, first_help
from vov_lightning.cli.settings import COMMANDS, START


def start(name: str, args: list[str] | None = None) -> int:
    """Run the command ``vov-<name>`` on ``args``, by default the command line's; the exit status."""
    args = sys.argv[1:] if args is None else args
    if asks_for_help(args):
        print(first_help(COMMANDS[f"vov-{name}"]), end="")
        return 0
    if name == "fit" and not args:
        print(START, end="", file=sys.stderr)
        return 2
    return import_module(f"vov_lightning.cli.{name}").main(args)


def fit() -> int:
    return start("fit")


def decode() -> int:
    return start("decode")


def edit() -> int:
    return start("edit")


def scale() -> int:
    return start("scale")


def evaluate() -> int:
    return start("eval")


def info() -> int:
    return start("info")


def export() -> int:
    return start("export")


def app() -> int:
    return start("app")
