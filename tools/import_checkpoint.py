"""A .vov file from a checkpoint of the authors' scripts (github.com/microsoft/VisionAsAdaptations).

    python tools/import_checkpoint.py lora_weights.safetensors --caption "A bee on a flower" \\
        --k 131072 --rank 1 --seed 42 --base nano -o bee.vov

A checkpoint holds the vector (`unilora_theta_d`) and, after stage 2, the quantiser's scale (`unilora_scale_quant`) and
the trained density (`unilora_bit_estimator.*`), but neither rank nor hash seed nor preset: repeat what it was trained
with. The decoder's velocity field is then theirs. Its clip is not theirs number for number: noise and sampler are ours.
"""

import re
import sys
from fractions import Fraction
from typing import Literal

import torch
from jsonargparse import ArgumentParser
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import describe, short_float32
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import command
from vov_lightning.codec.build import build_file
from vov_lightning.errors import VovError
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.vector.quantizer import StraightThroughQuantizer, quantize
from vov_lightning.video import Fitted, Padding, Signal

VECTOR, SCALE, DENSITY = "unilora_theta_d", "unilora_scale_quant", "unilora_bit_estimator."
DENSITY_PARTS = (*(f"f{layer}.{part}" for layer in (1, 2, 3) for part in "hba"), "f4.h", "f4.b")
Preset = Literal["qkv", "qkvo", "qkvo_mlp"]
PRESETS: dict[Preset, str] = {
    "qkv": r"attn[12]?\.to_[qkv]",
    "qkvo": r"attn[12]?\.to_([qkv]|out\.0)",
    "qkvo_mlp": r"attn[12]?\.to_([qkv]|out\.0)|(ffn?|img_mlp|txt_mlp)\.net\.(0\.proj|2)",
}
"""Layers of a block that the authors' presets adapt, by module path."""


class CheckpointError(VovError, ValueError):
    """A checkpoint cannot be read, or is not what the settings say."""


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(prog="import_checkpoint.py", description="Make a .vov file from the authors' checkpoint.")
    parser.add_argument("checkpoint", type=str, help="The .safetensors file.")
    parser.add_argument("-o", "--output", type=str, required=True, help="The .vov file to write.")
    parser.add_argument("--caption", type=str, required=True, help="The caption that it was trained with.")
    parser.add_argument("--k", type=int | None, default=None, help="Length that the vector must have; empty for any.")
    parser.add_argument("--rank", type=int, default=1, help="Their --rank.")
    parser.add_argument("--seed", type=int, default=42, help="Their --proj_seed.")
    parser.add_argument("--preset", type=Preset, default="qkvo", help="Their --lora_preset, in all blocks.")
    parser.add_argument("--step", type=float | None, default=None, help="Step for a checkpoint that holds no scale.")
    for side in ("frames", "height", "width"):
        parser.add_argument(f"--{side}", type=int | None, default=None, help="Size; empty for the base model's own.")
    parser.add_argument("--fps", type=frame_rate, default="30", help="Frames per second: 30, 30000/1001 ...")
    parser.add_class_arguments(SamplerConfig, "sampler")
    parser.set_defaults({"sampler.steps": 50, "sampler.compute_dtype": "bfloat16"})  # as their scripts
    parser.add_subclass_arguments(BaseModel, "base", required=True, help="Base model: registered name or class path.")
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    base, default = options.base, options.base.default_size
    tensors = read_checkpoint(options.checkpoint, options.k)
    compute_dtype = options.sampler.compute_dtype
    dtype = base.dtype if compute_dtype == "weights" else getattr(torch, compute_dtype)
    symbols, step = quantized(tensors, options.step, dtype)
    targets = targets_of(base, options.preset)
    adapter = AdapterConfig(len(symbols), options.rank, targets, options.seed, "unilora_numpy")
    # Refuses here, not in the decoder, what cannot be adapted.
    HashedLoRA(base.adapted_layers(targets), adapter.rank, adapter.k, adapter.seed, adapter.scheme)
    size = ClipSize(options.frames or default.frames, options.height or default.height, options.width or default.width)
    base.check_size(size)
    blank = torch.zeros(1, dtype=torch.uint8).expand(size.frames, 3, size.height, size.width)
    source = Fitted(Signal(blank, options.fps, "imported"), Padding())
    file = build_file(base, source, options.caption, symbols, step, adapter, options.sampler)
    file.save(options.output)

    words = describe(file)
    coded = 8 * (words["bytes"]["count_table"] + words["bytes"]["vector"])
    print(f"{options.output}: {words['bytes']['total']} bytes, {words['bpp']:.6f} bpp; vector and table {coded} bits")
    if DENSITY + DENSITY_PARTS[0] in tensors:
        print(f"the checkpoint's own density estimates {estimated_bits(tensors, symbols):.0f} bits for that vector")


def frame_rate(text: str) -> Fraction:
    """Exact frames per second; ``ValueError`` if ``text`` is no number."""
    return Fraction(text)


