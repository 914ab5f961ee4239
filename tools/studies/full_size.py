"""One fit step of each stage, one validation and one decode at full size with random weights: time and peak memory.

    python tools/studies/full_size.py                                       Wan2.1-1.3B, 81 frames of 832x480, one GPU
    python tools/studies/full_size.py --checkpointing attention --compile true --attention _native_cudnn
    python tools/studies/full_size.py --autocast true --checkpointing all   the plain path, to compare with
    python tools/studies/full_size.py --devices 8 --draws 8                 one clip on eight GPUs
    python tools/studies/full_size.py --tiny true --device cpu --frames 5 --height 64 --width 64   does the script work?

No weights are needed: random ones take as long. Nothing is learned from the picture.
"""

import tempfile
import time
from fractions import Fraction
from typing import Any

import torch
from jsonargparse import auto_cli

import vov_lightning as vov
from vov_lightning.bases import base_class
from vov_lightning.bases.estimate import estimate
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.running import KEEPING, Attention, Checkpointing
from vov_lightning.codec.decode import decode
from vov_lightning.vector.adapter import HashedLoRA


def main(
    base: str = "wan2.1-t2v-1.3b",
    frames: int = 81,
    height: int = 480,
    width: int = 832,
    device: str = "cuda",
    checkpointing: Checkpointing = "auto",
    attention: Attention = "native",
    compile: bool = False,
    autocast: bool = False,
    devices: int = 1,
    draws: int = 1,
    steps: int = 2,
    k: int = 131072,
    tiny: bool = False,
) -> None:
    """Print a Markdown table.

    Args:
        base: Registered name of a hub model.
        frames: Of the clip.
        height: In pixels.
        width: In pixels.
        device: Where to run.
        checkpointing: What ``backward`` computes again.
        attention: Attention backend.
        compile: Compile the transformer's block.
        autocast: Autocast in place of the weights' own arithmetic.
        devices: GPUs that share the draws.
        draws: Draws an iteration and device.
        steps: Denoising steps of validation and decode; their time is proportional to it.
        k: Length of the vector.
        tiny: Take the model's tiny sizes.
    """
    family = base_class(base)
    assert issubclass(family, HubModel), f"{base} is not a model of the hub"
    torch.manual_seed(0)
    with torch.device(device):
        model = family.untrained(None if tiny else family.sizes, torch.bfloat16)
    model.checkpointing = checkpointing
    if attention != "native":
        model.use_attention(attention)
    if compile:
        model.compile_blocks()
    costs = estimate(family.skeleton(), vov.ClipSize(frames, height, width), 1) if not tiny else None
    if tiny:
        k = HashedLoRA(model.adapted_layers(model.default_targets), 1, None, 0, "lora").projection.k
    clip = torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8)
    data = vov.SignalData.of(vov.Signal(clip, Fraction(16), "noise"), frames=frames, height=height, width=width)
    module = vov.VOVModule(
        model,
        vov.AdapterConfig(k=k, rank=1),
        objective=vov.FlowMatching(batch_size=1),
        sampler=vov.SamplerConfig(steps=steps, compute_dtype="bfloat16" if autocast else "weights"),
    )
    on_gpu = torch.device(device).type == "cuda"
    stages = [vov.Unconstrained(1), vov.RateConstrained(1)]
    options: dict[str, Any] = {"accelerator": "gpu" if on_gpu else "cpu", "accumulate_grad_batches": draws}
    if autocast:
        options["precision"] = "bf16-mixed"
    if devices > 1:
        options |= {"devices": devices, "strategy": "ddp"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        result = vov.fit(
            data, module, stages, folder, enable_progress_bar=False, val_check_interval=2 * draws, **options
        )
        whole_s = time.perf_counter() - started_s
        for part, seconds in result.metrics["seconds"].items():
            rows.append((part, seconds))
    rows.append(("fit with validation, encode and decode", whole_s))
    model.to(device)
    started_s = time.perf_counter()
    decode(result.file, model)
    rows.append((f"decode, {steps} steps, warm", time.perf_counter() - started_s))
    where = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{base}, {frames} frames of {width}x{height}, {where}\n\n| part | seconds |\n| --- | --- |")
    for part, seconds in rows:
        print(f"| {part} | {seconds:.2f} |")
    if on_gpu:
        print(f"\npeak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    if costs is not None:
        for keeping in KEEPING:
            num_bytes, flops = costs.draw(keeping)
            print(f"model of a draw, checkpointing {keeping}: {num_bytes / 1e9:.1f} GB, {flops / 1e12:.0f} TFLOP")
        print(f"a network evaluation {costs.forward_flops / 1e12:.0f}")


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
