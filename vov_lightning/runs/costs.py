"""What the fits of a set will cost: a model from counted operations, made before anything is fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bases.estimate import GPUS, UTILISATION, Estimate, choose_checkpointing, estimate
from vov_lightning.bases.running import Checkpointing, Keeping
from vov_lightning.codec.build import window_of
from vov_lightning.runs.plan import evaluations_of
from vov_lightning.video import Signal
from vov_lightning.video.source import Clip

SHOWN = "A100 80 GB", "H100 80 GB"
"""GPUs whose hours are shown."""


@dataclass(frozen=True)
class Work:
    """What a fit does, as its settings say."""

    rank: int
    targets: tuple[str, ...]
    draws: int
    """Draws of (t, eps), forward and backward, in both stages; 0 without a vector."""
    draws_at_once: int
    """Whose activations are kept together."""
    steps: int
    """Of the sampler."""
    evaluations_per_step: int
    """2 with guidance."""
    checkpointing: Checkpointing
    """What the backward pass computes again."""

    def keeping(self, costs: Estimate) -> Keeping:
        """``checkpointing``; auto as on the first GPU of `SHOWN`."""
        if self.checkpointing != "auto":
            return self.checkpointing
        free_bytes = GPUS[SHOWN[0]][1] * 1e9 - costs.weight_bytes
        return choose_checkpointing(free_bytes, costs, max(1, self.draws_at_once))


@dataclass(frozen=True)
class ClipCost:
    """Of one clip."""

    frames: int
    width: int
    height: int
    flops: float
    """Of the fit, and of one pass of the sampler that codes the clip."""
    memory_bytes: int
    """Weights, and what the draws that are taken at once keep for backward."""
    disk_bytes: int
    """About the most that the run folder will hold."""

    def gpu_hours(self, gpu: str) -> float:
        """On ``gpu``, a name of `GPUS`, at `UTILISATION` of its peak."""
        return self.flops / (UTILISATION * GPUS[gpu][0]) / 3600


def cost_of(base: BaseModel, clips: Sequence[Clip], work: Work, disk_bytes: int) -> ClipCost:
    """Costs of one fit to ``clips`` and of coding each; validations and the autoencoder are not counted.

    Args:
        base: Of the class, and with the windows, of the model that is fitted.
        clips: What is fitted: of one size, where there are several.
        work: What the settings ask for.
        disk_bytes: What the run folder takes.
    """
    clip = clips[0]
    signal = clip.first.signal
    costs = estimate_of(type(base), _evaluated(base, signal), work.rank, work.targets)
    _, draw_flops = costs.draw(work.keeping(costs))
    evaluations = sum(evaluations_of(one, base) for one in clips) * work.steps * work.evaluations_per_step
    return ClipCost(
        frames=sum(one.num_frames for one in clips),
        width=clip.width,
        height=clip.height,
        flops=work.draws * draw_flops + evaluations * costs.forward_flops,
        memory_bytes=memory_of(costs, work),
        disk_bytes=disk_bytes,
    )


def memory_of(costs: Estimate, work: Work) -> int:
    """Bytes of weights and of what ``work`` keeps for backward."""
    kept_bytes, _ = costs.draw(work.keeping(costs))
    return costs.weight_bytes + kept_bytes * work.draws_at_once


@cache
def estimate_of(base_class: type[BaseModel], size: ClipSize, rank: int, targets: tuple[str, ...]) -> Estimate:
    """`estimate`, without weights, once for all clips of a size."""
    return estimate(base_class.skeleton(), size, rank, targets)


def _evaluated(base: BaseModel, signal: Signal) -> ClipSize:
    """What one evaluation takes: all of ``signal``, or one window of it."""
    size = ClipSize(signal.num_frames, signal.height, signal.width)
    if not window_of(base, size):
        return size
    own = base.default_size
    return ClipSize(min(size.frames, own.frames), min(size.height, own.height), min(size.width, own.width))


def format_costs(costs: Mapping[str, ClipCost]) -> str:
    """A line for each clip, the sum, and the clip that takes longest.

    Args:
        costs: By the clips' names.
    """
    width = max(map(len, [*costs, "longest"]))
    first, second = (name.split()[0] for name in SHOWN)
    heads = f"{first + ' h':>10}{second + ' h':>10}{'memory, GB':>12}{'disk, GB':>10}"
    lines = [f"{'clip':<{width}}{'frames':>8}{'size':>12}{heads}"]
    for name, cost in costs.items():
        size = f"{cost.width}x{cost.height}"
        lines.append(f"{name:<{width}}{cost.frames:>8}{size:>12}{_figures([cost])}")
    lines.append(
        f"{'all':<{width}}{sum(cost.frames for cost in costs.values()):>8}{'':>12}{_figures([*costs.values()])}"
    )
    longest = max(costs, key=lambda name: costs[name].flops)
    lines.append(f"longest: {longest}, {costs[longest].gpu_hours(SHOWN[0]):.3g} h on one {first}")
    lines.append(
        f"GPU-hours are a model: operations counted, {UTILISATION:.0%} of the makers' peak; memory: of the largest"
    )
    return "\n".join(lines)


def _figures(costs: list[ClipCost]) -> str:
    hours = "".join(f"{sum(cost.gpu_hours(gpu) for cost in costs):>10.3g}" for gpu in SHOWN)
    memory, disk = max(cost.memory_bytes for cost in costs), sum(cost.disk_bytes for cost in costs)
    return f"{hours}{memory / 1e9:>12.3g}{disk / 1e9:>10.3g}"
