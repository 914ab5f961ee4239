"""Windows of `nano`: what overlap, taper and offsets do to quality and seams, and how long an evaluation takes.

    python tools/studies/windows.py quality --clips DIR     strides, tapers and offsets, with indices at 0.03 bpp
    python tools/studies/windows.py price --clips DIR       fewer steps, and the network in bfloat16
    python tools/studies/windows.py speed                   windows at once, float32 against bfloat16
    python tools/studies/windows.py step                    what a step spends outside the transformer

Every study writes its rows to its own entry of ``--out``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from unittest.mock import patch

import torch
from machine import machine
from quality import Row, lpips, markdown
from torch import Tensor

from vov_lightning.bases import ClipSize, windows
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.windows import Windows, windowed
from vov_lightning.bitstream.header import ComputeDtype
from vov_lightning.codec.decode import generate, velocity_field
from vov_lightning.fitting.data import SignalData
from vov_lightning.sampling.candidates import Groups
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.sampling.steering import Search
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

TIMING = "seconds of processor time, which other programs on the machine disturb least"
SIZES = (ClipSize(9, 144, 256), ClipSize(9, 128, 128))
BPP = 0.03
SIZE = 8
"""Latents a side of a window."""


@dataclass(frozen=True)
class Setting:
    """How latents are evaluated."""

    stride: int = 0
    """Latents from one window to the next; 0 evaluates all at once."""
    taper: str = "linear"
    """``linear``, ``cosine`` (raised) or ``flat``."""
    offsets: str = "fixed"
    """``fixed``; ``even``: origins are spread evenly; ``random``: every step moves the windows by its own offset."""
    dtype: ComputeDtype = "float32"
    """Arithmetic of the network."""
    steps: int = 25
    """Of the sampler."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["quality", "price", "speed", "step"], help="What to measure.")
    parser.add_argument("--clips", type=Path, help="Folder of clips.")
    parser.add_argument("--count", type=int, default=3, help="Clips that are used, spread evenly over the folder.")
    parser.add_argument("--out", type=Path, default=Path("results/windows.json"), help="File of the results.")
    options = parser.parse_args()
    torch.set_num_threads(1)  # processor time of threads that wait for each other says nothing
    base = Nano()
    if options.study in ("speed", "step"):
        rows = measure_speed(base) if options.study == "speed" else measure_step(base)
    elif options.clips is None:
        parser.error(f"{options.study} needs --clips")
    else:
        clips = sorted(options.clips.glob("*.mp4"))
        clips = clips[:: -(-len(clips) // options.count)]
        settings = all_settings() if options.study == "quality" else prices()
        rows = measure_quality(base, clips, list(settings))
    print("\n" + markdown(rows))
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results[options.study] = {"machine": machine(), "timing": TIMING, "date": date.today().isoformat(), "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


def all_settings() -> Iterator[Setting]:
    """No windows, then every stride, then other tapers and offsets for those of 2 and 4 latents of overlap."""
    yield Setting()
    for stride in (6, 8, 7, 5, 4):
        yield Setting(stride)
    for stride, taper in product((6, 4), ("cosine", "flat")):
        yield Setting(stride, taper)
    for stride, offsets in ((6, "random"), (6, "even"), (8, "random"), (7, "random"), (7, "even")):
        yield Setting(stride, offsets=offsets)


def prices() -> Iterator[Setting]:
    """The chosen windows by fewer steps, and in bfloat16."""
    for steps in (25, 16, 10, 6):
        yield Setting(stride=6, steps=steps)
    yield Setting(stride=6, dtype="bfloat16")


@torch.no_grad()
def measure_quality(base: Nano, clips: list[Path], settings: list[Setting]) -> list[Row]:
    """A row a size and setting, means over clips."""
    rows: list[Row] = []
    for size, setting in product(SIZES, settings):
        found = []
        for path in clips:
            data = SignalData(str(path), frames=size.frames, height=size.height, width=size.width)
            source = data.load(base)
            found.append(measure(base, source.clip.first.signal, source.caption, size, setting))
        label = {"size": f"{size.width}x{size.height}x{size.frames}", **vars(setting)}
        rows.append(label | {key: mean(row[key] for row in found) for key in found[0]})
        print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    return rows


def measure(base: Nano, source: Signal, caption: str, size: ClipSize, setting: Setting) -> dict[str, float]:
    """Quality of one clip that indices of 0.03 bits per pixel lead the sampler to."""
    scaling = ScalingConfig(bits=int(BPP * source.num_pixels))
    sampler = SamplerConfig(steps=setting.steps, compute_dtype=setting.dtype)
    search = Search(scaling, base.encode(source.frames), sampler.seed, sampler.times().tolist())
    velocity, seconds, evaluated = velocity_field(base, caption, sampler), [], []

    def counted(x_t: Tensor, t: Tensor) -> Tensor:
        evaluated.append(len(x_t))
        return velocity(x_t, t)

    with variant(setting) as blend:

        def timed(x_t: Tensor, t: Tensor) -> Tensor:
            started_s = time.process_time()
            u = blend(counted)(x_t, t)
            seconds.append(time.process_time() - started_s)
            return u

        latents = generate(base, timed, sampler, size, search)
    decoded = Signal(base.decode(latents, size.frames), source.fps, "decoded")
    return {
        "windows": sum(evaluated) / sampler.steps,
        "seconds": median(seconds),
        "psnr_db": psnr_db(decoded, source),
        "lpips": lpips(decoded.frames, source.frames),
        "seam": seam(decoded.frames, setting) / seam(source.frames, setting),
    }


@contextmanager
def variant(setting: Setting) -> Iterator[Callable]:
    """What wraps a velocity; within the block, windows have the setting's taper and offsets."""
    if not setting.stride:
        yield lambda velocity: velocity
        return
    plain_origins, plain_taper = windows.origins, windows.taper
    generator = torch.Generator().manual_seed(0)

    def taper(size: int, overlap: int) -> Tensor:
        if setting.taper == "flat":
            return torch.ones(size, dtype=torch.float64)
        linear = plain_taper(size, overlap)
        return linear if setting.taper == "linear" else torch.sin(linear * torch.pi / 2) ** 2

    def moved(length: int, size: int, overlap: int) -> list[int]:
        starts = plain_origins(length, size, overlap)
        if setting.offsets == "even":
            return [round(number * starts[-1] / max(1, len(starts) - 1)) for number in range(len(starts))]
        return sorted({min(max(0, start), starts[-1]) for start in range(-shift[length], length, size - overlap)})

    shift: dict[int, int] = {}

    def blend(velocity: Callable) -> Callable:
        wrapped = windowed(velocity, Windows(1, SIZE, SIZE, overlap_space=SIZE - setting.stride))

        def shifted(x_t: Tensor, t: Tensor) -> Tensor:
            for length in set(x_t.shape[2:]):
                shift[length] = int(torch.randint(setting.stride, (), generator=generator))
            return wrapped(x_t, t)

        return shifted

    with (
        patch.object(windows, "taper", taper),
        patch.object(windows, "origins", plain_origins if setting.offsets == "fixed" else moved),
    ):
        yield blend


def seam(frames: Tensor, setting: Setting) -> float:
    """Mean absolute step of ``frames`` [T, 3, H, W] across borders of windows, over that at other latents' borders."""
    at_borders: list[float] = []
    inside: list[float] = []
    for pixels in (frames.float(), frames.float().transpose(2, 3)):
        length = pixels.shape[3] // 8
        starts = windows.origins(length, SIZE, SIZE - (setting.stride or 6))
        borders = {*starts, *(start + SIZE for start in starts)}
        steps = (pixels[..., 8::8] - pixels[..., 7:-1:8]).abs().mean((0, 1, 2))
        for number, step in enumerate(steps.tolist(), start=1):
            (at_borders if number in borders else inside).append(step)
    return mean(at_borders) / mean(inside) if inside else float("nan")


@torch.no_grad()
def measure_speed(base: Nano) -> list[Row]:
    """Milliseconds a window on one core, by arithmetic and windows at once."""
    rows: list[Row] = []
    dtypes: tuple[ComputeDtype, ...] = ("float32", "bfloat16")
    for dtype, count in product(dtypes, (1, 4, 8, 16, 32, 64)):
        velocity = velocity_field(base, "dim", SamplerConfig(compute_dtype=dtype))
        x_t, t = torch.randn(count, 57, 1, SIZE, SIZE), torch.full((count,), 0.5)
        took_s = seconds(partial(velocity, x_t, t), 3 + 8 // count)
        rows.append({"dtype": dtype, "at_once": count, "ms_a_window": 1000 * took_s / count})
        print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    return rows


@torch.no_grad()
def measure_step(base: Nano) -> list[Row]:
    """Seconds of the parts of one step of an encoder, 90 frames of 256 x 144 at 0.03 bpp."""
    size = ClipSize(90, 144, 256)
    noise = initial_noise(0, base.latent_shape(size))
    count = int(BPP * size.frames * size.height * size.width / 24 / 8)
    t = torch.full((1,), 0.5)
    took_s: dict[str, float] = {}
    took_s["noise, once"] = seconds(lambda: initial_noise(0, base.latent_shape(size)), 5)
    took_s["order of entries, once"] = seconds(lambda: Groups(noise.numel(), 0), 5)
    times = SamplerConfig(steps=25).times().tolist()
    search = Search(ScalingConfig(bits=8 * count, index_bits=8), noise, 0, times)
    wish = search.groups(noise.numel()).split(noise, count)
    indices = search.codebook.scores(wish, 0).argmax(1)
    drawn = search.codebook.draw(indices, wish.shape[1], 0)
    took_s["groups of the wish"] = seconds(lambda: search.groups(noise.numel()).split(noise, count), 5)
    took_s["scores"] = seconds(lambda: search.codebook.scores(wish, 0), 5)
    took_s["draw"] = seconds(lambda: search.codebook.draw(indices, wish.shape[1], 0), 5)
    took_s["groups joined"] = seconds(lambda: search.groups(noise.numel()).join(drawn, noise), 5)
    config = ScalingConfig(bits=24 * 8 * count, index_bits=8, allocation="even")
    clip = Search(config, initial_noise(1, noise.shape[1:]), 0, times)
    took_s["all of an encoder's steering"] = seconds(lambda: clip.step(0, noise, 0 * noise, 0.9, 0.8), 5)
    assert len(clip.indices[0]) == count
    blended = windowed(base.velocity("dim"), Nano.window)
    took_s["blending"] = seconds(lambda: windowed(lambda x, t: x, Nano.window)(noise, t), 5)
    took_s["velocity"] = seconds(lambda: blended(noise, t), 1)
    whole = took_s["velocity"]
    return [{"part": part, "seconds": took, "of_a_velocity": took / whole} for part, took in took_s.items()]


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median processor time of ``run``, after a first one that is not counted."""
    run()
    durations = []
    for _ in range(repeats):
        started_s = time.process_time()
        run()
        durations.append(time.process_time() - started_s)
    return median(durations)


if __name__ == "__main__":
    main()
