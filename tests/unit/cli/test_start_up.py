"""What each command imports: a process each, so that what one leaves behind does not hide what another needs."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vov_lightning.bases import load_base
from vov_lightning.cli import light
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal, read_signal

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
    "sympy",
)
"""Imports of a second and more."""
WITH_DIFFUSERS = {"diffusers", "transformers", "peft", "torchvision", "torch._dynamo", "sympy"}
"""What comes with the base model's transformer, which is diffusers' own."""
CODE = """
import json, sys
from vov_lightning.cli.start import start
status = start({name!r}, {args!r})
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""

LEFT_OUT = """
import sys, torch
from vov_lightning.cli import light
light.own_process()
light.prepare_for("nano")
from diffusers import WanTransformer3DModel
assert not {"torch._dynamo", "sympy", "diffusers.models.transformers.transformer_flux"} & set(sys.modules)
sizes = dict(num_attention_heads=1, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8, freq_dim=8)
model = WanTransformer3DModel(**sizes, ffn_dim=8, num_layers=2)
inputs = torch.randn(1, 4, 1, 8, 8), torch.tensor([0.5]), torch.randn(1, 3, 8)
plain = model(*inputs)[0]
model.compile_repeated_blocks(backend="eager")
assert torch.equal(model(*inputs)[0], plain)
assert "torch._dynamo" in sys.modules
from diffusers.models.attention_dispatch import flex_attention
assert flex_attention.BlockMask.__module__ == "torch.nn.attention.flex_attention"
from diffusers.models.transformers import FluxTransformer2DModel, WanTransformer3DModel as again
assert again is WanTransformer3DModel
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
    found = modules_of("info", str(GOLDEN / "video.vov"))
    assert not found & {*SLOW, "torch", "asyncio", "unittest.mock"}


def test_a_decode_of_the_bundled_model_imports_nothing_slow_but_diffusers(tmp_path):
    base = f"--base.weights={GOLDEN / 'model'}"
    found = modules_of("decode", str(GOLDEN / "video.vov"), "-o", str(tmp_path / "x"), "--base=nano", base)
    assert "torch" in found
    assert not found & (set(SLOW) - WITH_DIFFUSERS)


def test_a_command_shows_diffusers_none_of_what_nano_does_not_use(tmp_path):
    """Its own process alone. The frames are those of a process that hides nothing."""
    base = load_base("nano")
    clip = Fitted(Signal(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), Fraction(25), "black"), Padding(0, 0, 0))
    nothing = torch.zeros(0, dtype=torch.int32)
    file = build_file(base, clip, "", nothing, 1.0, AdapterConfig(k=0), SamplerConfig(steps=1))
    file.save(tmp_path / "a.vov")
    code = (
        f"import sys; sys.argv = ['vov-decode', {str(tmp_path / 'a.vov')!r}, '-o', {str(tmp_path / 'a.png')!r}]\n"
        "from vov_lightning.cli.start import decode\nstatus = decode()\nimport json\n"
        "print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    assert not set(modules) & {*SLOW, *light.UNUSED} - {"diffusers"}
    assert torch.equal(read_signal(tmp_path / "a.png").frames, decode(file, base).frames)


@pytest.mark.slow
def test_what_a_command_left_out_of_diffusers_is_there_when_it_is_needed():
    """The compiler, attention that needs it, and the other models' transformers."""
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
