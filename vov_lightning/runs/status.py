"""The state of a set, read from its folder at any time: what is done, who works on what, what failed, what is left."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vov_lightning.runs.claims import read_claim
from vov_lightning.runs.figures import format_db
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.sets import Member, failure_of

State = Literal["done", "running", "failed", "stopped", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "failed", "stopped", "waiting")


@dataclass(frozen=True)
class ClipState:
    """Where one clip of a set is."""

    name: str
    state: State
    """``stopped`` has a checkpoint or segments that the next command goes on from; ``waiting`` has nothing."""
    text: str
    """Figures, owner or error."""
    seconds: float | None = None
    """What it took, where it is done."""


def state_of(run: RunFolder) -> ClipState:
    """Where the clip of ``run`` is."""
    claim = read_claim(run.claim)
    if claim is not None and not claim[1]:
        at = _progress(run)
        return ClipState(run.name, "running", f"{at}{', ' if at else ''}{claim[0]}")
    if (error := failure_of(run)) is not None:
        return ClipState(run.name, "failed", error)
    try:
        metrics = json.loads(run.metrics.read_text())
    except FileNotFoundError:
        at = _progress(run)
        return ClipState(run.name, "stopped" if at else "waiting", at)
    figures = f"{metrics['bytes']} bytes, {metrics['bpp']:.4f} bpp, {format_db(metrics['psnr_db'])}"
    return ClipState(run.name, "done", figures, sum(metrics["seconds"].values()))


def states_of(folder: Path, members: Iterable[Member]) -> list[ClipState]:
    """Where each of ``members`` is, whose runs lie in ``folder``."""
    return [state_of(RunFolder(folder / member.name, member.name)) for member in members]


def _progress(run: RunFolder) -> str:
    """How far the fit's history goes, and how many segments are coded; empty where nothing is done."""
    done = []
    with suppress(OSError, ValueError, IndexError, KeyError):  # no fit, or none that has begun
        done.append(f"iteration {json.loads(run.history.read_text().splitlines()[-1])['step']}")
    by_key = Counter(segment.parent for segment in run.kept_segments.glob("*/[0-9]*.vov"))
    if by_key:
        done.append(f"segment {max(by_key.values())}")
    return ", ".join(done)


def format_states(states: Sequence[ClipState]) -> str:
    """A line for each clip that anything is known of, and the count of all."""
    width = max(len(one.name) for one in states)
    lines = [f"{one.name:<{width}}  {one.state:<8} {one.text}".rstrip() for one in states if one.state != "waiting"]
    return "\n".join([*lines, count_states(states)])


def count_states(states: Sequence[ClipState]) -> str:
    """How many clips are done, running, failed, stopped and waiting, and the time left at the mean of those done.

    Example:
        >>> states = [ClipState("a", "done", "", 7200.0), ClipState("b", "running", ""), ClipState("c", "waiting", "")]
        >>> count_states(states)
        '1 done, 1 running, 1 waiting; about 4.0 h left at 1 at a time'
    """
    counts = Counter(one.state for one in states)
    line = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    took_s = [one.seconds for one in states if one.seconds is not None]
    left, workers = counts["running"] + counts["stopped"] + counts["waiting"], counts["running"]
    if took_s and left and workers:
        hours = sum(took_s) / len(took_s) * left / workers / 3600
        spoken = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        line += f"; about {spoken} left at {workers} at a time"
    return line
