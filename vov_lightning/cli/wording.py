"""jsonargparse's errors in one line: the option, its value, what is wanted, and what is near."""

import re
from collections.abc import Mapping, Sequence

from vov_lightning.nearest import did_you_mean

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list such as [a, b]",
    "tuple": "a list such as [a, b]",
    "Iterable": "a list such as [a, b]",
    "dict": "a mapping such as {a: 1}",
    "NoneType": "null",
}
"""Types of Python in words."""


def said(message: str, names: Sequence[str], classes: Mapping[str, Sequence[str]] = {}) -> str:
    """jsonargparse's ``message`` in one line.

    Args:
        message: Of several lines, mostly.
        names: Options that there are.
        classes: Names that stand for a class, by the options that take one.

    Example:
        >>> said("unrecognized arguments: --model.adapter.kk=5", ["--model.adapter.k"])
        '--model.adapter.kk is no option; did you mean --model.adapter.k?'
        >>> said('Parser key "a.b":\\n  Expected a <class \\'int\\'>. Got value: x', ["--a.b"])
        "--a.b: 'x' is not a whole number"
        >>> said("the following arguments are required: output", ["--output"])
        '--output is missing'
    """
    if found := re.match(r"unrecognized arguments: (\S+)", message):
        word = found[1].partition("=")[0]
        return _no_option(word, names) if word.startswith("-") else f"{word} stands alone: no option takes it"
    if found := re.match(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
        return _no_option(f"--{found[1]}.{found[2]}", names)
    if found := re.match(r"Option '([\w.]+)' is not accepted", message):
        return _no_option(f"--{found[1]}", names)
    if found := re.match(r"the following arguments are required: (.*)", message):
        missing = [f"--{name}" if f"--{name}" in names else name for name in found[1].split(", ")]
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if found := re.match(r"argument (\S+): expected (?:one|at least one) argument", message):
        return f"{found[1]} needs a value"
    keys = re.findall(r'Parser key "([\w.+-]+)"', message)
    if not keys:
        return _joined(message)
    return f"--{keys[-1]}: {_value_error(message, f'--{keys[-1]}', names, classes)}"


def _value_error(message: str, option: str, names: Sequence[str], classes: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with the value of ``option``."""
    if found := re.search(r"Problem with given class_path '([\w.]+)':?\s+Option '(\w+)' is not accepted", message):
        return f"{found[1]} has no setting {found[2]!r}; see {option}.help {found[1]}"
    if found := re.search(r"Problem with given class_path '([\w.]+)':?\s+(.*)", message, re.DOTALL):
        return f"{found[1]!r} cannot be used: {_joined(found[2]).partition('; ')[0]}"
    if found := re.search(r"Import path (\S+) does not correspond to a subclass of (\S+)", message):
        return f"{found[1]!r} is no {found[2]}"
    if found := re.search(r"NestedArg\(key='(\w+)'", message):
        return f"needs a value of its own before {option}.{found[1]} says more of it"
    if found := re.search(r"Unable to load config ['\"](.*)['\"]", message):
        own = [name for name in names if name.startswith(f"{option}.")]
        return f"{found[1]!r} is no YAML file of its settings; give one of them, such as {own[0] if own else option}"
    value = re.search(r"(?:Got value|Given value|dot import path string): ?(.*)", message)
    kinds = re.findall(r"Expected an? (<class '[\w.]+'>|typing\.\w+\[[^\n]*\]|dot import path)", message)
    if value is None or not kinds:
        return _joined(re.sub(r'Parser key "[^"]*":?', "", message))
    given = value[1].strip()
    choices = [choice for kind in kinds if "Literal" in kind for choice in re.findall(r"'([^']*)'", kind)]
    if "dot import path" in kinds:
        choices += classes.get(option, [])
    words = dict.fromkeys(_kind(kind, classes.get(option, [])) for kind in kinds)
    return f"{given!r} is not {' or '.join(words)}{did_you_mean(given, choices)}"


def _no_option(option: str, names: Sequence[str]) -> str:
    return f"{option} is no option{did_you_mean(option, names)}"


def _kind(wanted: str, classes: Sequence[str]) -> str:
    """``<class 'int'>`` and the like in words."""
    if found := re.fullmatch(r"<class '([\w.]+)'>", wanted):
        name = found[1].rpartition(".")[2]
        return KINDS.get(name, name)
    if found := re.fullmatch(r"typing\.Literal\[(.*)\]", wanted):
        return "one of " + found[1].replace("'", "")
    if found := re.match(r"typing\.(\w+)\[", wanted):
        return KINDS.get(found[1], found[1])
    return f"one of {', '.join(classes)}, or a class path" if classes else "a class path"


def _joined(message: str) -> str:
    """Lines of ``message`` in one, without jsonargparse's indents."""
    lines = [re.sub(r"^\s*(?:- )?", "", line).strip(" :.") for line in message.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
