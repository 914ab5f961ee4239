"""Parsers of the commands: one line an error, with the nearest names, and a first help without the long list."""

import argparse
import re
import sys
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from vov_lightning.cli.help import Command, first_help
from vov_lightning.cli.nearest import did_you_mean

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null"}
"""Types of Python in words."""


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


class OneLine:
    """Mixin for a parser: what is wrong is one line, and ``--help`` the first help of a `Command`."""

    command: Command | None = None
    prog: str
    exit_on_error: bool

    def speak_for(self, command: Command) -> None:
        """Take the first help from ``command``, and add ``--help_all``."""
        self.command = command
        self.add_argument("--help_all", action=FullHelp)  # type: ignore[attr-defined]  # of the parser

    def print_help(self, file: Any = None) -> None:
        if self.command is None:
            super().print_help(file)  # type: ignore[misc]  # of the parser
        else:
            print(first_help(self.command), end="", file=file or sys.stdout)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser within: the outer one speaks
            super().error(message, ex)  # type: ignore[misc]  # of the parser
        print(f"{self.prog}: {said(message, option_names(self))}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


class CommandParser(OneLine, ArgumentParser):  # type: ignore[misc]  # error returns never in both
    """Parser of a command that is not Lightning's."""


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


def said(message: str, names: list[str]) -> str:
    """jsonargparse's ``message`` in one line: which option, which value, what is wanted.

    Args:
        message: Of several lines, mostly.
        names: Options that there are.

    Example:
        >>> said("unrecognized arguments: --model.adapter.kk=5", ["--model.adapter.k"])
        '--model.adapter.kk is no option; did you mean --model.adapter.k?'
        >>> said('Parser key "a.b":\\n  Expected a <class \\'int\\'>. Got value: x', ["--a.b"])
        "--a.b: 'x' is not a whole number"
    """
    if found := re.match(r"unrecognized arguments: (.*)", message, re.DOTALL):
        return _unrecognised(found[1], names)
    keys = re.findall(r'(?:Parser key|[Kk]ey) "?([\w.+-]+)"?', message)
    place = f"--{max(keys, key=len)}: " if keys else ""
    if found := re.search(r"(?:Problem with given|Not a valid subclass of) .*", message):
        return place + _joined(message[found.start() :])
    wanted = re.findall(r"Expected an? (<class '[\w.]+'>|typing\.\w+\[[^\n]*?\]|[^\n.]+)(?:\. Got|\.?\n|\.?$)", message)
    value = re.search(r"(?:Got value|Given value): ?(.*)", message)
    kinds = [kind for kind in dict.fromkeys(_kind(one) for one in wanted) if kind]
    if kinds and value is not None:
        choices = [choice for one in wanted for choice in re.findall(r"'([^']*)'", one) if "Literal" in one]
        return f"{place}{value[1].strip()!r} is not {' or '.join(kinds)}{did_you_mean(value[1].strip(), choices)}"
    return _joined(message)


def _unrecognised(words: str, names: list[str]) -> str:
    word = words.split()[0]
    option, _, _ = word.partition("=")
    if not option.startswith("-"):
        return f"{word} stands alone: no option takes it"
    return f"{option} is no option{did_you_mean(option, names)}"


def _kind(wanted: str) -> str:
    """``<class 'int'>`` in words; nothing for what says the same as another line."""
    if found := re.fullmatch(r"<class '([\w.]+)'>", wanted):
        return KINDS.get(found[1], found[1].rpartition(".")[2])
    if found := re.fullmatch(r"typing\.Literal\[(.*)\]", wanted):
        return "one of " + found[1].replace("'", "")
    if wanted.startswith("dot import path"):
        return "a class"
    return "" if wanted.startswith("path") else wanted


def _joined(message: str) -> str:
    """Lines of ``message`` in one, without jsonargparse's indents."""
    lines = [re.sub(r"^\s*(?:- )?", "", line).strip() for line in message.splitlines()]
    return "; ".join(dict.fromkeys(line.rstrip(":.") for line in lines if line.rstrip(":.")))
