"""Checkpoints of the authors' scripts become files whose velocity is what their layers compute."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import adapted, decode
from vov_lightning.vector.quantizer import dequantize

pytestmark = pytest.mark.usefixtures("one_thread")

SCRIPT = Path(__file__).parents[3] / "tools" / "import_checkpoint.py"
CAPTION = "red, moving left"
LAYERS = {
    "qkv": r"blocks\.\d+\.(attn1|attn2)\.to_[qkv]",
    "qkvo": r"blocks\.\d+\.(attn1|attn2)\.(to_[qkv]|to_out\.0)",
    "qkvo_mlp": r"blocks\.\d+\.((attn1|attn2)\.(to_[qkv]|to_out\.0)|ffn\.net\.(0\.proj|2))",
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("import_checkpoint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tiny_nano: Nano, tmp_path: Path) -> Path:
    """The tiny model's weights."""
    tiny_nano.save(tmp_path / "model")
    return tmp_path / "model"


def tensors_of(k: int, scale: float = -2.0) -> dict[str, Tensor]:
    """What stage 2 saves; the vector large enough to be seen."""
    generator = torch.Generator().manual_seed(k)
    tensors = {
        "unilora_theta_d": torch.randn(k, generator=generator),
        "unilora_scale_quant": torch.tensor(scale),
    }
    for layer in (1, 2, 3, 4):
        for part in "hba"[: 2 if layer == 4 else 3]:
            value = 0.3 * torch.randn(1, 1, 1, generator=generator)
            tensors[f"unilora_bit_estimator.f{layer}.{part}"] = value
    return tensors


def evaluated(tensors: dict[str, Tensor]) -> Tensor:
    """The vector as the authors' layers use it at evaluation, in the dtype of ``tensors``."""
    theta, scale = tensors["unilora_theta_d"], F.softplus(tensors["unilora_scale_quant"]).clamp_min(1e-6)
    return (theta / scale).clamp(-128, 128).round() * scale


def install_their_layers(transformer: nn.Module, theta: Tensor, rank: int, seed: int, layers: str) -> int:
    """Make every layer compute ``W x + b + B (A x)``, A and B gathered from ``theta``; the number of entries used."""
    chosen = [m for n, m in transformer.named_modules() if isinstance(m, nn.Linear) and re.fullmatch(layers, n)]
    k, total = len(theta), sum(rank * (m.in_features + m.out_features) for m in chosen)
    generator = np.random.default_rng(seed)
    slots = np.repeat(np.arange(k), total // k)
    if total % k:
        slots = np.concatenate([slots, generator.choice(k, size=total % k, replace=False)])
    generator.shuffle(slots)
    entries = theta[slots] / torch.bincount(torch.from_numpy(slots), minlength=k).float().sqrt()[slots]
    at = 0
    for layer in chosen:
        a = entries[at : at + rank * layer.in_features].view(rank, layer.in_features)
        at += a.numel()
        b = entries[at : at + rank * layer.out_features].view(layer.out_features, rank)
        at += b.numel()
        layer.register_forward_hook(lambda _, x, y, a=a, b=b: y + F.linear(F.linear(x[0], a), b))
    assert at == total
    return total


def run(tool: ModuleType, tensors: dict[str, Tensor], folder: Path, *options: str) -> Path:
    """Import ``tensors``; the .vov file."""
    checkpoint, output = folder / "lora_weights.safetensors", folder / "x.vov"
    save_file(tensors, checkpoint)
    size = ["--frames=5", "--height=16", "--width=24", "--sampler.compute_dtype=float32", "--sampler.steps=2"]
    base = ["--base", "nano", "--base.weights", str(folder)]
    assert tool.main([str(checkpoint), "-o", str(output), "--caption", CAPTION, *base, *size, *options]) == 0
    return output


@pytest.mark.parametrize(
    ("preset", "rank", "k", "seed"), [("qkvo", 1, 500, 42), ("qkv", 2, 3000, 0), ("qkvo_mlp", 1, 2400, 7)]
)
def test_velocity_equals_that_of_the_authors_layers(tool, folder, preset, rank, k, seed):
    tensors = tensors_of(k)
    options = [f"--k={k}", f"--rank={rank}", f"--seed={seed}", f"--preset={preset}"]
    file = VovFile.open(run(tool, tensors, folder, *options))
    assert (file.header.hash_scheme, file.header.hash_seed, file.header.rank) == ("unilora_numpy", seed, rank)
    assert torch.equal(dequantize(torch.tensor(file.symbols), file.header.step), evaluated(tensors))

    x_t = torch.randn(2, 16, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.3, 0.9])
    ours, theirs = Nano(str(folder)), Nano(str(folder))
    with adapted(ours, file):
        found = ours.velocity(CAPTION)(x_t, t)
    plain = theirs.velocity(CAPTION)(x_t, t)
    total = install_their_layers(theirs.transformer, evaluated(tensors), rank, seed, LAYERS[preset])
    assert total > k
    assert total % k
    expected = theirs.velocity(CAPTION)(x_t, t)
    assert float((expected - plain).abs().mean()) > 0.05
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_file_decodes(tool, folder, capsys):
    path = run(tool, tensors_of(500), folder)
    assert re.search(
        r"x.vov: \d+ bytes, \d\.\d+ bpp; vector and table \d+ bits\n.* estimates \d+ bits", capsys.readouterr().out
    )
    assert decode(VovFile.open(path), Nano(str(folder))).frames.shape == (5, 3, 16, 24)


