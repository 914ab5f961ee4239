"""Where weights are looked for, and what is said when they are not to be had."""

import shutil
from urllib.error import URLError

import pytest
import torch

from vov_lightning.errors import MetricError
from vov_lightning.evaluation.metrics import weights
from vov_lightning.evaluation.metrics.clip import ClipMetrics
from vov_lightning.evaluation.metrics.i3d import I3D
from vov_lightning.evaluation.metrics.weights import BACKBONES, I3D_FOLDED, I3D_VIDEOGPT, backbone_at_hand, load_i3d

ALEX = BACKBONES["alex"].file


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    """A torch hub without files or network."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "home" / "hub"))

    def fail(*_):
        raise URLError("no network")

    monkeypatch.setattr(weights, "download_url_to_file", fail)
    return tmp_path / "home"


@pytest.mark.parametrize("layout", ["", "torch_home"])
def test_a_folder_is_a_torch_home_or_holds_one(tmp_path, layout):
    path = tmp_path / layout / "hub" / "checkpoints" / ALEX
    path.parent.mkdir(parents=True)
    path.touch()
    before = torch.hub.get_dir()
    with backbone_at_hand("alex", tmp_path) as found:
        assert found == path
        assert torch.hub.get_dir() == str(tmp_path / layout / "hub")
    assert torch.hub.get_dir() == before


def test_without_a_folder_it_is_torch_hubs(empty_home):
    path = empty_home / "hub" / "checkpoints" / ALEX
    path.parent.mkdir(parents=True)
    path.touch()
    with backbone_at_hand("alex") as found:
        assert found == path


def test_torch_hubs_folder_comes_back_after_an_error(tmp_path):
    path = tmp_path / "hub" / "checkpoints" / ALEX
    path.parent.mkdir(parents=True)
    path.touch()
    before = torch.hub.get_dir()
    with pytest.raises(ZeroDivisionError), backbone_at_hand("alex", tmp_path):
        raise ZeroDivisionError
    assert torch.hub.get_dir() == before


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "hub" / "checkpoints" / ALEX
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK half of an archive")
    with pytest.raises(MetricError, match=rf"(?s){ALEX} cannot be loaded .*; delete it, and fetch https"):
        ClipMetrics(["lpips_alex"], tmp_path)._network("lpips_alex")


def test_what_is_missing_is_downloaded_into_torch_hubs_cache(empty_home, monkeypatch):
    asked = []

    def fetch(url, path, sha256):
        asked.append((url, sha256))
        open(path, "wb").close()

    monkeypatch.setattr(weights, "download_url_to_file", fetch)
    for _ in range(2):
        with backbone_at_hand("vgg") as path:
            assert path == empty_home / "hub" / "checkpoints" / "vgg16-397923af.pth"
    assert asked == [("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af")]


@pytest.mark.parametrize("error", [URLError("no network"), TimeoutError(), RuntimeError("invalid hash value")])
def test_a_failed_download_names_file_place_and_address(empty_home, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(weights, "download_url_to_file", fail)
    place = empty_home / "hub" / "checkpoints" / ALEX
    with (
        pytest.raises(MetricError, match=rf"{ALEX} is neither.*download https://\S*{ALEX} and put it at {place}"),
        backbone_at_hand("alex"),
    ):
        pass
    with pytest.raises(MetricError, match=f"{I3D_VIDEOGPT.file} is neither.*huggingface.co"):
        load_i3d()


def test_a_given_folder_is_the_only_one(empty_home, tmp_path):
    with pytest.raises(MetricError, match=rf"weights_dir={tmp_path} lacks {I3D_VIDEOGPT.file}; download"):
        load_i3d(tmp_path)


def test_i3d_lies_in_the_folder_or_among_the_checkpoints(empty_home, tmp_path):
    path = tmp_path / I3D_FOLDED.file
    torch.save(I3D().state_dict(), path)
    assert load_i3d(tmp_path).Mixed_5c.b3b.bn.eps == 1e-5
    inner = empty_home / "hub" / "checkpoints" / I3D_VIDEOGPT.file
    inner.parent.mkdir(parents=True)
    shutil.move(path, inner)
    assert load_i3d(empty_home).Mixed_5c.b3b.bn.eps == 1e-3
    assert load_i3d().Mixed_5c.b3b.bn.eps == 1e-3


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_another_file_is_no_i3d(tmp_path, content):
    path = tmp_path / I3D_FOLDED.file
    if content is None:
        torch.save({"logits.conv3d.bias": torch.zeros(400)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(MetricError, match=f"{path} is not a plain state dict of I3D"):
        load_i3d(tmp_path)
