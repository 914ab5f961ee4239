"""The figures with real weights, against other implementations and published values."""

import json
import subprocess

import imageio_ffmpeg
import lpips as richzhang
import pytest
import torch
from pytorch_msssim import ms_ssim
from torch import Tensor
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

from vov_lightning.evaluation.metrics.clip import ClipMetrics
from vov_lightning.evaluation.metrics.vmaf import luma
from vov_lightning.evaluation.metrics.weights import BACKBONES, backbone_at_hand

pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained' is deprecated"),  # lpips, dists-pytorch
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum"),
]


def unit(frames: Tensor) -> Tensor:
    return frames.float() / 255


@pytest.fixture
def pair(foreman, damaged):
    """A crop of foreman, damaged and as it is: ``[3, 3, 64, 80]``."""
    crop = foreman[:3, :, 64:128, 100:180].contiguous()
    return damaged(crop), crop


def test_torchmetrics_docstring(weights_dir):
    generator = torch.Generator().manual_seed(42)
    one, two = (torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1 for _ in range(2))
    with backbone_at_hand("squeeze", weights_dir):
        found = learned_perceptual_image_patch_similarity(one, two, net_type="squeeze", reduction="none")
    assert found.tolist() == pytest.approx([0.1024, 0.0938], abs=5e-5)


@pytest.mark.parametrize(
    ("photo", "quality", "expected"),
    [
        ("01", 50, {"lpips_squeeze": 0.066, "lpips_alex": 0.051, "lpips_vgg": 0.158, "dists": 0.097}),
        ("01", 5, {"lpips_squeeze": 0.418, "lpips_alex": 0.389, "lpips_vgg": 0.589, "dists": 0.329}),
        ("05", 50, {"lpips_squeeze": 0.062}),
        ("05", 5, {"lpips_squeeze": 0.417}),
    ],
)
def test_kodak_against_its_jpeg(kodak, weights_dir, photo, quality, expected):
    """The whole photos, whose figures were found with other implementations."""
    figures = ClipMetrics(list(expected), weights_dir).measure(*kodak(photo, quality))
    assert figures.values == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("net", BACKBONES)
def test_lpips_is_the_authors(pair, signal, weights_dir, net):
    figures = ClipMetrics([f"lpips_{net}"], weights_dir).measure(*map(signal, pair))
    with backbone_at_hand(net, weights_dir), torch.no_grad():
        reference = richzhang.LPIPS(net=net, verbose=False)
        expected = reference(unit(pair[0]), unit(pair[1]), normalize=True)
    assert figures.values[f"lpips_{net}"] == pytest.approx(expected.mean().item(), rel=1e-5)
    if net == "alex":
        assert figures.per_frame["lpips_alex"] == pytest.approx(expected.flatten().tolist(), rel=1e-5)


def test_tlp_is_made_of_the_authors_lpips(pair, signal, weights_dir):
    decoded, source = map(unit, pair)
    with backbone_at_hand("alex", weights_dir), torch.no_grad():
        reference = richzhang.LPIPS(net="alex", verbose=False)
        changes = [reference(x[:-1], x[1:], normalize=True).flatten() for x in (decoded, source)]
    expected = 100 * (changes[0] - changes[1]).abs().mean().item()
    found = ClipMetrics(["tlp"], weights_dir).measure(*map(signal, pair)).values["tlp"]
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0


def test_dists_is_the_authors(pair, signal, weights_dir):
    from DISTS_pytorch import DISTS

    with backbone_at_hand("vgg", weights_dir), torch.no_grad():
        expected = DISTS()(unit(pair[1]), unit(pair[0])).flatten().tolist()
    figures = ClipMetrics(["dists"], weights_dir).measure(*map(signal, pair))
    assert figures.per_frame["dists"] == pytest.approx(expected, rel=1e-4)
    assert figures.values["dists"] == pytest.approx(sum(expected) / 3, rel=1e-4)


def test_ms_ssim_is_pytorch_msssims(foreman, damaged, signal):
    source = foreman[:2, :, :176, :352]
    decoded = damaged(source)
    expected = ms_ssim(decoded.float(), source.float(), data_range=255).item()
    found = ClipMetrics(["ms_ssim"]).measure(signal(decoded), signal(source)).values["ms_ssim"]
    assert found == pytest.approx(expected, abs=1e-3)  # the two treat borders differently
    assert 0.5 < found < 0.999


@pytest.mark.parametrize(
    ("num_frames", "side", "tolerance"),
    [(9, 288, 0.02), (9, 64, 0.2), (1, 64, 0.2)],
)
def test_vmaf_is_libvmafs(foreman, damaged, signal, tmp_path, num_frames, side, tolerance):
    """ffmpeg converts RGB and scores; its features are integers, which shows in small frames."""
    source = foreman[:num_frames, :, :side, 64 : 64 + side].contiguous()
    decoded = damaged(source)
    expected, source_luma = _libvmaf(decoded, source, tmp_path)
    found = ClipMetrics(["vmaf"]).measure(signal(decoded), signal(source)).values["vmaf"]
    assert found == pytest.approx(sum(expected) / num_frames, abs=tolerance)
    differences = (luma(source).to(torch.uint8).int() - source_luma.int()).abs()
    assert differences.max() <= 1
    assert differences.float().mean() < 0.01


def test_vmaf_of_identical_frames_is_libvmafs(foreman, signal, tmp_path):
    source = foreman[:3, :, :144, :144].contiguous()
    expected, _ = _libvmaf(source, source, tmp_path)
    found = ClipMetrics(["vmaf"]).measure(signal(source), signal(source)).values["vmaf"]
    assert found == pytest.approx(sum(expected) / 3, abs=0.02)


def _libvmaf(decoded: Tensor, source: Tensor, folder) -> tuple[list[float], Tensor]:
    """Scores of ffmpeg's filter, and the luma ``[T, 1, H, W]`` that it saw of the source."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    height, width = source.shape[-2:]
    raw = ["-f", "rawvideo", "-s", f"{width}x{height}"]
    for name, frames in (("decoded", decoded), ("source", source)):
        convert = [ffmpeg, "-v", "error", *raw, "-pix_fmt", "rgb24", "-i", "-", "-sws_flags", "accurate_rnd"]
        command = [*convert, "-pix_fmt", "yuv420p", "-f", "rawvideo", str(folder / name)]
        subprocess.run(command, input=frames.permute(0, 2, 3, 1).numpy().tobytes(), check=True, timeout=60)
    files = [str(folder / name) for name in ("decoded", "source")]
    inputs = [part for file in files for part in (*raw, "-pix_fmt", "yuv420p", "-i", file)]
    filters = f"libvmaf=log_fmt=json:log_path={folder / 'vmaf.json'}"
    subprocess.run([ffmpeg, "-v", "error", *inputs, "-lavfi", filters, "-f", "null", "-"], check=True, timeout=60)
    scores = [frame["metrics"]["vmaf"] for frame in json.loads((folder / "vmaf.json").read_text())["frames"]]
    planes = torch.frombuffer(bytearray((folder / "source").read_bytes()), dtype=torch.uint8)
    planes = planes.reshape(len(source), -1)[:, : height * width]
    return scores, planes.reshape(-1, 1, height, width)
