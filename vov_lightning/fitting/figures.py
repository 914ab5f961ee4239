"""Figures of a finished fit, and the table that shows them."""

import hashlib
from importlib.metadata import version
from typing import Any

import lightning as L
import torch

from vov_lightning.bitstream import VovFile
from vov_lightning.fitting.module import VOVModule
from vov_lightning.runs.figures import finite, format_db
from vov_lightning.runs.joint import format_joint
from vov_lightning.video import Signal, remove_padding
from vov_lightning.video.compare import psnr_db


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """``seconds`` to milliseconds."""
    return {name: round(value, 3) for name, value in seconds.items()}


def measure(module: VOVModule, file: VovFile, decoded: Signal, number: int = 0) -> dict[str, Any]:
    """Figures of a finished fit; rates count every byte of the file, PSNR is of the decoder's 8-bit frames.

    A PSNR is None where there is no error at all, and so is ``bits_per_entry`` where there is no vector.

    Args:
        module: What was fitted.
        file: The source's file.
        decoded: What it decodes to.
        number: Of the source.
    """
    source = module.sources[number]
    target, data = source.target, file.to_bytes()
    sections = file.section_bytes()
    overhead_bits = 8 * (len(data) - sections["vector"] - sections["count_table"])
    frames = source.fitted.signal.frames
    autoencoded = module.base.decode(module.base.encode(frames), len(frames))
    bound = remove_padding(Signal(autoencoded, target.fps, "autoencoded"), source.fitted.padding)
    return {
        "name": target.name,
        "base": f"{file.header.base_name}@{file.header.base_revision}",
        "caption": file.caption,
        "frames": target.num_frames,
        "height": target.height,
        "width": target.width,
        "bytes": len(data),
        "section_bytes": sections,
        "bpp": 8 * len(data) / target.num_pixels,
        "bpp_estimated": (module.estimated_bits() + overhead_bits) / target.num_pixels,
        "bits_per_entry": 8 * sections["vector"] / file.header.k if file.header.k else None,
        "psnr_db": finite(psnr_db(decoded, target)),
        "autoencoder_psnr_db": finite(psnr_db(bound, target)),
        "sha256": hashlib.sha256(data).hexdigest(),
        "versions": {"vov_lightning": version("vov_lightning"), "torch": torch.__version__, "lightning": L.__version__},
    }


def format_metrics(metrics: dict[str, Any]) -> str:
    """The table that ends a fit."""
    stopped = (metrics.get("drift") or {}).get("stopped")
    last = [f"{'stopped':<8} {stopped}"] if stopped else []
    if "sources" in metrics:
        return "\n".join([format_joint(metrics), *last])
    sections = ", ".join(f"{name} {size}" for name, size in metrics["section_bytes"].items())
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in metrics["seconds"].items())
    rate, psnr = f"{metrics['bpp']:.4f} bpp from the file", f"{format_db(metrics['psnr_db'])} decoded"
    rows = {
        "file": f"{metrics['bytes']} bytes ({sections})",
        "rate": rate,
        "PSNR": f"{psnr}, {format_db(metrics['autoencoder_psnr_db'])} the autoencoder alone",
        "seconds": seconds,
    }
    if metrics["bits_per_entry"]:
        rows["rate"] += f", {metrics['bpp_estimated']:.4f} by the learned density"
        rows["vector"] = f"{metrics['bits_per_entry']:.3f} bits per entry"
    return "\n".join([*(f"{name:<8} {rows[name]}" for name in ROWS if name in rows), *last])


ROWS = ("file", "rate", "vector", "PSNR", "seconds")
"""Lines of the table in their order."""
