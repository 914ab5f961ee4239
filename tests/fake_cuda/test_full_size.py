"""Every model of the hub at its real size, without a GPU: devices, types, arithmetic, memory and traffic.

``VOV_WRITE_GOLDEN=1 pytest tests/fake_cuda -m slow`` rewrites ``expected.json``, for review as a diff.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vov_lightning.bases import ClipSize, base_class
from vov_lightning.bases.estimate import estimate
from vov_lightning.bases.running import KEEPING
from vov_lightning.bases.wan import Wan13B
from vov_lightning.vector.adapter import HashedLoRA

FOLDER = Path(__file__).parent
EXPECTED = FOLDER / "expected.json"
TOLERANCE = 0.02
PARTS = ("draw-attention", "step", "search", "replay", "encode", "decode")
BASES = {
    "wan2.1-t2v-1.3b": ("draw-none", "draw-all", *PARTS),
    "wan2.1-t2v-14b": PARTS[:-2],  # its autoencoder is that of the smaller one
    "qwen-image": PARTS,
    "ltx-video": PARTS,
    "wan2.2-ti2v-5b": PARTS,
    "wan2.2-ti2v-5b@81x480x832": ("draw-attention", "step"),  # the size of its practical preset
    "hunyuan-video-1.5": (*PARTS, "encode-tiled", "decode-tiled"),
    "z-image": PARTS,
    "flux2-klein-base-4b": PARTS,
}
"""Models and sizes that are not their default. Distilled siblings have the layers of the model they come from."""


def measured(base: str, parts: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, str(FOLDER / "measure.py"), base, *parts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """One line for each figure that is not the expected one, numbers by more than `TOLERANCE`."""
    lines = []
    for part in sorted(found.keys() | expected.keys()):
        ours, theirs = found.get(part, {}), expected.get(part, {})
        for name in sorted(ours.keys() | theirs.keys()):
            new, old = ours.get(name), theirs.get(name)
            close = isinstance(new, float) and isinstance(old, float) and abs(new - old) <= TOLERANCE * old
            if new != old and not close:
                lines.append(f"{part} {name}: {new}, expected {old}")
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_costs_at_real_size_are_the_expected_ones(base: str) -> None:
    found = measured(base, BASES[base])
    for name, part in found.items():
        assert part["two_devices"] == []
        autoencoder = name.startswith(("encode", "decode"))  # whose attention is float32
        wanted = "float32" if autoencoder else "bfloat16"
        assert all(call.split()[1:] == [wanted] * 3 for call in part["attention"])
    everything = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if os.environ.get("VOV_WRITE_GOLDEN"):
        EXPECTED.write_text(json.dumps(everything | {base: found}, indent=1, sort_keys=True) + "\n")
        return
    assert differences(found, everything[base]) == []


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_estimates_are_within_ten_percent(base: str) -> None:
    expected = json.loads(EXPECTED.read_text())[base]
    name, _, size = base.partition("@")
    family = base_class(name)
    model = family.skeleton()
    costs = estimate(model, ClipSize(*map(int, size.split("x"))) if size else family.default_size, rank=1)
    assert costs.forward_flops / 1e12 == pytest.approx(expected["step"]["tflop"], rel=1e-3)
    weights = sum(parameter.nbytes for parameter in model.transformer.parameters())
    for keeping in KEEPING:
        if (part := expected.get(f"draw-{keeping}")) is not None:
            num_bytes, flops = costs.draw(keeping)
            assert (weights + num_bytes) / 1e9 == pytest.approx(part["peak_gb"], rel=0.1)
            assert flops / 1e12 == pytest.approx(part["tflop"], rel=0.1)


def test_a_change_of_more_than_two_percent_is_reported() -> None:
    expected = json.loads(EXPECTED.read_text())["wan2.1-t2v-1.3b"]
    assert differences(expected, expected) == []
    for factor, count in ((1.01, 0), (1.03, 1), (0.97, 1)):
        changed = expected | {"step": expected["step"] | {"peak_gb": factor * expected["step"]["peak_gb"]}}
        assert len(differences(changed, expected)) == count
    changed = expected | {"step": expected["step"] | {"attention": {"math float32 float32 float32": 1}}}
    assert len(differences(changed, expected)) == 1
    assert len(differences({}, {"step": expected["step"]})) == len(expected["step"])


@pytest.mark.parametrize("keeping", KEEPING)
def test_backward_without_the_engine_is_autograds(keeping: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    from backward import backward

    torch.manual_seed(0)
    base = Wan13B.untrained(dtype=torch.bfloat16)
    base.use_checkpointing(keeping)
    adapter = HashedLoRA(base.adapted_layers(base.target_kinds), 2, 200, seed=0)
    x_t, vector = torch.randn(1, *base.latent_shape(ClipSize(1, 64, 64))), torch.randn(200, requires_grad=True)

    def loss() -> torch.Tensor:
        adapter.attach(vector)
        return base.velocity("a")(x_t, torch.tensor([0.3])).square().sum()

    (expected,) = torch.autograd.grad(loss(), vector)
    found = backward([loss()])[vector]
    assert torch.equal(found, expected)
    assert expected.abs().max() > 0
