"""Inference-time scaling on the bundled model, without any fit: what steps, kernels, codebooks and bits buy.

    python tools/bench/scaling.py steps --clips DIR --out runs/scaling      the paper's figure 6: PSNR against steps
    python tools/bench/scaling.py codebooks --clips DIR --out runs/scaling  iid against hadamard: quality, time
    python tools/bench/scaling.py time                                      encoding against decoding
    python tools/bench/scaling.py rate --clips DIR --out runs/scaling       quality against bits per pixel

Tables are printed as Markdown; ``--out`` receives the rows as JSON. LPIPS (AlexNet) and DISTS as in ``prior.py``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, median

import torch
from prior import Row, distances

from vov_lightning.bases.nano import Nano
from vov_lightning.codec import build_file, decode
from vov_lightning.fitting.data import SignalData
from vov_lightning.sampling.candidates import Codebook, HadamardCodebook, IidCodebook
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.scaling import scale
from vov_lightning.vector.adapter import AdapterConfig

Measure = Callable[[SamplerConfig, ScalingConfig], Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES, help="What to measure.")
    parser.add_argument("--clips", type=Path, help="Folder of clips.")
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"), help="Folder of the JSON.")
    parser.add_argument("--seeds", type=int, default=4, help="Seeds of noise and candidates.")
    options = parser.parse_args()
    if options.study == "time":
        measure_time()
        return
    if options.clips is None:
        parser.error(f"{options.study} needs --clips")
    measure = measurer(Nano(), options.clips, options.seeds)
    rows = list(STUDIES[options.study](measure))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{options.study}.json").write_text(json.dumps(rows, indent=2) + "\n")
    print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print(
            "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values()) + " |"
        )


def measurer(base: Nano, folder: Path, seeds: int) -> Measure:
    """Means over clips and seeds of bpp, PSNR, LPIPS and DISTS under given settings."""
    clips = [SignalData(str(path)).load(base) for path in sorted(folder.glob("*.mp4"))]

    def measure(sampler: SamplerConfig, scaling: ScalingConfig) -> Row:
        rows = []
        for (source, caption), seed in product(clips, range(seeds)):
            seeded = replace(sampler, seed=seed)
            file = build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(k=0), seeded)
            if scaling.bits:
                file = scale(file, base, source.signal, scaling)
            found = distances(decode(file, base).frames, source.signal)
            rows.append({"bpp": 8 * len(file.to_bytes()) / source.signal.num_pixels} | found)
        return {key: mean(row[key] for row in rows) for key in rows[0]}

    return measure


def steps(measure: Measure) -> Iterator[Row]:
    """One group a step, as in the paper; 2^b candidates."""
    for count, bits, kernel in product((5, 10, 25, 50), (0, 10, 14, 18), ("euler_maruyama", "ancestral")):
        if not bits and kernel == "ancestral":
            continue
        options = {"index_bits": bits, "allocation": "even"} if bits else {}
        scaling = ScalingConfig(bits=bits * (count - 1), kernel=kernel, selection="importance", **options)
        found = measure(SamplerConfig(steps=count), scaling)
        yield {
            "steps": count,
            "candidates": f"2^{bits}" if bits else "none",
            "kernel": kernel if bits else "ode",
        } | found


def codebooks(measure: Measure) -> Iterator[Row]:
    """The same groups and numbers of candidates from both codebooks."""
    for bits, index_bits, selection in product((1000, 4000), (8, 12), ("importance", "argmax")):
        for codebook in ("iid", "hadamard"):
            scaling = ScalingConfig(bits=bits, index_bits=index_bits, codebook=codebook, selection=selection)
            row = {"bits": bits, "candidates": f"2^{index_bits}", "selection": selection, "codebook": codebook}
            yield row | measure(SamplerConfig(steps=25), scaling)


def rate(measure: Measure) -> Iterator[Row]:
    """More and more bits, by 25 and 50 steps and both selections."""
    for count, selection, bits in product((25, 50), ("argmax", "importance"), (0, 500, 1000, 2000, 4000, 8000)):
        scaling = ScalingConfig(bits=bits, selection=selection)
        yield {"steps": count, "selection": selection, "bits": bits} | measure(SamplerConfig(steps=count), scaling)


def measure_time() -> None:
    """Scoring by both codebooks, and encoding against decoding; medians."""
    wish = torch.randn(1, 3648)
    books: list[Codebook] = [IidCodebook(12, 0), HadamardCodebook(12, 0)]
    iid, hadamard = (seconds(lambda book=book: book.scores(wish, 0)) for book in books)
    print(
        f"scores of 2^12 candidates over 3,648 latents: iid {iid:.4f} s, hadamard {hadamard:.5f} s, "
        f"{iid / hadamard:.0f} times less"
    )
    base = Nano()
    source, caption = SignalData("sample").load(base)
    file = build_file(base, source, caption, torch.zeros(0), 1.0, AdapterConfig(k=0), SamplerConfig(steps=50))
    scaling = ScalingConfig(bits=4000, allocation="even")
    scaled = scale(file, base, source.signal, scaling)
    encoding = seconds(lambda: scale(file, base, source.signal, scaling))
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


STUDIES = {"steps": steps, "codebooks": codebooks, "rate": rate, "time": None}


if __name__ == "__main__":
    main()
