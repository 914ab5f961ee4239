"""What ``import vov_lightning`` offers, to people and to type checkers."""

import ast
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path

import pytest

import vov_lightning as vov


def test_type_checkers_see_the_public_names_where_they_are():
    tree = ast.parse(Path(vov.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    assert seen == vov._MODULE_OF
    assert (Path(vov.__file__).parent / "py.typed").is_file()


def test_every_public_name_is_there():
    assert all(getattr(vov, name).__name__ == name for name in vov.__all__)
    assert {*vov.__all__, "__version__"} <= set(dir(vov))
    assert vov.__version__ == version("vov_lightning")
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        attrgetter("fitt")(vov)
