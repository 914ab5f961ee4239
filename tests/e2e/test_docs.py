"""README and docs: commands and Python blocks are read, and run on a tiny model; tables match their data.

A page's blocks run in its order, in a folder with a few clips and files. ``<!-- not run: reason -->`` above one says
that it needs what a test has not (a GPU, weights, a server): its commands are parsed only. ``<!-- file: NAME -->`` says
that the block is the content of a file.
"""

import argparse
import ast
import glob
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jsonargparse
import pytest
import torch
import yaml

import vov_lightning.errors
from vov_lightning.bases import _kept
from vov_lightning.cli.settings import COMMANDS
from vov_lightning.cli.start import start
from vov_lightning.video import Signal, write_signal

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:<!-- (not run|file): (.*?) -->\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"cd", "docker", "export", "git", "mkdocs", "mypy", "pip", "pre-commit", "pytest", "ruff", "sky", "wandb"}
"""Commands of others that pages may show; they are not run here."""
SHORT = ["--stage1.iterations=2", "--stage2.iterations=2", "--trainer.val_check_interval=2", "--trainer.logger=false"]

sys.path.append(str(ROOT / "tools"))
import public_names
import tables


class Block(NamedTuple):
    """A fenced block of a page."""

    mark: str
    """``not run``, ``file`` or nothing."""
    said: str
    kind: str
    text: str


class Parsed(Exception):
    """Raised where a command has read its arguments."""


def blocks_of(page: Path) -> list[Block]:
    return [Block(*(part or "" for part in match)) for match in FENCE.findall(page.read_text())]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command of a block."""
    lines = [one for line in block.text.splitlines() for one in unrolled(line)]
    parts = (part for line in lines for part in re.split(r"\s(?:&&|\|)\s", line))
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def unrolled(line: str) -> list[str]:
    """A loop of the shell as the lines that it stands for.

    Example:
        >>> unrolled("for k in 1 2; do echo $k; done")
        ['echo 1', 'echo 2']
    """
    loop = re.fullmatch(r"for (\w+) in (.*?); do (.*); done", line.strip())
    return [loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()] if loop else [line]


@pytest.fixture
def only_parse(monkeypatch):
    """``parse(words)``: the command reads its arguments and does nothing else."""
    for parser in (argparse.ArgumentParser, jsonargparse.ArgumentParser):
        for name in ("parse_args", "parse_known_args"):
            real = getattr(parser, name)

            def read(self, *rest, _real=real, _name=name, **options):
                found = _real(self, *rest, **options)
                caller = sys._getframe(1).f_globals["__name__"]
                if caller.startswith(("argparse", "jsonargparse")) and caller != "jsonargparse._cli":
                    return found  # one method of a parser calls another
                raise Parsed

            monkeypatch.setattr(parser, name, read)

    def parse(words: list[str]) -> None:
        with pytest.raises(Parsed):
            run(words)

    return parse


def run(words: list[str]) -> None:
    """Run a command of ours in this process."""
    name, *arguments = words
    if name == "python":
        path, *arguments = arguments
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [path, *arguments])
            patch.syspath_prepend(str((ROOT / path).parent))  # as Python does itself
            runpy.run_path(str(ROOT / path), run_name="__main__")
        return
    try:
        status = start(name.removeprefix("vov-"), arguments)
    except SystemExit as stop:  # of --print_config, or of a parser that refuses
        status = int(stop.code or 0)
    assert status == 0, shlex.join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_known_and_those_that_are_not_run_can_be_read(page, only_parse, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    for block in blocks_of(page):
        if block.mark == "file":
            (tmp_path / block.said).write_text(block.text)
        for words in commands_of(block) if block.kind == "bash" else []:
            monkeypatch.chdir(ROOT if words[0] == "python" else tmp_path)
            if words[0] == "pip":
                extras = re.findall(r"\[(.*?)\]", " ".join(words))
                assert set(",".join(extras).split(",")) - {""} <= set(project()["optional-dependencies"])
            elif words[0] not in SHELL:
                assert words[0] in {*COMMANDS, "python"}, f"{words[0]} is no command of ours"
                if block.mark == "not run":
                    only_parse(words)
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_and_yaml_can_be_read(page):
    for block in blocks_of(page):
        assert block.kind in {"bash", "python", "yaml", "text", "bibtex", "toml", "json"}, block.kind
        if block.kind == "python":
            ast.parse(block.text)
        if block.kind == "yaml":
            yaml.safe_load(block.text)


def project() -> dict:
    """The section ``project`` of pyproject.toml."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # pytest brings the latter
    return toml.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def prepared(tiny_weights, tmp_path_factory) -> Path:
    """A folder with clips and the files of a fit on the tiny model, to copy."""
    folder = tmp_path_factory.mktemp("pages")
    y, x, t = torch.meshgrid(torch.arange(80), torch.arange(96), torch.arange(9), indexing="ij")
    frames = torch.stack([2 * x, 3 * y, 20 * t]).permute(3, 0, 1, 2).byte()  # [T, 3, H, W]
    write_signal(Signal(frames, Fraction(30), "holiday"), folder / "holiday.mp4")
    write_signal(Signal(frames[:1], Fraction(1), "photo"), folder / "photo.png")
    write_signal(Signal(frames.flip(3), Fraction(30), "b"), folder / "b.mp4")
    (folder / "my_clips").mkdir()
    for name in ("my_clip", "a", "my_clips/one", "my_clips/two"):
        shutil.copy(folder / "holiday.mp4", folder / f"{name}.mp4")
    with pytest.MonkeyPatch.context() as patch:
        use(tiny_weights, folder, patch)
        run(shortened(["vov-fit", "holiday.mp4", "--config", "window.yaml", "--name", "x", "--scaling.bits", "400"]))
    for name in ("x", "y", "my_clip"):
        shutil.copy(folder / "runs" / "x" / "holiday.vov", folder / f"{name}.vov")
    return folder


