"""Figures of a finished fit, and the table that shows them."""

from typing import Any

import lightning as L

from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.worth import format_worth
from vov_lightning.runs.encode import Encoded
from vov_lightning.runs.figures import format_db
from vov_lightning.runs.joint import format_joint


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """``seconds`` to milliseconds."""
    return {name: round(value, 3) for name, value in seconds.items()}


def measure(module: VOVModule, encoded: Encoded) -> dict[str, Any]:
    """Figures of a finished fit: those of the encoder, and those of the vector.

    ``bits_per_entry`` is None where there is no vector.
    """
    file, metrics = encoded.file, encoded.metrics
    sections = file.section_bytes()
    other_bits = 8 * (metrics["bytes"] - sections["vector"] - sections["count_table"])
    num_pixels = metrics["frames"] * metrics["height"] * metrics["width"]
    return metrics | {
        "bpp_estimated": ((module.estimated_bits() if file.header.k else 0.0) + other_bits) / num_pixels,
        "bits_per_entry": 8 * sections["vector"] / file.header.k if file.header.k else None,
        "versions": metrics["versions"] | {"lightning": L.__version__},
    }


def format_metrics(metrics: dict[str, Any]) -> str:
    """The table that ends a fit."""
    stopped = (metrics.get("drift") or {}).get("stopped")
    last = [f"{'stopped':<8} {stopped}"] if stopped else []
    if "sources" in metrics:
        account = [f"{'vector':<8} {format_worth(metrics['vector'])}"] if "vector" in metrics else []
        return "\n".join([format_joint(metrics), *account, *last])
    sections = ", ".join(f"{name} {size}" for name, size in metrics["section_bytes"].items() if size)
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
    if "vector" in metrics:
        rows["vector"] = format_worth(metrics["vector"])
    return "\n".join([*(f"{name:<8} {rows[name]}" for name in ROWS if name in rows), *last])


ROWS = ("file", "rate", "vector", "PSNR", "seconds")
"""Lines of the table in their order."""
