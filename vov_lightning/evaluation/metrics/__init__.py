"""List of all metrics of a decoded clip against its source, with the meaning of each.

`clip` measures one clip, `fvd` a set of them, `weights` finds the networks behind both.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricInfo:
    """How to show a figure.

    Args:
        label: A few words, for axes and columns.
        unit: ``dB``, or empty.
        higher_is_better: Which way is up.
        description: One or two sentences with the source.
        digits: Decimals that mean something.
    """

    label: str
    unit: str
    higher_is_better: bool
    description: str
    digits: int


METRICS: dict[str, MetricInfo] = {
    "psnr_db": MetricInfo(
        "PSNR",
        "dB",
        True,
        "From the mean squared error over all pixels, colours and frames of the clip, as in the paper; 8-bit RGB.",
        2,
    ),
    "psnr_frame_db": MetricInfo(
        "PSNR, mean of frames",
        "dB",
        True,
        "Mean of the PSNR of each frame, which most codec papers report; never below the PSNR from the mean error.",
        2,
    ),
    "ms_ssim": MetricInfo(
        "MS-SSIM",
        "",
        True,
        "Multi-scale structural similarity (Wang et al. 2003) of RGB, mean over frames; torchmetrics. Its five scales "
        "need sides of 176 pixels.",
        4,
    ),
    "lpips_alex": MetricInfo(
        "LPIPS (AlexNet)",
        "",
        False,
        "Learned perceptual distance (Zhang et al. 2018, v0.1) on AlexNet features, mean over frames; torchmetrics.",
        3,
    ),
    "lpips_vgg": MetricInfo(
        "LPIPS (VGG)",
        "",
        False,
        "Learned perceptual distance (Zhang et al. 2018, v0.1) on VGG16 features, mean over frames; torchmetrics.",
        3,
    ),
    "lpips_squeeze": MetricInfo(
        "LPIPS (SqueezeNet)",
        "",
        False,
        "Learned perceptual distance (Zhang et al. 2018, v0.1) on SqueezeNet 1.1 features, mean over frames; "
        "torchmetrics.",
        3,
    ),
    "dists": MetricInfo(
        "DISTS",
        "",
        False,
        "Deep image structure and texture similarity (Ding et al. 2020) on VGG16 features, mean over frames at their "
        "own size, as in the paper; torchmetrics.",
        3,
    ),
    "vmaf": MetricInfo(
        "VMAF",
        "",
        True,
        "Netflix's VMAF v0.6.1 on BT.601 luma, as ffmpeg's libvmaf filter says, mean over frames; vmaf-torch. Trained "
        "on 1080p pictures: of small frames it says little.",
        1,
    ),
    "tlp": MetricInfo(
        "tLP x 100",
        "",
        False,
        "Temporal LPIPS of TecoGAN (Chu et al. 2020), without warping: how much the change from frame to frame differs "
        "from the source's, in LPIPS (AlexNet) times 100. Flicker raises it, and so does frozen detail.",
        2,
    ),
    "fvd": MetricInfo(
        "FVD",
        "",
        False,
        "Fréchet video distance (Unterthiner et al. 2018) on I3D Kinetics-400, by the paper's protocol: 16 frames, "
        "8 crops of 224 x 224, pixels in [0, 1] (most others pass [-1, 1]). Biased upwards for few clips: compare only "
        "equal numbers of clips.",
        1,
    ),
    "fvd_upscaled": MetricInfo(
        "FVD, upscaled",
        "",
        False,
        "Fréchet video distance of whole small frames enlarged to 224 x 224, one sample a clip, pixels in [-1, 1]. "
        "Biased upwards for few clips; compares with no published value.",
        1,
    ),
}
"""All figures, in the order of tables. The last two belong to a set of clips (`fvd.FrechetVideoDistance`)."""
