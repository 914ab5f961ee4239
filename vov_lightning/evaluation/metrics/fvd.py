"""FVD: how far the motion and looks of decoded clips are from the sources', as a distance between distributions.

Unterthiner et al., "Towards Accurate Generative Models of Video" (2018): the Fréchet distance between Gaussians fitted
to I3D features of two sets of clips. With few clips (a Gaussian in 400 dimensions wants thousands) it is biased upwards
and depends on their number, so values compare only between equal numbers and protocols. Two protocols, never mixed:

- ``fvd``, the paper's evaluation (its scripts `prepare_fvd_clips.py` and `compute_fvd.py`): of each clip at most five
  successive, disjoint cuts of 16 frames, and of each cut eight crops of 224 x 224 on a grid of 4 x 2, not resized.
  Pixels enter in [0, 1]: the scripts call the usual TorchScript I3D with ``rescale=False``, which takes values as they
  are (universome/fvd-comparison feeds it and TF Hub's model the same values and finds the same features), while the
  standard (StyleGAN-V, VideoGPT) passes [-1, 1]. ``pixel_range="signed"`` gives the standard.
- ``fvd_upscaled``, for frames smaller than that: whole frames resized to 224 x 224 (bilinear), all frames of a clip,
  one sample a clip, [-1, 1]. Blurred enlargements, so it compares with no published value.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from vov_lightning.bases.memory import true_float32
from vov_lightning.errors import MetricError, SettingError
from vov_lightning.evaluation.metrics.i3d import MIN_FRAMES, NUM_FEATURES, SIDE

PixelRange = Literal["unit", "signed"]
PROTOCOLS: dict[str, PixelRange] = {"fvd": "unit", "fvd_upscaled": "signed"}
"""Range of pixel values in each protocol: ``unit`` is [0, 1], ``signed`` [-1, 1]."""

CLIP_FRAMES, MAX_CUTS, COLUMNS, ROWS = 16, 5, 4, 2
TOO_FEW_SAMPLES = "fewer than 2 samples on a side, so a covariance is undefined; measure more or longer clips"


class FrechetVideoDistance(Metric):
    """Fréchet distance between the I3D features of decoded and source clips, over all that was passed to `update`.

    The states are counts, sums and sums of outer products in float64, so that processes add up: with any number of them
    the distance is that of one process over all clips, up to rounding.

    Args:
        network: Gives 400 features a sample; `weights.load_i3d` makes one. Several metrics may share it.
        protocol: ``fvd`` or ``fvd_upscaled``: what `samples` cuts.
        pixel_range: ``unit`` ([0, 1]) or ``signed`` ([-1, 1]); the protocol's own if ``None``.
        batch_size: Samples that pass through the network at once.

    Raises:
        SettingError: If a setting is none of these.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    real_count: Tensor
    real_sum: Tensor
    real_outer: Tensor
    decoded_count: Tensor
    decoded_sum: Tensor
    decoded_outer: Tensor

    def __init__(
        self,
        network: nn.Module,
        protocol: str = "fvd",
        pixel_range: PixelRange | None = None,
        batch_size: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_protocol(protocol)
        self.network, self.protocol, self.batch_size = network, protocol, batch_size
        self.pixel_range = pixel_range or PROTOCOLS[protocol]
        if self.pixel_range not in ("unit", "signed"):
            raise SettingError(f"pixel_range={pixel_range!r}, wanted unit ([0, 1]) or signed ([-1, 1])")
        for side in ("real", "decoded"):
            for state, shape in (("count", ()), ("sum", (NUM_FEATURES,)), ("outer", (NUM_FEATURES, NUM_FEATURES))):
                self.add_state(f"{side}_{state}", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def samples(self, frames: Tensor) -> Tensor:
        """Samples ``[N, t, 3, 224, 224]`` uint8 of the clip ``frames [T, 3, H, W]`` uint8, for `update`.

        Raises:
            MetricError: If the protocol is undefined for the clip (see `undefined_reason`).
        """
        return fvd_clips(frames) if self.protocol == "fvd" else upscaled_clip(frames)

    def update(self, videos: Tensor, real: bool) -> None:
        """Add samples of sources or of decoded clips.

        Args:
            videos: ``[N, T, 3, 224, 224]`` uint8 with at least 9 frames, or what `features` gave of them, ``[N, 400]``;
                on any device.
            real: Whether they come from sources (else from decoded clips).

        Raises:
            MetricError: If the videos are of another type or size.
        """
        given = videos.is_floating_point() and videos.ndim == 2 and videos.shape[1] == NUM_FEATURES
        if not given and (videos.dtype != torch.uint8 or videos.ndim != 5):
            raise MetricError(
                f"FVD got {videos.dtype} of shape {list(videos.shape)}, wanted uint8 [N, T, 3, {SIDE}, {SIDE}]"
            )
        features = (videos.to(self.device) if given else self.features(videos)).double()
        side = "real" if real else "decoded"
        getattr(self, f"{side}_count").add_(len(features))
        getattr(self, f"{side}_sum").add_(features.sum(0))
        getattr(self, f"{side}_outer").add_(features.T @ features)

    def features(self, videos: Tensor) -> Tensor:
        """I3D's features ``[N, 400]`` of ``videos [N, T, 3, 224, 224]`` uint8, on the metric's device."""
        return torch.cat([self._features(batch) for batch in videos.split(self.batch_size)])

    def _features(self, videos: Tensor) -> Tensor:
        with torch.inference_mode(), true_float32(self.device):
            x = videos.to(self.device).transpose(1, 2).float() / 255
            return self.network(2 * x - 1 if self.pixel_range == "signed" else x)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar; NaN where a side has fewer than two samples."""
        if min(self.real_count, self.decoded_count) < 2:
            return torch.full_like(self.real_count, torch.nan)
        return frechet_distance(
            *_moments(self.real_count, self.real_sum, self.real_outer),
            *_moments(self.decoded_count, self.decoded_sum, self.decoded_outer),
        )

    def value(self) -> tuple[float | None, str | None]:
        """`compute` for results: the distance and ``None``, or ``None`` and the reason why it is undefined."""
        distance = float(self.compute())
        return (None, TOO_FEW_SAMPLES) if distance != distance else (distance, None)


def _moments(count: Tensor, total: Tensor, outer: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased covariance."""
    mean = total / count
    return mean, (outer - count * torch.outer(mean, mean)) / (count - 1)


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))``, float64; means ``[D]``, covariances ``[D, D]``.

    ``tr (C C')^(1/2)`` is the sum of the singular values of ``C^(1/2) C'^(1/2)``, which stays exact where covariances
    are singular (fewer samples than features); the general matrix square root of published scripts does not.
    """
    shared = torch.linalg.svdvals(_square_root(covariance) @ _square_root(other_covariance)).sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared
    return distance.clamp(min=0)


def _square_root(matrix: Tensor) -> Tensor:
    """Square root of a symmetric matrix; eigenvalues that are rounding errors count as 0."""
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    tolerance = eigenvalues.abs().max() * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    return (vectors * torch.where(eigenvalues > tolerance, eigenvalues, 0).sqrt()) @ vectors.T


def fvd_clips(frames: Tensor) -> Tensor:
    """The paper's samples of a clip: ``[N, 16, 3, 224, 224]``, at most 5 cuts in time with 4 x 2 crops each.

    Args:
        frames: ``[T, 3, H, W]``; ``T`` at least 16, sides at least 224.

    Raises:
        MetricError: If the clip is shorter or smaller.
    """
    _check_defined("fvd", frames)
    cuts = frames.split(CLIP_FRAMES)[: min(len(frames) // CLIP_FRAMES, MAX_CUTS)]
    tops, lefts = (_starts(size, number) for size, number in zip(frames.shape[-2:], (ROWS, COLUMNS), strict=True))
    return torch.stack(
        [cut[..., top : top + SIDE, left : left + SIDE] for cut in cuts for top in tops for left in lefts]
    )


def _starts(size: int, number: int) -> list[int]:
    """First pixels of ``number`` crops spread from edge to edge."""
    return [round(index * (size - SIDE) / (number - 1)) for index in range(number)]


def upscaled_clip(frames: Tensor) -> Tensor:
    """A whole small clip as one sample: ``[1, T, 3, 224, 224]`` uint8, bilinear, the aspect not kept.

    Raises:
        MetricError: If the clip has fewer than 9 frames or its sides are not smaller.
    """
    _check_defined("fvd_upscaled", frames)
    resized = F.interpolate(frames.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    return resized.round().to(torch.uint8)[None]


def undefined_reason(protocol: str, frames: Tensor) -> str | None:
    """Why a clip ``[T, 3, H, W]`` yields no samples under a protocol; ``None`` if it does."""
    _check_protocol(protocol)
    num_frames, (height, width) = len(frames), frames.shape[-2:]
    wanted = CLIP_FRAMES if protocol == "fvd" else MIN_FRAMES
    if num_frames < wanted:
        return f"{protocol} takes at least {wanted} frames, the clip has {num_frames}"
    if protocol == "fvd" and min(height, width) < SIDE:
        return f"fvd takes crops of {SIDE}x{SIDE}, frames are {height}x{width}; see fvd_upscaled"
    if protocol == "fvd_upscaled" and min(height, width) >= SIDE:
        return f"fvd_upscaled is for frames smaller than {SIDE}x{SIDE}, these are {height}x{width}; see fvd"
    return None


def _check_protocol(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise SettingError(f"protocol={protocol!r}, wanted {' or '.join(PROTOCOLS)}")


def _check_defined(protocol: str, frames: Tensor) -> None:
    if reason := undefined_reason(protocol, frames):
        raise MetricError(reason)
