"""Parsers of the commands: one line an error, with the nearest names, and a first help without the long list."""

import argparse
import sys
from importlib.metadata import entry_points
from inspect import isabstract
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from vov_lightning.cli.help import Command, first_help
from vov_lightning.cli.wording import said


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that keeps a description's lines: most are examples."""


class FullHelp(argparse.Action):
    """``--help_all``: every setting, by jsonargparse."""

    def __init__(self, option_strings: Any, dest: str = argparse.SUPPRESS, **_: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="Every setting.")

    def __call__(self, parser: Any, *_: Any) -> None:
        parser.command = None
        parser.print_help()
        parser.exit()


class CommandParser(ArgumentParser):
    """Parser that says what is wrong in one line; its ``--help`` is the first help of a `Command`."""

    command: Command | None = None

    def speak_for(self, command: Command) -> None:
        """Take the first help from ``command``, and add ``--help_all``."""
        self.command = command
        self.add_argument("--help_all", action=FullHelp)

    def print_help(self, file: Any = None) -> None:
        if self.command is None:
            super().print_help(file)
        else:
            print(first_help(self.command), end="", file=file or sys.stdout)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser within: the outer one speaks
            super().error(message, ex)
        line = said(message, option_names(self), classes_of(self))
        print(f"{self.prog}: {line}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def command_parser(command: Command, **options: Any) -> CommandParser:
    """Parser for ``command``; options as of jsonargparse's."""
    parser = CommandParser(prog=command.name, description=command.description, formatter_class=HelpFormatter, **options)
    parser.speak_for(command)
    return parser


def option_names(parser: Any) -> list[str]:
    """Long options of ``parser``, groups and what only helps left out."""
    return [
        name for name in parser._option_string_actions if name.startswith("--") and not name.endswith((".help", "+"))
    ]


def classes_of(parser: Any) -> dict[str, list[str]]:
    """Names that each option of ``parser`` takes for a class: registered names, else names of classes."""
    found = {}
    for action in parser._actions:
        hint = getattr(action, "_typehint", None)
        kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type)]
        names = [name for kind in kinds for name in _names_below(kind)]
        if action.option_strings and names:
            found[action.option_strings[-1]] = names
    return found


def _names_below(kind: type) -> list[str]:
    from vov_lightning.bases import ENTRY_POINTS, BaseModel

    if kind is BaseModel:
        return [point.name for point in entry_points(group=ENTRY_POINTS)]
    if kind.__module__ == "builtins":
        return []
    below = [*([] if isabstract(kind) else [kind]), *kind.__subclasses__()]
    return [one.__name__ for one in below if not one.__name__.startswith("_")]
