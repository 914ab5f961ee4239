"""How decoded frames change on another machine: instruction sets, thread counts and bfloat16 against this one's.

    python tools/studies/drift.py [x.vov,y.vov] --out results/drift.json

Every file is decoded in a process of its own for each variation, by nano or the base model that it names. A row says by
how many grey levels frames differ at most, what share of them differs, and the PSNR between the two decodings.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import torch
from jsonargparse import auto_cli
from machine import machine

from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.header import ComputeDtype
from vov_lightning.codec.decode import decode


@dataclass(frozen=True)
class Variation:
    """One way to decode."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that choose instruction sets (PyTorch's own and oneDNN's kernels) and threads."""
    dtype: ComputeDtype = "float32"
    """Arithmetic in place of the file's."""


REFERENCE = Variation("one thread, all instructions", {"OMP_NUM_THREADS": "1"})
VARIATIONS = (
    Variation("two threads", {"OMP_NUM_THREADS": "2"}),
    Variation("AVX2", {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Variation("SSE4.1", {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Variation("bfloat16", {"OMP_NUM_THREADS": "1"}, "bfloat16"),
)


def main(files: list[str], out: Path = Path("results/drift.json")) -> None:
    """Decode ``files`` under every variation and compare.

    Args:
        files: The .vov files.
        out: JSON of the rows.
    """
    rows = []
    for file in files:
        reference = decoded(file, REFERENCE)
        for variation in VARIATIONS:
            difference = (decoded(file, variation).short() - reference.short()).abs()
            error = difference.float().square().mean().item()
            rows.append(
                {
                    "file": Path(file).name,
                    "variation": variation.name,
                    "grey_levels": int(difference.max()),
                    "share": (difference > 0).float().mean().item(),
                    "psnr_db": 10 * math.log10(255**2 / error) if error else None,
                }
            )
            print(rows[-1])
    found = {"machine": machine(), "date": f"{date.today()}", "rows": rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")


def decoded(file: str, variation: Variation) -> torch.Tensor:
    """Frames [T, 3, H, W] uint8 of ``file`` under ``variation``, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "frames.pt"
        order = json.dumps([file, str(target), asdict(variation)])
        subprocess.run([sys.executable, __file__, order], env=os.environ | variation.environment, check=True)
        return torch.load(target)


def decode_here(file: str, target: str, variation: Variation) -> None:
    """Decode ``file`` and keep its frames at ``target``."""
    opened = VovFile.open(file)
    opened = replace(opened, header=replace(opened.header, compute_dtype=variation.dtype))
    torch.save(decode(opened).frames, target)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("["):
        file, target, variation = json.loads(sys.argv[1])
        decode_here(file, target, Variation(**variation))
    else:
        auto_cli(main, as_positional=True)
