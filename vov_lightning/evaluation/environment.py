"""Versions and machine: figures depend on them too."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "vov_lightning", "torch", "torchvision", "torchmetrics", "diffusers", "lightning", "vmaf-torch", "imageio-ffmpeg",
    "bjontegaard", "numpy", "peft", "compressai", "constriction",
)  # fmt: skip
"""Packages whose versions are noted."""


def environment(device: torch.device) -> dict[str, Any]:
    """``versions`` and ``machine``, plain JSON types; ``device`` is where models run."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    machine = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return {"versions": versions, "machine": machine}


def _processor() -> str:
    """The processor's model where the system says it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