def use(weights: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in ``folder``, where ``nano`` is the model of ``weights``, on one thread."""
    assets = folder / "package" / "assets"
    shutil.copytree(weights, assets / "nano", dirs_exist_ok=True)
    patch.setattr("vov_lightning.bases.nano.model.resources", SimpleNamespace(files=lambda _: assets.parent))
    patch.chdir(folder)
    patch.syspath_prepend(folder)
    _kept.cache_clear()
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tiny_weights, prepared, tmp_path, monkeypatch, one_thread) -> Iterator[Path]:
    """The folder in which a page's blocks run."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    use(tiny_weights, folder, monkeypatch)
    yield folder
    _kept.cache_clear()
    sys.modules.pop("my_package", None)


def shortened(words: list[str]) -> list[str]:
    """``words`` with wildcards expanded, and so few iterations that a fit takes a second."""
    words = [one for word in words for one in (sorted(glob.glob(word)) or [word])]
    if words[0] == "vov-fit":
        tiny = ["--model.adapter.scheme=v1", "--model.adapter.k=64"]  # the tiny model has no dictionary
        small = [] if "instant.yaml" in words or "my.yaml" in words else tiny
        return [*words, *SHORT, *small]
    return [*words, "--logger=false", "--accelerator=cpu"] if words[0] == "vov-eval" else words


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page, workspace):
    names: dict = {}
    for block in blocks_of(page):
        if block.mark == "file":
            Path(block.said).write_text(block.text)
        elif block.mark == "not run":
            continue
        elif block.kind == "python":
            exec(block.text.replace("=120", "=2").replace("k=256", "k=64"), names)
        elif block.kind == "bash":
            for words in commands_of(block):
                if words[0] not in SHELL:
                    run(shortened(words))


def test_what_is_not_run_says_why():
    marks = [block for page in PAGES for block in blocks_of(page) if block.mark == "not run"]
    assert marks
    assert all(len(block.said) > 10 for block in marks)


def test_readme_is_short():
    """1,500 words at most, as people count them: tables and captions too, code not."""
    text = (ROOT / "README.md").read_text()
    assert len(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).split()) <= 1500


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.stem)
def test_tables_are_those_of_their_data(page):
    assert tables.written(page.read_text()) == page.read_text(), f"{page.name}: python tools/tables.py"


def test_the_plot_is_drawn_from_its_data():
    assert tables.digest_of_curve() in tables.CURVE.read_text(), "python tools/tables.py"


def test_every_table_is_shown():
    shown = {name for page in tables.PAGES for _, name, _ in tables.MARKED.findall(page.read_text())}
    assert shown == set(tables.TABLES)


def test_every_error_has_a_section():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    own = {name for name, one in vars(vov_lightning.errors).items() if isinstance(one, type)}
    assert own == set(re.findall(r"^## (\w+)$", page, re.MULTILINE))


def test_every_public_name_is_on_the_page_of_the_api():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="api.md"))
    text = public_names.on_page_markdown((ROOT / "docs" / "api.md").read_text(), page=page)
    shown = [line.rpartition(".")[2] for line in text.splitlines() if line.startswith("::: ")]
    assert sorted(shown) == vov_lightning.__all__


def test_links_and_pictures_of_the_readme_are_there():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_tree_names_every_folder_and_module():
    (tree,) = [block for block in blocks_of(ROOT / "docs" / "how-it-works.md") if block.kind == "text"]
    package = ROOT / "vov_lightning"
    found = {path.parent.name + "/" for path in package.glob("*/__init__.py")}
    found |= {path.name for path in package.glob("*.py")} - {"__init__.py"}
    named = re.findall(r"^  (\w+/|\w+\.py)", tree.text, re.MULTILINE)
    assert found <= {*named, *tree.text.split("\n")[-2].split()}
