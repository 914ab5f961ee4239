"""CPU seconds of a start: every command's ``--help``, a file's description, a tiny decode, and torch alone.

    python tools/studies/startup.py [--times 5]

The least of several runs counts: other work on the machine only adds to it.
"""

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import machine

from vov_lightning.bases import load_base
from vov_lightning.codec.build import build_file
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal

RESULTS = Path(__file__).parents[2] / "results" / "startup.json"
COMMAND, SECONDS = "command", "CPU seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="Runs of each command, of which the least counts.")
    parser.add_argument("--out", type=Path, default=RESULTS, help="File of the results.")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = [
            {COMMAND: shown, SECONDS: round(min(cpu_seconds(words) for _ in range(options.times)), 2)}
            for shown, words in commands(Path(folder)).items()
        ]
    options.out.write_text(
        json.dumps(
            {
                "machine": f"{machine(1)}, {os.getloadavg()[0]:.0f} processes at work",
                "date": f"{date.today()}, torch {torch.__version__}",
                "command": f"python tools/studies/startup.py --times {options.times}",
                "columns": [{"name": COMMAND}, {"name": SECONDS, "digits": 2}],
                "rows": rows,
            },
            indent=1,
        )
    )


def commands(folder: Path) -> dict[str, list[str]]:
    """What is started, by its name in the table; ``folder`` takes their files."""
    found = {entry.name: script(entry) for entry in entry_points(group="console_scripts") if entry.name[:4] == "vov-"}
    file = str(tiny_file(folder / "tiny.vov"))
    return {
        "import torch": [sys.executable, "-c", "import torch"],
        **{f"{name} --help": [*words, "--help"] for name, words in sorted(found.items())},
        "vov-info FILE": [*found["vov-info"], file],
        "vov-decode FILE, one frame": [*found["vov-decode"], file, "-o", str(folder / "tiny.png")],
        "vov-fit --print_config": [*found["vov-fit"], "--config", "nano.yaml", "--print_config"],
    }


def script(entry: EntryPoint) -> list[str]:
    """Words that start ``entry`` as its installed script does."""
    module, _, function = entry.value.partition(":")
    return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


def tiny_file(path: Path) -> Path:
    """A file at ``path`` of one frame of 16 x 16 that `nano` generates in one step."""
    clip = Signal(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), Fraction(25), "black")
    nothing, sampler = torch.zeros(0, dtype=torch.int32), SamplerConfig(steps=1)
    build_file(load_base("nano"), Fitted(clip, Padding(0, 0, 0)), "", nothing, 1.0, AdapterConfig(k=0), sampler).save(
        path
    )
    return path


def cpu_seconds(words: list[str]) -> float:
    """Seconds of processor time, user's and system's, of the process ``words``, which must end well."""
    before = spent()
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return spent() - before


def spent() -> float:
    """Seconds of processor time of all ended processes that this one has started."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