def test_bfloat16_is_rounded_as_the_authors_round_it(tool):
    """In bfloat16, as they evaluate it; float32 rounds a good part of these to other integers."""
    tensors = tensors_of(20_000, scale=-4.0)
    symbols, step = tool.quantized(tensors, dtype=torch.bfloat16)
    as_loaded = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    assert step == float(F.softplus(as_loaded["unilora_scale_quant"]))
    assert torch.equal((symbols.float() * step).bfloat16(), evaluated(as_loaded))
    in_float32, _ = tool.quantized(tensors)
    assert 0 < int((symbols != in_float32).sum()) < 5000
    assert int(symbols.abs().max()) == 128


def test_vectors_without_scale_are_rounded_with_the_given_step(tool):
    tensors = {"unilora_theta_d": tensors_of(1000)["unilora_theta_d"]}
    symbols, step = tool.quantized(tensors, 0.01)
    assert step == pytest.approx(0.01, rel=2**-13)
    assert float((symbols * step - tensors["unilora_theta_d"]).abs().max()) <= 0.5001 * step
    with pytest.raises(ValueError, match=r"no tensor unilora_scale_quant: .* --step is None; give .* deviation"):
        tool.quantized(tensors)
    with pytest.raises(ValueError, match=r"--step 0.01 given, but the checkpoint has its own"):
        tool.quantized(tensors_of(1000), 0.01)


def test_estimate_is_the_log_likelihood_of_the_symbols(tool):
    """Against the density itself: it must sum to one, and agree with a direct evaluation in float32."""
    tensors = tensors_of(100)
    everything = torch.arange(-300, 301)
    bits = [tool.estimated_bits(tensors, everything[i : i + 1]) for i in range(len(everything))]
    assert sum(2**-b for b in bits) == pytest.approx(1, abs=1e-3)
    h, b, a = (lambda n, p=part: tensors[f"unilora_bit_estimator.f{n}.{p}"].item() for part in "hba")

    def cumulative(x: float) -> float:
        for n in (1, 2, 3):
            x = x * np.log1p(np.exp(h(n))) + b(n)
            x += np.tanh(x) * np.tanh(a(n))
        return 1 / (1 + np.exp(-(x * np.log1p(np.exp(h(4))) + b(4))))

    assert bits[302] == pytest.approx(-np.log2(cumulative(2.5) - cumulative(1.5)), rel=1e-6)
    assert tool.estimated_bits(tensors, everything) == pytest.approx(sum(bits))


@pytest.mark.parametrize(
    ("change", "k", "message"),
    [
        ({"unilora_theta_d": None}, None, "no tensor unilora_theta_d;"),
        ({"unilora_bit_estimator.f2.a": None}, None, "no tensor unilora_bit_estimator.f2.a;"),
        ({"unilora_theta_d": torch.zeros(2, 5)}, None, r"unilora_theta_d has shape \[2, 5\], wanted \[k\]"),
        ({"unilora_theta_d": torch.zeros(0)}, None, r"unilora_theta_d has shape \[0\], wanted \[k\]"),
        ({"unilora_scale_quant": torch.zeros(3)}, None, r"unilora_scale_quant has shape \[3\], wanted one number"),
        ({"unilora_theta_d": torch.tensor([1.0, float("nan")])}, None, "unilora_theta_d .* not finite floats"),
        ({"unilora_theta_d": torch.zeros(9, dtype=torch.int64)}, None, "unilora_theta_d .* not finite floats"),
        ({}, 11, "unilora_theta_d has 10 entries, but --k is 11"),
    ],
)
def test_other_tensors_are_refused(tool, tmp_path, change, k, message):
    tensors = {name: tensor for name, tensor in (tensors_of(10) | change).items() if tensor is not None}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message):
        tool.read_checkpoint(str(tmp_path / "x.safetensors"), k)


def test_only_safetensors_are_opened(tool, tmp_path):
    torch.save(tensors_of(10), tmp_path / "x.pt")
    for path in (tmp_path / "x.pt", tmp_path / "missing.safetensors"):
        with pytest.raises(ValueError, match=r"cannot be read as safetensors: .* are refused"):
            tool.read_checkpoint(str(path))


def test_a_base_that_lists_its_layers_otherwise_is_refused(tool, tiny_nano, monkeypatch):
    assert tool.targets_of(tiny_nano, "qkvo") == Nano.target_kinds[:8]
    for kinds in (Nano.target_kinds[::-1], Nano.target_kinds[:4]):
        monkeypatch.setattr(Nano, "target_kinds", kinds)
        with pytest.raises(ValueError, match=r"nano does not list .* preset qkvo .*\(blocks.0.attn1.to_q, blocks"):
            tool.targets_of(tiny_nano, "qkvo")


def test_more_numbers_than_entries_are_refused(tool, folder, capsys):
    save_file(tensors_of(3000), folder / "x.safetensors")
    arguments = [str(folder / "x.safetensors"), "-o", str(folder / "x.vov"), "--caption", CAPTION]
    assert tool.main([*arguments, "--base=nano", f"--base.weights={folder}"]) == 1
    assert "k=3000 is not within 1 and D=2048" in capsys.readouterr().err
    assert not (folder / "x.vov").exists()
