"""One fit step of each stage, one validation and one decode at full size with random weights: time and peak memory.

    python tools/studies/full_size.py                                       Wan2.1-1.3B, 81 frames of 832x480, one GPU
    python tools/studies/full_size.py --checkpointing true                  on GPUs of 24 to 80 GB
    python tools/studies/full_size.py --tiny true --device cpu --frames 5 --height 64 --width 64   does the script work?

No weights are needed: random ones take as long. Nothing is learned from the picture.
"""

import tempfile
import time
from fractions import Fraction

import torch
from jsonargparse import auto_cli

import vov_lightning as vov
from vov_lightning.bases import base_class
from vov_lightning.bases.estimate import estimate
from vov_lightning.bases.hub import HubModel
from vov_lightning.codec.decode import decode
from vov_lightning.vector.adapter import HashedLoRA


def main(
    base: str = "wan2.1-t2v-1.3b",
    frames: int = 81,
    height: int = 480,
    width: int = 832,
    device: str = "cuda",
    checkpointing: bool = False,
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
        checkpointing: Gradient checkpointing.
        steps: Denoising steps of validation and decode; their time is proportional to it.
        k: Length of the vector.
        tiny: Take the model's tiny sizes.
    """
    family = base_class(base)
    assert issubclass(family, HubModel), f"{base} is not a model of the hub"
    torch.manual_seed(0)
    with torch.device(device):
        model = family.untrained(None if tiny else family.sizes, torch.bfloat16)
    if checkpointing:
        model.transformer.enable_gradient_checkpointing()
    costs = estimate(family.skeleton(), vov.ClipSize(frames, height, width), 1) if not tiny else None
    if tiny:
        k = HashedLoRA(model.adapted_layers(model.default_targets), 1, None, 0, "lora").projection.k
    clip = torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8)
    data = vov.SignalData.of(vov.Signal(clip, Fraction(16), "noise"), frames=frames, height=height, width=width)
    module = vov.VOVModule(
        model,
        vov.AdapterConfig(k=k, rank=1),
        objective=vov.FlowMatching(batch_size=1),
        sampler=vov.SamplerConfig(steps=steps, compute_dtype="bfloat16"),
    )
    on_gpu = torch.device(device).type == "cuda"
    stages = [vov.Unconstrained(1), vov.RateConstrained(1)]
    options = {"accelerator": "gpu", "precision": "bf16-mixed"} if on_gpu else {"accelerator": "cpu"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        result = vov.fit(data, module, stages, folder, enable_progress_bar=False, val_check_interval=2, **options)
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
        print(f"a draw is {costs.draw_flops / 1e12:.0f} TFLOP, a network evaluation {costs.forward_flops / 1e12:.0f}")


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
