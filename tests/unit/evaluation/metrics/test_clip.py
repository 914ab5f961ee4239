"""Figures of a clip: what is undefined, what does not matter, and what is refused. No weights needed."""

import json

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from vov_lightning.errors import MetricError, SettingError
from vov_lightning.evaluation.metrics import METRICS
from vov_lightning.evaluation.metrics import clip as clip_module
from vov_lightning.evaluation.metrics.clip import CLIP_METRICS, ClipMetrics
from vov_lightning.evaluation.metrics.temporal import temporal_lpips
from vov_lightning.video.compare import psnr_db

WITHOUT_WEIGHTS = ("psnr_db", "psnr_frame_db", "ms_ssim", "vmaf")


def frames(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.fixture
def pair(signal, damaged):
    source = frames(5, 176, 184)
    return signal(damaged(source), "decoded"), signal(source, "source")


def test_the_registry_has_the_keys_that_results_have():
    assert list(METRICS) == [
        "psnr_db",
        "psnr_frame_db",
        "ms_ssim",
        "lpips_alex",
        "lpips_vgg",
        "lpips_squeeze",
        "dists",
        "vmaf",
        "tlp",
        "fvd",
        "fvd_upscaled",
    ]
    assert set(METRICS) - set(CLIP_METRICS) == {"fvd", "fvd_upscaled"}
    for info in METRICS.values():
        assert info.label
        assert info.description.endswith(".")
        assert info.unit == ("dB" if "PSNR" in info.label else "")
        assert info.higher_is_better == (info.label.split(",")[0] in ("PSNR", "MS-SSIM", "VMAF"))


def test_psnr_of_a_clip_is_from_the_mean_error_and_of_frames_their_mean(signal):
    source = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    decoded = source.clone()
    decoded[0] += 1  # squared errors 1 and 100 -> means 0 dB and -20 dB below full scale
    decoded[1] += 10
    figures = ClipMetrics(["psnr_db", "psnr_frame_db"]).measure(signal(decoded), signal(source))
    full_scale = 48.1308
    assert figures.values["psnr_db"] == pytest.approx(full_scale - 17.0329, abs=1e-3)
    assert figures.values["psnr_frame_db"] == pytest.approx(full_scale - 10, abs=1e-3)
    assert figures.per_frame["psnr_db"] == pytest.approx([full_scale, full_scale - 20], abs=1e-3)
    assert figures.reasons == {}


def test_psnr_is_the_one_that_fits_report(pair):
    figures = ClipMetrics(["psnr_db"]).measure(*pair)
    assert figures.values["psnr_db"] == pytest.approx(psnr_db(*pair), rel=1e-6)


def test_psnr_of_identical_frames_is_null_with_the_reason(signal):
    source = frames(3, 32, 32)
    decoded = source.clone()
    figures = ClipMetrics(["psnr_db", "psnr_frame_db"]).measure(signal(decoded), signal(source))
    assert figures.values == {"psnr_db": None, "psnr_frame_db": None}
    assert "identical frames" in figures.reasons["psnr_db"]
    assert figures.per_frame["psnr_db"] == [None] * 3

    decoded[1] ^= 1
    figures = ClipMetrics(["psnr_db", "psnr_frame_db"]).measure(signal(decoded), signal(source))
    assert figures.values["psnr_db"] == pytest.approx(48.1308 + 4.7712, abs=1e-3)
    assert list(figures.reasons) == ["psnr_frame_db"]
    assert figures.per_frame["psnr_db"] == [None, pytest.approx(48.1308, abs=1e-3), None]
    json.dumps(figures.values, allow_nan=False)


def test_identical_clips_are_perfect_in_the_other_figures(signal):
    source = signal(frames(3, 176, 176))
    figures = ClipMetrics(["ms_ssim", "vmaf"]).measure(source, source)
    assert figures.values["ms_ssim"] == pytest.approx(1, abs=1e-6)
    assert 97 < figures.values["vmaf"] <= 100
    assert figures.reasons == {}


def test_small_frames_leave_figures_undefined(signal):
    tiny = signal(frames(2, 16, 30))
    names = [name for name in CLIP_METRICS if name not in ("psnr_db", "psnr_frame_db", "dists", "lpips_vgg")]
    figures = ClipMetrics(names).measure(tiny, tiny)
    assert set(figures.values.values()) == {None}
    assert figures.reasons["ms_ssim"] == "ms_ssim needs sides of at least 176 pixels, frames are 16x30"
    assert figures.reasons.keys() == set(names)


@pytest.mark.parametrize(("name", "side"), [("ms_ssim", 176), ("vmaf", 32)])
def test_the_smallest_frames_are_defined(signal, damaged, name, side):
    source = frames(2, side, side)
    metrics = ClipMetrics([name])
    assert metrics.measure(signal(damaged(source)), signal(source)).reasons == {}
    assert metrics.measure(signal(source[..., 1:, :]), signal(source[..., 1:, :])).values == {name: None}


def test_images_have_no_change_over_time_but_a_vmaf(signal, damaged):
    source = frames(1, 64, 64)
    figures = ClipMetrics(["tlp", "vmaf", "psnr_db"]).measure(signal(damaged(source)), signal(source))
    assert "an image has none" in figures.reasons["tlp"]
    assert 0 < figures.values["vmaf"] < 100
    assert len(figures.per_frame["psnr_db"]) == 1


def test_how_many_frames_pass_at_once_does_not_matter(pair, monkeypatch):
    metrics = ClipMetrics(WITHOUT_WEIGHTS)
    found = []
    for pixels in (1, 2 * 176 * 184, 2**30):
        monkeypatch.setattr(clip_module, "CHUNK_PIXELS", pixels)
        found.append(metrics.measure(*pair))
    for figures in found[1:]:
        assert figures.values == pytest.approx(found[0].values, rel=1e-5)
        assert figures.per_frame["psnr_db"] == pytest.approx(found[0].per_frame["psnr_db"], rel=1e-5)


def test_a_clip_leaves_nothing_behind_for_the_next(pair):
    metrics = ClipMetrics(WITHOUT_WEIGHTS)
    first = metrics.measure(*pair)
    metrics.measure(pair[1], pair[1])
    assert metrics.measure(*pair) == first


def test_precision_and_mode_of_the_surrounding_run_do_not_matter(pair):
    metrics = ClipMetrics(WITHOUT_WEIGHTS).train()
    expected = metrics.measure(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        assert metrics.measure(*pair) == expected


def test_only_what_is_asked_for_is_loaded(pair, tmp_path):
    metrics = ClipMetrics(["ms_ssim", "psnr_db", "psnr_db"], weights_dir=tmp_path)
    assert list(metrics.measure(*pair).values) == ["ms_ssim", "psnr_db"]
    assert len(metrics.networks) == 0
    assert metrics.state_dict() == {}


@pytest.mark.parametrize("name", ["lpips_alex", "lpips_vgg", "lpips_squeeze", "dists", "tlp"])
def test_missing_weights_are_named(pair, tmp_path, name):
    with pytest.raises(MetricError, match=r"weights_dir=.* lacks [\w-]+\.pth; download https://download.pytorch.org"):
        ClipMetrics([name], weights_dir=tmp_path).measure(*pair)


@pytest.mark.parametrize("wrong", [(4, 64, 64), (5, 64, 72), (5, 72, 64)])
def test_clips_of_another_size_are_refused(signal, wrong):
    decoded, source = signal(frames(5, 64, 64), "decoded"), signal(frames(*wrong), "original")
    with pytest.raises(MetricError, match=r"'decoded', 5 frames, 64x64.*'original', \d frames, \d\dx\d\d"):
        ClipMetrics(["psnr_db"]).measure(decoded, source)


def test_unknown_names_are_refused():
    with pytest.raises(SettingError, match="metric 'ssim' is none of psnr_db, "):
        ClipMetrics(["ssim"])
    with pytest.raises(SettingError, match=r"metric 'fvd' is none of .*, nor, of sets, fvd, fvd_upscaled"):
        ClipMetrics(["fvd"])


def test_without_vmaf_torch_the_remedy_is_named(pair, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vmaf_torch", None)
    with pytest.raises(MetricError, match=r"pip install 'vov_lightning\[eval\]'"):
        ClipMetrics(["vmaf"]).measure(*pair)


def test_temporal_lpips_compares_changes_with_the_sources_changes():
    def distance(a, b):
        return (a - b).abs().mean(dim=(1, 2, 3))

    ramp = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert temporal_lpips(distance, ramp + 7, ramp).tolist() == [0, 0, 0]  # a constant error does not flicker
    frozen = ramp[:1].expand(4, 3, 2, 2)
    assert temporal_lpips(distance, frozen, ramp).tolist() == [100, 100, 100]
    flicker = ramp + torch.tensor([0.0, 1, 0, 1]).reshape(4, 1, 1, 1)
    assert temporal_lpips(distance, flicker, ramp).tolist() == [100, 100, 100]


def test_psnr_is_torchmetrics(pair):
    decoded, source = (clip.frames.float() for clip in pair)
    expected = peak_signal_noise_ratio(decoded, source, 255.0, reduction="none", dim=(1, 2, 3)).mean()
    assert ClipMetrics(["psnr_frame_db"]).measure(*pair).values["psnr_frame_db"] == pytest.approx(expected.item())
