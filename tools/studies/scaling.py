"""Inference-time scaling on the bundled model without a fit: quality by steps, kernels, codebooks and bits.

    python tools/studies/scaling.py steps --clips DIR       the paper's figure 6: quality against steps and candidates
    python tools/studies/scaling.py codebooks --clips DIR   independent candidates against hadamard
    python tools/studies/scaling.py rate --clips DIR        quality against bits per pixel
    python tools/studies/scaling.py ordered --clips DIR     variable-length indices (ordered random coding)
    python tools/studies/scaling.py time                    encoding against decoding, scoring

Tables are printed as Markdown; ``--out`` receives the rows of every setting as it is done, so that an interrupted
study goes on where it was.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Literal

import numpy as np
import torch
from ordered import ordered_file
from quality import Row, cached, distances, markdown

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.header import CodebookName, SteeredKernel
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode
from vov_lightning.codec.steer import steer, with_indices
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.source import Source
from vov_lightning.sampling.candidates import Codebook, HadamardCodebook, IidCodebook
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted

KERNELS: tuple[SteeredKernel, ...] = ("euler_maruyama", "ancestral")
CODEBOOK_NAMES: tuple[CodebookName, ...] = ("iid", "hadamard")
Allocation = Literal["divergence", "even"]
SELECTIONS: tuple[Literal["argmax", "importance"], ...] = ("importance", "argmax")


@dataclass(frozen=True)
class Setting:
    """One line of a study's table."""

    label: Row
    steps: int
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    choice: str = "best"
    """``best``: the encoder chooses; ``ordered``: by ordered random coding; ``chance``: candidates are only drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=[*STUDIES, "time"], help="What to measure.")
    parser.add_argument("--clips", type=Path, help="Folder of clips.")
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"), help="Folder of the results.")
    parser.add_argument("--seeds", type=int, default=4, help="Seeds of noise and candidates.")
    options = parser.parse_args()
    if options.study == "time":
        measure_time()
        return
    if options.clips is None:
        parser.error(f"{options.study} needs --clips")
    base = Nano()
    clips = [
        SignalData(str(path), frames=9, height=64, width=64).load(base) for path in sorted(options.clips.glob("*.mp4"))
    ]
    conditions = {"base": base.fingerprint().hex(), "clips": len(clips), "seeds": options.seeds}
    rows: list[Row] = []
    for setting in STUDIES[options.study]():
        name = "_".join(str(value) for value in setting.label.values()).replace("^", "")

        def measured(setting: Setting = setting) -> list[Row]:
            return [setting.label | average(base, clips, options.seeds, setting)]

        rows += cached(options.out / options.study / f"{name}.json", conditions | asdict(setting), measured)
        print(markdown(rows).splitlines()[-1], flush=True)
    print("\n" + markdown(rows))


def average(base: Nano, clips: list[Source], seeds: int, setting: Setting) -> Row:
    """Means over clips and seeds of bits, bpp and distances."""
    pairs = product(clips, range(seeds))
    rows = [measure(base, source.clip.first, source.caption, seed, setting) for source, seed in pairs]
    return {key: mean(row[key] for row in rows) for key in rows[0]}


def measure(base: Nano, source: Fitted, caption: str, seed: int, setting: Setting) -> Row:
    """Figures of one file and of its decoded clip."""
    sampler = SamplerConfig(steps=setting.steps, seed=seed)
    file = build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(k=0), sampler)
    bits = None
    if setting.choice == "ordered":
        file, bits = ordered_file(file, base, source.signal, setting.scaling)
    elif setting.choice == "chance":
        file = undecided(file, setting.scaling)
    elif setting.scaling.bits:
        file = steer(file, base, source.signal, setting.scaling)
    bits = setting.scaling.index_bits * sum(map(len, file.indices)) if bits is None else bits
    bpp = 8 * len(file.to_bytes()) / source.signal.num_pixels
    return {"index_bits": float(bits), "bpp": bpp} | distances(decode(file, base).frames, source.signal)


def undecided(file: VovFile, scaling: ScalingConfig) -> VovFile:
    """``file`` under the stochastic kernel with one arbitrary candidate a step: the sampler without selection."""
    numbers = np.random.default_rng(file.header.seed).integers(2**scaling.index_bits, size=(file.header.steps - 1, 1))
    return with_indices(file, tuple(numbers), scaling)


def steps() -> Iterator[Setting]:
    """One group a step, as in the paper; 2^b candidates."""
    for count in (5, 10, 25, 50):
        yield Setting({"steps": count, "candidates": "none", "kernel": "ode"}, count)
        for bits, kernel in product((0, 10, 14, 18), KERNELS):
            scaling = ScalingConfig(
                bits=bits * (count - 1), index_bits=bits or 1, kernel=kernel, selection="importance", allocation="even"
            )
            label: Row = {"steps": count, "candidates": f"2^{bits}", "kernel": kernel}
            yield Setting(label, count, scaling, "best" if bits else "chance")


def codebooks() -> Iterator[Setting]:
    """The same groups and numbers of candidates from both codebooks."""
    for bits, index_bits, selection in product((1000, 4000), (8, 12), SELECTIONS):
        for codebook in CODEBOOK_NAMES:
            scaling = ScalingConfig(bits=bits, index_bits=index_bits, codebook=codebook, selection=selection)
            label: Row = {"bits": bits, "candidates": f"2^{index_bits}", "selection": selection, "codebook": codebook}
            yield Setting(label, 25, scaling)


def rate() -> Iterator[Setting]:
    """More and more bits, by 25 and 50 steps and both selections."""
    for count, selection, bits in product((25, 50), SELECTIONS[::-1], (0, 500, 1000, 2000, 4000, 8000)):
        label: Row = {"steps": count, "selection": selection, "bits": bits}
        yield Setting(label, count, ScalingConfig(bits=bits, index_bits=8, selection=selection))


def ordered() -> Iterator[Setting]:
    """Fixed-length indices, and ordered random coding with as many candidates and with more than the bits can use."""
    for selection, bits in product(SELECTIONS[::-1], (500, 1000, 2000, 4000, 8000)):
        fixed: Row = {"coding": "fixed", "selection": selection, "candidates": "2^8", "allocation": "divergence"}
        yield Setting(fixed | {"budget": bits}, 25, ScalingConfig(bits=bits, index_bits=8, selection=selection))
    shares: tuple[tuple[int, Allocation], ...] = ((8, "divergence"), (8, "even"), (12, "even"), (16, "even"))
    for (index_bits, allocation), bits in product(shares, (1000, 2000, 4000)):
        label: Row = {"coding": "ordered", "selection": "importance", "candidates": f"2^{index_bits}"}
        scaling = ScalingConfig(bits=bits, index_bits=index_bits, allocation=allocation, selection="importance")
        yield Setting(label | {"allocation": allocation, "budget": bits}, 25, scaling, "ordered")


def measure_time() -> None:
    """Scoring by both codebooks, and encoding against decoding; medians."""
    wish = torch.randn(1, 3648)
    books: list[Codebook] = [IidCodebook(12, 0), HadamardCodebook(12, 0)]
    iid, hadamard = (seconds(partial(book.scores, wish, 0)) for book in books)
    print(
        f"scores of 2^12 candidates over 3,648 latents: iid {iid:.4f} s, hadamard {hadamard:.5f} s, "
        f"{iid / hadamard:.0f} times less"
    )
    base = Nano()
    loaded = SignalData("sample", frames=9, height=64, width=64).load(base)
    source = loaded.clip.first
    file = build_file(base, source, loaded.caption, torch.zeros(0), 1.0, AdapterConfig(k=0), SamplerConfig(steps=50))
    scaling = ScalingConfig(bits=4000, allocation="even")
    scaled = steer(file, base, source.signal, scaling)
    encoding = seconds(lambda: steer(file, base, source.signal, scaling))
    decoding = seconds(lambda: decode(scaled, base))
    print(f"50 steps, 4,000 bits: encode {encoding:.3f} s, decode {decoding:.3f} s, ratio {encoding / decoding:.3f}")


def seconds(run: Callable[[], object], repeats: int = 11) -> float:
    """Median duration of ``run``."""
    durations = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started_s)
    return median(durations)


STUDIES = {"steps": steps, "codebooks": codebooks, "rate": rate, "ordered": ordered}


if __name__ == "__main__":
    main()
