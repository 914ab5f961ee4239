"""Two lines before the work on a clip: the source, the expected result, and the time."""

import time
from dataclasses import replace
from math import ceil
from pathlib import Path

import torch

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.codec.build import context_of, window_of
from vov_lightning.codec.decode import velocity_field
from vov_lightning.runs.source import Source
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.video import Fitted
from vov_lightning.video.leftovers import left_behind
from vov_lightning.video.sound import describe_sound
from vov_lightning.video.source import Clip

LONG_S = 600
"""An encoding that takes longer than this says how to ask for less."""


def describe_plan(source: Source, path: Path, base: BaseModel, sampler: SamplerConfig, timed: bool) -> str:
    """Lines on what comes in, what will come out and how long it takes; what is left behind is named.

    Args:
        source: The clip as it will be coded.
        path: Where it was read from.
        base: The model.
        sampler: How the decoder samples.
        timed: Whether ``base`` lies where it will encode: then an evaluation is timed.
    """
    clip = source.clip
    rows, columns = clip.source_size
    seconds = f"{float(clip.duration_s):.2f} s"
    sound = describe_sound(source.sound) if source.sound else "no sound"
    evaluations = evaluations_of(clip, base) * sampler.steps
    estimate_s = evaluations * _seconds_per_evaluation(source, base, sampler) if timed else 0.0
    about = f", about {_spoken(estimate_s)} a pass of the sampler" if timed else ""
    cut = "" if clip.shape.fit in ("scale", "pad") else ", cut around the centre"
    lines = [
        f"in   {path}: {clip.num_frames} frames of {columns}x{rows}, {seconds}, {sound}",
        f"out  {clip.num_frames} frames of {clip.width}x{clip.height}{cut}, {sound}; segments of up to "
        f"{clip.shape.longest} frames, {evaluations} evaluations of the model{about}",
    ]
    if line := left_behind(path):
        lines.append(f"left {line}")
    if estimate_s > LONG_S:
        lines.append("     for less: a smaller --data.height, fewer --data.frames or --model.sampler.steps, or a GPU")
    return "\n".join(lines)


def evaluations_of(clip: Clip, base: BaseModel) -> int:
    """Evaluations of the model in one step over the whole clip, about: its windows, or its segments."""
    size = _size(clip.first)
    if base.window is None or not window_of(base, size):
        return ceil(clip.num_frames / clip.shape.longest)
    frames, rows, columns = base.latent_shape(replace(size, frames=clip.num_frames))[1:]
    if not (context := context_of(base, size)):
        return base.window.count((frames, rows, columns))
    return ceil(frames / (base.window.frames - context)) * base.window.count((1, rows, columns))


def _seconds_per_evaluation(source: Source, base: BaseModel, sampler: SamplerConfig) -> float:
    """Seconds that one window takes, measured on a part of the first segment."""
    size = _size(source.clip.first)
    if window_of(base, size):
        size = replace(size, frames=min(size.frames, base.block_frames))
    velocity = velocity_field(base, source.caption, sampler, base.window, base.context)
    x_t, t = torch.zeros(1, *base.latent_shape(size), device=base.device), torch.ones(1, device=base.device)
    windows = 1 if base.window is None else base.window.count(x_t.shape[2:])
    with torch.no_grad():
        velocity(x_t, t)  # the first one takes longer
        started_s = time.perf_counter()
        velocity(x_t, t).sum().item()
        return (time.perf_counter() - started_s) / windows


def _size(segment: Fitted) -> ClipSize:
    """Size at which ``segment`` is generated."""
    return ClipSize(segment.signal.num_frames, segment.signal.height, segment.signal.width)


def _spoken(seconds: float) -> str:
    """A duration for a person.

    Example:
        >>> _spoken(4.2), _spoken(130), _spoken(8000)
        ('5 s', '3 min', '2.2 h')
    """
    if seconds < 60:
        return f"{ceil(seconds)} s"
    return f"{ceil(seconds / 60)} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
