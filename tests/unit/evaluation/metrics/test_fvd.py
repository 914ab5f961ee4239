"""Fréchet video distance: the statistic, the two protocols, and sums over processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from vov_lightning.errors import MetricError, SettingError
from vov_lightning.evaluation.metrics.fvd import (
    FrechetVideoDistance,
    frechet_distance,
    fvd_clips,
    undefined_reason,
    upscaled_clip,
)


class MeanColours(torch.nn.Module):
    """Stands in for I3D: 400 fixed mixtures of a video's pixels, in no time."""

    def forward(self, videos):
        pooled = torch.nn.functional.adaptive_avg_pool3d(videos, (4, 6, 6)).flatten(1)
        mixing = torch.randn(pooled.shape[1], 400, generator=torch.Generator().manual_seed(0))
        return torch.tanh(pooled.double() @ mixing.double() / 8) * 5


def videos(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 14, 14, generator=generator) * 255
    fine = torch.nn.functional.interpolate(coarse, (9, 224, 224), mode="trilinear")
    return fine.transpose(1, 2).to(torch.uint8)


def measure(real, decoded, **settings) -> float:
    metric = FrechetVideoDistance(MeanColours(), **settings)
    metric.update(real, real=True)
    metric.update(decoded, real=False)
    return metric.compute().item()


def as_the_authors_do(real: np.ndarray, decoded: np.ndarray) -> float:
    """The formula of compute_fvd.py, with SciPy's matrix square root."""
    covariances = [np.cov(features, rowvar=False) for features in (decoded, real)]
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    shift = np.square(decoded.mean(0) - real.mean(0)).sum()
    return float(shift + np.trace(sum(covariances) - 2 * root))


def test_published_value(i3d):
    """Zeros against ones, (8, 30, 3, 64, 64): 151.39244 with TensorFlow's own code and weights.

    JunyaoHu/common_metrics_on_video_quality reports it. Two of the eight do, as all are alike: covariances are zero.
    """
    metric = FrechetVideoDistance(i3d, "fvd_upscaled")
    zeros = metric.samples(torch.zeros(30, 3, 64, 64, dtype=torch.uint8)).expand(2, -1, -1, -1, -1)
    metric.update(zeros, real=True)
    metric.update(zeros + 255, real=False)
    assert metric.value() == (pytest.approx(151.39244, abs=0.01), None)


@pytest.mark.parametrize("samples", [8, 40, 600])
def test_the_distance_is_the_authors(samples):
    """Few samples make singular covariances, whose product has no accurate general square root: looser there."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(400, 400)) * np.exp(-np.arange(400) / 60)
    real, decoded = (random.normal(size=(samples, 400)) @ mixing.T / 8 + shift for shift in (0, 0.1))
    moments = [(torch.tensor(x.mean(0)), torch.tensor(np.cov(x, rowvar=False))) for x in (real, decoded)]
    found = frechet_distance(*moments[0], *moments[1]).item()
    assert found == pytest.approx(as_the_authors_do(real, decoded), rel=1e-6 if samples > 400 else 1e-3)


def test_updates_add_up():
    real, decoded = videos(7, 0), videos(6, 1)
    expected = as_the_authors_do(
        *(MeanColours()(x.transpose(1, 2).float() / 255).double().numpy() for x in (real, decoded))
    )
    assert measure(real, decoded) == pytest.approx(expected, rel=1e-3)
    metric = FrechetVideoDistance(MeanColours(), batch_size=2)
    for video in real:
        metric.update(video[None], real=True)
    metric.update(decoded[:5], real=False)
    metric.update(decoded[5:], real=False)
    assert metric.compute().item() == pytest.approx(measure(real, decoded), rel=1e-9)
    metric.reset()
    metric.update(real, real=True)
    assert metric.value()[0] is None


def test_identical_sets_have_no_distance():
    real = videos(5, 0)
    assert measure(real, real.flip(0)) == pytest.approx(0, abs=1e-6)


def test_more_damage_is_more_distance():
    real = videos(5, 0)
    distances = [measure(real, (real // step) * step) for step in (4, 32, 128)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_the_two_ranges():
    seen = []

    class Watch(MeanColours):
        def forward(self, x):
            seen.append((x.min().item(), x.max().item()))
            return super().forward(x)

    black_to_white = torch.zeros(2, 9, 3, 224, 224, dtype=torch.uint8)
    black_to_white[1] = 255
    for settings in ({}, {"protocol": "fvd_upscaled"}, {"pixel_range": "signed"}):
        FrechetVideoDistance(Watch(), **settings).update(black_to_white, real=True)
    assert seen == [(0, 1), (-1, 1), (-1, 1)]


def test_fewer_than_two_samples_are_undefined():
    metric = FrechetVideoDistance(MeanColours())
    metric.update(videos(3, 0), real=True)
    metric.update(videos(1, 1), real=False)
    value, reason = metric.value()
    assert value is None
    assert "fewer than 2 samples" in reason


def test_the_papers_clips():
    """UVG's 81 frames of 480x832: five cuts of 16, crops from edge to edge, in the order of prepare_fvd_clips.py."""
    frames = torch.zeros(81, 3, 480, 832, dtype=torch.uint8)
    frames[:, 0] = torch.arange(81, dtype=torch.uint8)[:, None, None]
    frames[:, 1] = (torch.arange(480) % 256).to(torch.uint8)[:, None]
    frames[:, 2] = (torch.arange(832) % 251).to(torch.uint8)
    clips = fvd_clips(frames)
    assert clips.shape == (40, 16, 3, 224, 224)
    starts = [(clip[0, 0, 0, 0], clip[0, 1, 0, 0], clip[0, 2, 0, 0]) for clip in clips]
    expected = [(t, y % 256, x % 251) for t in (0, 16, 32, 48, 64) for y in (0, 256) for x in (0, 203, 405, 608)]
    assert [tuple(map(int, start)) for start in starts] == expected
    assert clips[-1, -1, 0, 0, 0] == 79
    assert fvd_clips(frames[:31, :, :224, :224]).shape[0] == 8
    assert fvd_clips(torch.zeros(200, 3, 224, 225, dtype=torch.uint8)).shape[0] == 40