def read_checkpoint(path: str, k: int | None = None) -> dict[str, Tensor]:
    """Tensors of the authors' checkpoint by their names there, checked.

    Args:
        path: A safetensors file; nothing else is ever opened.
        k: Length that the vector must have.

    Raises:
        CheckpointError: If the file cannot be read, lacks a tensor, or holds one of another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names if name.startswith("unilora_")}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}; checkpoints in other formats can run code and are refused"
        ) from error
    wanted = [VECTOR]
    if any(name.startswith(DENSITY) for name in tensors):
        wanted += [DENSITY + part for part in DENSITY_PARTS]
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise CheckpointError(f"{path} has no tensor {', '.join(missing)}; wanted a checkpoint of the authors' scripts")
    for name in [*wanted, *([SCALE] if SCALE in tensors else [])]:
        tensor = tensors[name]
        shape, words = list(tensor.shape), "[k]" if name == VECTOR else "one number"
        if (tensor.ndim != 1 or not shape[0]) if name == VECTOR else tensor.numel() != 1:
            raise CheckpointError(f"{path}: tensor {name} has shape {shape}, wanted {words}")
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: tensor {name} ({tensor.dtype}) holds values that are not finite floats")
    if k is not None and k != len(tensors[VECTOR]):
        raise CheckpointError(f"{path}: tensor {VECTOR} has {len(tensors[VECTOR])} entries, but --k is {k}")
    return tensors


def quantized(
    tensors: dict[str, Tensor], step: float | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, float]:
    """Symbols [k] int32 and step of a checkpoint, rounded as the authors' evaluation rounds: softplus, clamp, round.

    Their ``--dtype`` is that of the network and of this arithmetic, so ``sampler.compute_dtype`` is both here: bfloat16
    quotients round to other integers than float32's. The product ``step * symbols`` is float32 here, while their
    bfloat16 rounds it once more, by up to 2^-9 of itself.

    Args:
        tensors: What `read_checkpoint` returns.
        step: Step for a checkpoint without a scale (stage 1, images), whose evaluation does not round.
        dtype: Arithmetic of their evaluation.

    Raises:
        CheckpointError: If the step is not known, or known twice.
    """
    vector = tensors[VECTOR].to(dtype)
    if SCALE not in tensors:
        if step is None or not step > 0:
            raise CheckpointError(
                f"the checkpoint has no tensor {SCALE}: its vector was trained without quantiser, and --step is "
                f"{step}; give one above 0, say half its deviation {float(vector.double().std(unbiased=False)) / 2:.2g}"
            )
        step = short_float32(step)
        return quantize(tensors[VECTOR].float(), step), step
    if step is not None:
        raise CheckpointError(f"--step {step} given, but the checkpoint has its own in {SCALE}; leave --step out")
    scale = F.softplus(tensors[SCALE].to(dtype).reshape(())).clamp_min(1e-6)
    limit = StraightThroughQuantizer.limit
    return (vector / scale).clamp(-limit, limit).round().int(), float(scale)


def targets_of(base: BaseModel, preset: Preset) -> tuple[str, ...]:
    """Layer kinds of ``base`` that ``preset`` adapts.

    The authors' scripts number the layers as `named_modules` lists them, the file as `BaseModel.adapted_layers` does.

    Raises:
        CheckpointError: If these are not the same layers in the same order.
    """
    targets = tuple(kind for kind in base.target_kinds if re.fullmatch(PRESETS[preset], kind))
    ours = list(base.adapted_layers(targets).values())
    path = base.blocks_path if isinstance(base.blocks_path, str) else base.blocks_path[0]
    pattern = re.compile(rf"{re.escape(path)}\.\d+\.({PRESETS[preset]})")
    theirs = {
        name: layer
        for name, layer in base.transformer.named_modules()
        if isinstance(layer, nn.Linear) and pattern.fullmatch(name)
    }
    if list(map(id, ours)) != list(map(id, theirs.values())):
        raise CheckpointError(
            f"base model {base.name} does not list the layers of preset {preset} as the authors' scripts walk them "
            f"({', '.join(list(theirs)[:4])} ...); their checkpoints cannot be decoded with it"
        )
    return targets


def estimated_bits(tensors: dict[str, Tensor], symbols: Tensor) -> float:
    """Bits of ``symbols`` [k] under the checkpoint's density; the authors add noise where this rounds."""
    parts = {part: tensors[DENSITY + part].double().reshape(()) for part in DENSITY_PARTS}

    def cumulative(x: Tensor) -> Tensor:
        for layer in ("f1", "f2", "f3", "f4"):
            x = x * F.softplus(parts[f"{layer}.h"]) + parts[f"{layer}.b"]
            if layer != "f4":
                x = x + x.tanh() * parts[f"{layer}.a"].tanh()
        return x.sigmoid()

    probability = cumulative(symbols.double() + 0.5) - cumulative(symbols.double() - 0.5)
    return float(-probability.clamp_min(1e-9).log2().sum())


if __name__ == "__main__":
    sys.exit(main())
