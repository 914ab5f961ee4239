"""The first help of every command says what its parser says, and needs none."""

from typing import Any

import pytest

from vov_lightning.cli import app, decode, edit, export, fit, info, scale
from vov_lightning.cli import eval as evaluation
from vov_lightning.cli.help import Command, first_help
from vov_lightning.cli.parser import CommandParser
from vov_lightning.cli.settings import COMMANDS, FIT
from vov_lightning.cli.start import start

MODULES = {
    "fit": fit,
    "decode": decode,
    "edit": edit,
    "scale": scale,
    "eval": evaluation,
    "info": info,
    "export": export,
    "app": app,
}


class Made(Exception):
    """Carries a parser out of a command."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser


@pytest.fixture
def parser_of(monkeypatch):
    """The parser that a command builds."""

    def build(name: str) -> Any:
        def stop(parser, args):
            raise Made(parser)

        with monkeypatch.context() as patched:
            patched.setattr(CommandParser, "parse_args", stop)
            with pytest.raises(Made) as made:
                MODULES[name].main(["x"])
        return made.value.parser

    return build


def shown(value: Any) -> str:
    """A default as the tables word it."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", MODULES)
def test_every_row_is_an_option_of_the_parser_with_its_default(name, parser_of):
    parser, command = parser_of(name), COMMANDS[f"vov-{name}"]
    options = {option: action for action in parser._actions for option in action.option_strings or [action.dest]}
    for setting in command.settings:
        assert set(setting.names) <= options.keys(), setting.option
        if setting.default:
            assert shown(parser.get_default(options[setting.names[-1]].dest)) == setting.default, setting.option


@pytest.mark.parametrize("name", MODULES)
def test_every_short_option_and_positional_of_the_parser_is_in_the_table(name, parser_of):
    parser, command = parser_of(name), COMMANDS[f"vov-{name}"]
    names = {option for setting in command.settings for option in setting.names}
    for action in parser._actions:
        short = [option for option in action.option_strings if not option.startswith("--")]
        wanted = short or ([] if action.option_strings else [action.dest])
        assert set(wanted) <= names


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_help_keeps_the_lines_of_the_examples_and_fits(command: Command):
    text = first_help(command)
    assert command.description in text
    assert max(map(len, text.removeprefix(command.description).splitlines())) <= 120
    assert f"every setting: {command.name} --help_all\n" in text


@pytest.mark.parametrize("name", MODULES)
def test_both_ways_to_the_help_print_the_same(name, capsys):
    assert start(name, ["--help"]) == 0
    first = capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        MODULES[name].main(["--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == first == first_help(COMMANDS[f"vov-{name}"])


@pytest.mark.parametrize(("name", "setting"), [("fit", "--trainer.max_time"), ("decode", "--limits.all_indices")])
def test_help_all_shows_the_rest_and_the_lines_of_the_examples(name, setting, capsys):
    assert setting not in first_help(COMMANDS[f"vov-{name}"])
    with pytest.raises(SystemExit) as stop:
        MODULES[name].main(["--help_all"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert setting in text
    assert COMMANDS[f"vov-{name}"].description in text


def test_vov_fit_alone_says_how_to_start(capsys):
    assert start("fit", []) == 2
    said = capsys.readouterr().err
    assert "vov-fit --config nano.yaml" in said
    assert len(said.splitlines()) <= 6


def test_a_command_tells_where_its_rows_are_missing():
    with pytest.raises(StopIteration):
        FIT.text_of("--no_such_option")