def test_the_upscaled_clip():
    frames = torch.arange(9, dtype=torch.uint8)[:, None, None, None].expand(9, 3, 64, 48)
    clip = upscaled_clip(frames)
    assert clip.shape == (1, 9, 3, 224, 224)
    assert torch.equal(clip, torch.arange(9, dtype=torch.uint8)[None, :, None, None, None].expand_as(clip))


@pytest.mark.parametrize(
    ("protocol", "shape", "reason"),
    [
        ("fvd", (15, 224, 224), "fvd takes at least 16 frames, the clip has 15"),
        ("fvd", (16, 224, 223), "fvd takes crops of 224x224, frames are 224x223; see fvd_upscaled"),
        ("fvd", (16, 224, 224), None),
        ("fvd_upscaled", (8, 64, 64), "fvd_upscaled takes at least 9 frames, the clip has 8"),
        ("fvd_upscaled", (9, 480, 832), "fvd_upscaled is for frames smaller than 224x224, these are 480x832; see fvd"),
        ("fvd_upscaled", (9, 64, 300), None),
    ],
)
def test_what_is_undefined(protocol, shape, reason):
    frames = torch.zeros(shape[0], 3, *shape[1:], dtype=torch.uint8)
    assert undefined_reason(protocol, frames) == reason
    metric = FrechetVideoDistance(MeanColours(), protocol)
    if reason is None:
        assert metric.samples(frames).shape[2:] == (3, 224, 224)
    else:
        with pytest.raises(MetricError, match=reason.split(",")[0]):
            metric.samples(frames)


def test_bad_settings_and_videos_are_refused():
    with pytest.raises(SettingError, match="protocol='kvd', wanted fvd or fvd_upscaled"):
        FrechetVideoDistance(MeanColours(), "kvd")
    with pytest.raises(SettingError, match="pixel_range='bytes', wanted unit"):
        FrechetVideoDistance(MeanColours(), pixel_range="bytes")
    with pytest.raises(MetricError, match=r"torch.float32 of shape \[1, 9, 3, 224, 224\], wanted uint8"):
        FrechetVideoDistance(MeanColours()).update(torch.zeros(1, 9, 3, 224, 224), real=True)


def test_two_processes_find_what_one_does():
    """Gloo, uneven shares, and clips of which each process measures its own."""
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("two_processes.py")], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("as one process") == 2
