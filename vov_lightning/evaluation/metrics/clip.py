"""Metrics of one decoded clip against its source, each as its inventors compute it, means over frames.

torchmetrics' implementations throughout, except VMAF (`vmaf`) and tLP (`temporal`), which it lacks or has otherwise.
What is undefined for a clip is ``None`` with the reason: never a number that was made up, never infinity or NaN, so
results can be written as JSON. In particular PSNR of identical frames, which is infinite, is ``None`` with that reason.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure, peak_signal_noise_ratio
from torchmetrics.functional.image.dists import DISTSNetwork
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity, PeakSignalNoiseRatio

from vov_lightning.bases.memory import true_float32
from vov_lightning.errors import MetricError, SettingError
from vov_lightning.evaluation.metrics import METRICS
from vov_lightning.evaluation.metrics.fvd import PROTOCOLS
from vov_lightning.evaluation.metrics.temporal import temporal_lpips
from vov_lightning.evaluation.metrics.vmaf import MIN_SIDE as VMAF_MIN_SIDE
from vov_lightning.evaluation.metrics.vmaf import load_vmaf, vmaf_scores
from vov_lightning.evaluation.metrics.weights import backbone_at_hand
from vov_lightning.nearest import did_you_mean
from vov_lightning.runs.figures import finite
from vov_lightning.video import Signal

Distance = Callable[[Tensor, Tensor], Tensor]

CLIP_METRICS = tuple(name for name in METRICS if name not in PROTOCOLS)
"""Keys of the figures that one clip has, in the order of tables."""

MIN_SIDES = {
    # torchmetrics halves four times without padding, and the last scale must hold a window of 11.
    "ms_ssim": 176,
    "lpips_alex": 31,
    "lpips_vgg": 16,
    "lpips_squeeze": 17,
    "tlp": 31,
    "vmaf": VMAF_MIN_SIDE,
}
"""Shortest side in pixels for which a figure is defined, where that is more than 1."""

PER_FRAME = ("psnr_db", "lpips_alex", "dists")
"""Figures whose values of each frame are kept."""

CHUNK_PIXELS = 2**20
"""Pixels that pass through a network at once: two frames at 480 x 832, where all figures together peak at 3 GB."""

IDENTICAL = "identical frames: the error is 0 and PSNR infinite"


@dataclass(frozen=True)
class Figures:
    """Metrics of one clip.

    Args:
        values: One entry for each figure that was asked for, ``None`` where it is undefined.
        reasons: Why, for each entry that is ``None``.
        per_frame: Values of every frame, of the figures in `PER_FRAME`; ``None`` where one is not finite.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)


