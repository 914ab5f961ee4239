"""The first help of a command: examples and the settings that people use, printed without building the parser.

Building one imports what its types come from, which takes seconds; ``--help_all`` does. Tests hold every row of the
tables in `settings` to the parser: that the option exists, and its default.
"""

import shutil
import textwrap
from dataclasses import dataclass

WIDTH = 118
"""Columns of a help at most."""
NAMES = 34
"""Columns of the options."""


@dataclass(frozen=True)
class Setting:
    """One row of a help.

    Args:
        option: As it is typed: ``-o, --output``, ``--stage2.lmbda``, or the name of a positional argument.
        text: What it does, in one line or two.
        value: What stands behind the option, where its name does not say it.
        default: As a configuration words it; empty where there is none, or it says nothing.
    """

    option: str
    text: str
    value: str = ""
    default: str = ""

    @property
    def names(self) -> list[str]:
        """Every spelling of the option."""
        return self.option.split(", ")


@dataclass(frozen=True)
class Command:
    """What a command says of itself.

    Args:
        name: As it is called.
        usage: Its shortest call.
        description: One sentence, examples, and what else must be known.
        settings: Those that people use, in groups' order.
        more: The line that ends the help.
    """

    name: str
    usage: str
    description: str
    settings: tuple[Setting, ...]
    more: str = ""

    def text_of(self, option: str) -> str:
        """What the table says of ``option``, for the parser."""
        return next(setting.text for setting in self.settings if option in setting.names)


def asks_for_help(args: list[str]) -> bool:
    """Whether ``args`` ask for the first help.

    Example:
        >>> asks_for_help(["x.vov", "--help"]), asks_for_help(["--data.captioner.help", "LocalCaptioner"])
        (True, False)
    """
    return "--help" in args or "-h" in args


def first_help(command: Command) -> str:
    """The help as text that ends in a newline; lines fit the terminal."""
    width = max(60, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
    lines = [f"usage: {command.usage}", "", command.description, "", "settings (and defaults):"]
    for setting in command.settings:
        name = f"  {setting.option} {setting.value}".rstrip()
        default = f" ({setting.default})" if setting.default else ""
        text = textwrap.wrap(setting.text + default, width - NAMES)
        if len(name) >= NAMES:
            lines.append(name)
            name = ""
        lines.append(f"{name:<{NAMES}}{text[0]}")
        lines += [" " * NAMES + line for line in text[1:]]
    lines += ["", f"{command.more}{'; ' if command.more else ''}every setting: {command.name} --help_all"]
    return "\n".join(lines) + "\n"
