"""What figures depend on beside files and settings: versions and machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

PACKAGES = (
    "vov_lightning", "torch", "torchvision", "torchmetrics", "diffusers", "lightning", "vmaf-torch", "imageio-ffmpeg",
    "bjontegaard", "numpy",
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
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return {"versions": versions, "machine": machine}
