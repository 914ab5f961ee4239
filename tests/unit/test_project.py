"""Files that only others read: workflows, templates, citation. They are read here as they are there."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
YAML = [
    *ROOT.glob(".github/**/*.yml"), ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml",
]  # fmt: skip


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_yaml_can_be_read(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda path: path.name)
def test_a_workflow_has_jobs_with_steps_and_few_rights(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True]  # YAML 1.1 reads the key "on" as true
    assert workflow["permissions"]["contents"] == "read"
    for job in workflow["jobs"].values():
        assert all({"uses", "run"} & set(step) for step in job["steps"])
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"])
    assert "Untried" in path.read_text().splitlines()[0]


def test_ci_runs_what_readme_and_contributing_say():
    wanted = ["pytest -n auto", "pytest -m slow"]
    run = (ROOT / ".ci" / "run").read_text()
    assert re.findall("^pytest.*", run, re.MULTILINE) == wanted
    for name in ("README.md", "CONTRIBUTING.md", ".github/workflows/test.yml"):
        text = (ROOT / name).read_text()
        assert all(command in text for command in [*wanted, "mkdocs build --strict"]), name
    for command in ("ruff check .", "ruff format --check .", "mypy", "mkdocs build --strict"):
        assert re.search(f"^{re.escape(command)}", run, re.MULTILINE), command


def test_a_folder_imports_only_from_those_above_it():
    text = (ROOT / "docs" / "how-it-works.md").read_text()
    order = re.findall(r"^  (\w+)(?:/|\.py)  ", text, re.MULTILINE)
    package = ROOT / "vov_lightning"
    assert {path.name for path in package.iterdir() if (path / "__init__.py").exists()} <= set(order)
    for path in package.rglob("*.py"):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own not in order:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vov_lightning."):
                other = node.module.split(".")[1]
                assert other not in order or order.index(other) <= order.index(own), f"{path} imports {node.module}"


def test_versions_agree():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"version = {{{version}}}" in (ROOT / "README.md").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_image_copies_what_is_there():
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
