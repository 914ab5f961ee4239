"""Fits over windows: what they draw from, that they learn from it, and objectives that know one noise only."""

import json
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.windows import Windows
from vov_lightning.errors import SettingError
from vov_lightning.fitting import pool
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import FlowMatching, Objective, Reconstruction
from vov_lightning.fitting.pool import latent_pool
from vov_lightning.fitting.run import fit
from vov_lightning.fitting.stages import RateConstrained, Unconstrained
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal
from vov_lightning.video.source import Clip

pytestmark = pytest.mark.usefixtures("one_thread")


def data_of(num_frames: int, height: int, width: int, segment: int = 9) -> SignalData:
    """A slope that brightens."""
    y, x, t = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(num_frames), indexing="ij")
    frames = torch.stack([2 * x + t, 2 * y, x + y + 2 * t]).permute(3, 0, 1, 2).clamp(max=255).byte()
    return SignalData.of(Signal(frames, Fraction(25), "slope"), height="source", segment=segment)


def clip_of(base: Nano, *shape: int) -> Clip:
    return data_of(*shape).load(base).clip


def encoded(base: Nano, clip: Clip) -> list[Tensor]:
    return [base.encode(segment.signal.frames) for segment in clip.segments()]


def test_a_clip_of_one_window_stays_as_it_is(tiny_nano: Nano) -> None:
    clip = clip_of(tiny_nano, 9, 64, 64)
    (whole,) = encoded(tiny_nano, clip)
    assert torch.equal(latent_pool(tiny_nano, clip, seed=0), whole)


def test_windows_cover_every_segment(tiny_nano: Nano) -> None:
    clip = clip_of(tiny_nano, 23, 80, 96)
    found = latent_pool(tiny_nano, clip, seed=0)
    segments = encoded(tiny_nano, clip)
    assert found.shape == (3 * 4, *segments[0].shape[1:2], 1, 8, 8)
    wanted = [part[..., y : y + 8, x : x + 8] for part in segments for y in (0, 2) for x in (0, 4)]
    assert torch.equal(found, torch.cat(wanted))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_long_clip_keeps_a_sample_in_bounded_memory(tiny_nano: Nano, monkeypatch, seed: int) -> None:
    clip = clip_of(tiny_nano, 23, 80, 96)
    everything = latent_pool(tiny_nano, clip, seed=0)
    monkeypatch.setattr(pool, "POOL_BYTES", 5 * everything[:1].nbytes)
    found = latent_pool(tiny_nano, clip, seed)
    assert len(found) == 5
    places = {int((everything == window).flatten(1).all(1).nonzero()[0]) for window in found}
    assert len(places) == 5
    assert max(places) >= 5  # not simply the first ones
    assert torch.equal(found, latent_pool(tiny_nano, clip, seed))
    assert not torch.equal(found, latent_pool(tiny_nano, clip, seed + 1))


def test_every_window_is_as_likely_as_any_other(tiny_nano: Nano, monkeypatch) -> None:
    clip = clip_of(tiny_nano, 9, 64, 64, 9)
    windows = [torch.full((1, 1, 1, 1, 1), float(number)) for number in range(12)]
    monkeypatch.setattr(pool, "_windows", lambda *_: iter(windows))
    monkeypatch.setattr(pool, "POOL_BYTES", 4 * 4)
    counts = torch.zeros(12)
    for seed in range(600):
        counts[latent_pool(tiny_nano, clip, seed).flatten().long()] += 1
    assert counts.sum() == 2400
    assert float((counts - 200).abs().max()) < 5 * (600 * 1 / 3 * 2 / 3) ** 0.5


def test_a_segment_that_ends_before_a_window_does_is_left_out(tiny_nano: Nano, monkeypatch) -> None:
    monkeypatch.setattr(tiny_nano, "window", Windows(2, 8, 8), raising=False)
    clip = clip_of(tiny_nano, 41, 64, 64, 18)  # the last segment has 5 frames: one in the latents
    lengths = [part.shape[2] for part in encoded(tiny_nano, clip)]
    assert lengths[-1] == 1
    found = latent_pool(tiny_nano, clip, seed=0)
    assert found.shape[2] == 2
    assert len(found) == sum(length >= 2 for length in lengths)


def module_of(base: Nano, objective: Objective | None = None) -> VOVModule:
    return VOVModule(base, AdapterConfig(k=128), objective=objective, sampler=SamplerConfig(steps=2))


def test_a_fit_over_windows_learns(tiny_nano: Nano, tmp_path) -> None:
    stages = [Unconstrained(40, learning_rate=0.03, warmup=2), RateConstrained(10, learning_rate=0.01, lmbda=1e-4)]
    module = module_of(tiny_nano, FlowMatching(batch_size=4))
    fit(data_of(14, 72, 72), module, stages, tmp_path, accelerator="cpu", val_check_interval=10)
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    losses = [row["val/flow_loss"] for row in rows if "val/flow_loss" in row]
    assert losses[-1] < 0.97 * losses[0]
    assert not any("val/psnr_db" in row for row in rows)


@pytest.mark.parametrize("shape", [(9, 72, 64), (14, 64, 64)])
@pytest.mark.parametrize(
    ("objective", "remedy"),
    [
        (FlowMatching(decoder_noise=0.5), "decoder_noise=0.5 fits a clip to one noise, .*; set it to 0"),
        (
            Reconstruction(),
            "Reconstruction fits one window from its noise, .*; set it to FlowMatching, or choose fewer",
        ),
    ],
)
def test_objectives_of_one_noise_refuse_several(tiny_nano: Nano, tmp_path, shape, objective, remedy) -> None:
    stages = [Unconstrained(1), RateConstrained(1)]
    with pytest.raises(SettingError, match=remedy):
        fit(data_of(*shape), module_of(tiny_nano, objective), stages, tmp_path, accelerator="cpu")


def test_one_segment_of_two_is_not_the_whole_clip(tiny_nano: Nano, monkeypatch, tmp_path) -> None:
    """Eighteen frames and five more: the shorter segment is left out of the fit, but it has a noise of its own."""
    monkeypatch.setattr(tiny_nano, "window", None, raising=False)
    data, stages = data_of(23, 64, 64, 18), [Unconstrained(1), RateConstrained(1)]
    assert len(latent_pool(tiny_nano, data.load(tiny_nano).clip, seed=0)) == 1
    with pytest.raises(SettingError, match="decoder_noise=1 fits a clip to one noise"):
        fit(data, module_of(tiny_nano, FlowMatching(decoder_noise=1)), stages, tmp_path, accelerator="cpu")
