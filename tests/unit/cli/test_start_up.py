"""What each command imports: a process each, so that what one leaves behind does not hide what another needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "v1"
HEAVY = ("torch", "lightning", "jsonargparse")
SLOW = (
    "lightning",
    "diffusers",
    "transformers",
    "peft",
    "compressai",
    "torchmetrics",
    "torchvision",
    "wandb",
    "torch._dynamo",
)
"""Imports of a second and more."""
WITH_DIFFUSERS = {"diffusers", "transformers", "peft", "torchvision", "torch._dynamo"}
"""What comes with the base model's transformer, which is diffusers' own."""
CODE = """
import json, sys
from vov_lightning.cli.start import start
status = start({name!r}, {args!r})
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""


def modules_of(name: str, *args: str) -> set[str]:
    """Modules that ``vov-<name>`` has imported when it ends, which it does well."""
    code = CODE.format(name=name, args=list(args))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("name", ["fit", "eval", "app"])
def test_help_imports_nothing_heavy(name):
    assert not modules_of(name, "--help") & {*HEAVY, "numpy"}


def test_info_shows_a_file_without_torch():
    assert not modules_of("info", str(GOLDEN / "video.vov")) & {*SLOW, "torch"}


def test_a_decode_of_the_bundled_model_imports_nothing_slow_but_diffusers(tmp_path):
    base = f"--base.weights={GOLDEN / 'model'}"
    found = modules_of("decode", str(GOLDEN / "video.vov"), "-o", str(tmp_path / "x"), "--base=nano", base)
    assert "torch" in found
    assert not found & (set(SLOW) - WITH_DIFFUSERS)


def test_edit_scale_and_export_import_nothing_slow_but_diffusers():
    """Their modules, all in one process: which imports what does not matter where none may."""
    code = "import vov_lightning.cli.edit, vov_lightning.cli.scale, vov_lightning.cli.export, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (set(SLOW) - WITH_DIFFUSERS)


def test_the_full_parser_of_a_fit_does_without_what_only_a_fit_needs():
    args = ["--config=nano.yaml", "--print_config"]
    code = CODE.format(name="fit", args=args).replace(
        "status = start",
        "import atexit\natexit.register(lambda: print("
        "json.dumps([0, sorted(sys.modules)]), file=sys.stderr))\nstatus = start",
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(json.loads(done.stderr.splitlines()[-1])[1])
    assert not found & ({"diffusers", "compressai", "peft"} - WITH_DIFFUSERS)