class ClipMetrics(nn.Module):
    """Measures clips, one after the other, on the device that the module was moved to.

    Networks are loaded when a clip first needs them and stay. Nothing is accumulated over clips and nothing is
    exchanged between processes: each call is about its own clip.

    Args:
        names: Keys of `CLIP_METRICS`; all of them if ``None``.
        weights_dir: Folder with the networks' weights (see `weights`); torch hub's cache if ``None``.

    Raises:
        SettingError: If a name is unknown, or belongs to a set of clips.
    """

    device_marker: Tensor

    def __init__(self, names: Sequence[str] | None = None, weights_dir: Path | None = None) -> None:
        super().__init__()
        self.names = CLIP_METRICS if names is None else tuple(dict.fromkeys(names))
        for name in self.names:
            if name not in CLIP_METRICS:
                of_sets = ", ".join(PROTOCOLS)
                known = f"{', '.join(CLIP_METRICS)}, nor, of sets, {of_sets}"
                raise SettingError(f"metric {name!r} is none of {known}{did_you_mean(name, METRICS)}")
        self.weights_dir = weights_dir
        self.networks = nn.ModuleDict()
        self.register_buffer("device_marker", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where clips are measured."""
        return self.device_marker.device

    def measure(self, decoded: Signal, source: Signal, names: Sequence[str] | None = None) -> Figures:
        """Figures of a clip; values do not depend on the device beyond rounding.

        Args:
            decoded: What a decoder showed.
            source: What it should have shown.
            names: Some of the figures; all of them if ``None``.

        Raises:
            MetricError: If the clips differ in size, or weights or a package are missing.
        """
        _check_alike(decoded, source)
        figures = Figures()
        with torch.inference_mode(), true_float32(self.device):
            for name in self.names if names is None else names:
                if reason := undefined_reason(name, source):
                    figures.values[name], figures.reasons[name] = None, reason
                else:
                    self._measure(name, decoded.frames, source.frames, figures)
        return figures

    def _measure(self, name: str, decoded: Tensor, source: Tensor, figures: Figures) -> None:
        if name == "psnr_db":
            value = self._clip_psnr(decoded, source)
            figures.per_frame[name] = [finite(psnr) for psnr in self._frame_psnr(decoded, source).tolist()]
        else:
            frames = self._values_of_frames(name, decoded, source)
            value = float(frames.mean())
            if name in PER_FRAME:
                figures.per_frame[name] = [finite(value) for value in frames.tolist()]
        figures.values[name] = finite(value)
        if not math.isfinite(value):
            figures.reasons[name] = IDENTICAL if value == math.inf else f"came out as {value}"

    def _values_of_frames(self, name: str, decoded: Tensor, source: Tensor) -> Tensor:
        """Values ``[T]`` (tLP: ``[T - 1]``), float64 on the CPU."""
        if name == "psnr_frame_db":
            return self._frame_psnr(decoded, source)
        if name == "vmaf":
            scores = vmaf_scores(self._network("vmaf"), decoded, source, _chunk(source), self.device)
            return scores.cpu().double()
        if name == "tlp":
            return temporal_lpips(partial(self._chunked, self._distance("lpips_alex")), decoded, source)
        return self._chunked(self._distance(name), decoded, source)

    def _clip_psnr(self, decoded: Tensor, source: Tensor) -> float:
        metric = PeakSignalNoiseRatio(data_range=255.0, sync_on_compute=False).to(self.device)
        chunk = _chunk(source)
        for d, s in zip(decoded.split(chunk), source.split(chunk), strict=True):
            metric.update(d.to(self.device).float(), s.to(self.device).float())
        return float(metric.compute())

    def _frame_psnr(self, decoded: Tensor, source: Tensor) -> Tensor:
        psnr = partial(peak_signal_noise_ratio, data_range=1.0, reduction="none", dim=(1, 2, 3))
        return self._chunked(psnr, decoded, source)

    def _chunked(self, distance: Distance, decoded: Tensor, source: Tensor) -> Tensor:
        """``distance`` of frames in [0, 1], a few at once: ``[T]`` float64 on the CPU."""
        chunk = _chunk(source)
        pairs = zip(decoded.split(chunk), source.split(chunk), strict=True)
        parts = [distance(self._unit(d), self._unit(s)).reshape(-1).cpu().double() for d, s in pairs]
        return torch.cat(parts)

    def _unit(self, frames: Tensor) -> Tensor:
        return frames.to(self.device).float() / 255

    def _distance(self, name: str) -> Distance:
        if name == "ms_ssim":
            return partial(multiscale_structural_similarity_index_measure, data_range=1.0, reduction="none")
        network = self._network(name)
        return network if name == "dists" else partial(network, normalize=True)

    def _network(self, name: str) -> nn.Module:
        if name not in self.networks:
            self.networks[name] = self._load(name).to(self.device)
        return self.networks[name]

    def _load(self, name: str) -> nn.Module:
        if name == "vmaf":
            return load_vmaf()
        net = "vgg" if name == "dists" else name.removeprefix("lpips_")
        with backbone_at_hand(net, self.weights_dir):
            if name == "dists":
                return DISTSNetwork().eval()
            return LearnedPerceptualImagePatchSimilarity(net, sync_on_compute=False).net  # type: ignore[arg-type]  # `net` is one of its three names


def undefined_reason(name: str, clip: Signal) -> str | None:
    """Why a figure is undefined for clips of this size, ``None`` if it is defined."""
    if name == "tlp" and clip.is_image:
        return "tlp compares changes from frame to frame, an image has none"
    if min(clip.height, clip.width) < MIN_SIDES.get(name, 1):
        return f"{name} needs sides of at least {MIN_SIDES[name]} pixels, frames are {clip.height}x{clip.width}"
    return None


def _check_alike(decoded: Signal, source: Signal) -> None:
    found, wanted = list(decoded.frames.shape), list(source.frames.shape)
    if found != wanted:
        raise MetricError(
            f"decoded {decoded!r} has frames of shape {found}, its source {source!r} {wanted}; "
            "figures compare equal frame counts and sizes: cut or scale the source as it was for the fit"
        )


def _chunk(frames: Tensor) -> int:
    """Frames at once."""
    return max(1, CHUNK_PIXELS // (frames.shape[-2] * frames.shape[-1]))
