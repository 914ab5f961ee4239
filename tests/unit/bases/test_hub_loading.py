"""The hub's models from a folder: what makes one another model, and what is said where it cannot be loaded."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vov_lightning.bases import ClipSize, hub_files
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hub_files import CHAT_ENDINGS
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B, Wan14B
from vov_lightning.errors import BaseModelError

CAPTION = "a red ball rolls, slowly"

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_text_encoder_is_loaded_once_for_a_caption(base: HubModel, folder: Path, cache: Path, monkeypatch) -> None:
    first = type(base)(str(folder), dtype="float32").embed(CAPTION)
    other = type(base)(str(folder), dtype="float32").embed("the image")
    assert not torch.equal(first["states"], other["states"])
    monkeypatch.setattr(type(base), "_encode", None)
    again = type(base)(str(folder), dtype="float32").embed(CAPTION)
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_another_weight_is_another_model(base: HubModel, folder: Path) -> None:
    loaded, again, changed = (type(base)(str(folder), dtype="float32") for _ in range(3))
    assert again.fingerprint() == loaded.fingerprint()
    next(changed.vae.decoder.parameters()).data[0] += 1e-3
    assert changed.fingerprint() != loaded.fingerprint()


@pytest.mark.parametrize("part", ["vae/config.json", "text_encoder/model.safetensors", "tokenizer/tokenizer.json"])
def test_another_setting_or_text_encoder_is_another_model(base: HubModel, folder: Path, cache: Path, part: str) -> None:
    before = type(base)(str(folder), dtype="float32").fingerprint()
    if part.endswith("config.json"):
        settings = json.loads((folder / part).read_text()) | {"added": 1}
        (folder / part).write_text(json.dumps(settings))
    else:
        data = bytearray((folder / part).read_bytes())
        data[-1] ^= 1  # as many bytes as before
        (folder / part).write_bytes(bytes(data))
    model = type(base)(str(folder), dtype="float32")
    assert model.fingerprint() != before


def test_weights_are_bfloat16_unless_told_otherwise(base: HubModel, folder: Path, cache: Path) -> None:
    loaded = type(base)(str(folder))
    assert loaded.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in loaded.vae.parameters()} == {torch.float32}
    velocities = [m.velocity(CAPTION) for m in (loaded, type(base)(str(folder), dtype="float32"))]
    x_t, t = torch.randn(1, *base.latent_shape(ClipSize(1, 64, 96))), torch.tensor([0.5])
    coarse, fine = (velocity(x_t, t) for velocity in velocities)
    torch.testing.assert_close(coarse, fine, rtol=0, atol=0.1)


def test_a_caption_that_would_be_cut_is_refused(base: HubModel, folder: Path, cache: Path) -> None:
    with pytest.raises(BaseModelError, match=f"tokens, base model {base.name} takes {base.max_caption_tokens}"):
        type(base)(str(folder), dtype="float32").embed("the " * 1100)


def test_a_missing_part_is_named(family: type[HubModel], tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"lacks transformer/config\.json, transformer/\*\.safetensors, vae/"):
        family(str(tmp_path))


@pytest.mark.parametrize("part", hub_files.MODELS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run git lfs pull"),
        (lambda data: data[:-1], "cut short or no safetensors file; fetch it again"),
        (lambda data: data[:100], "cut short"),
        (lambda data: data[:5], "cut short"),
        (lambda data: b"", "cut short"),
        (lambda data: b"<html>Not Found</html>", "cut short"),
        (lambda data: bytes([2, *[0] * 7]) + b"[]", "cut short"),
    ],
)
def test_weights_that_are_not_all_there_are_named(
    tmp_path: Path, save_weights: Callable, part: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    save_weights(LTXVideo.untrained(), tmp_path)
    (path,) = (tmp_path / part).glob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BaseModelError, match=f"{path}.*{message}"):
        LTXVideo(str(tmp_path))


def test_files_that_are_not_fetched_change_nothing(base: HubModel, folder: Path, cache: Path) -> None:
    before = type(base)(str(folder), dtype="float32").fingerprint()
    (folder / "text_encoder" / "README.md").write_text("another")
    assert type(base)(str(folder), dtype="float32").fingerprint() == before
    (folder / "tokenizer" / "chat_template.jinja").write_text("another")
    assert (type(base)(str(folder), dtype="float32").fingerprint() != before) == (base.endings == CHAT_ENDINGS)
    (folder / "tokenizer" / "merges.txt").write_text("another")
    assert type(base)(str(folder), dtype="float32").fingerprint() != before


def test_too_little_memory_is_noticed_before_loading(family, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(hub_files.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(BaseModelError, match=r"GiB of memory for its transformer and vae, 0\.0 GiB are free"):
        family(str(folder))


@pytest.mark.parametrize("family", [Wan13B, Wan14B, QwenImage, LTXVideo], indirect=True)
def test_without_network_the_error_says_which_files_to_bring(family, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BaseModelError,
        match=f"hf download {family.repository} --revision {family.pinned_revision} .* pass --base.weights FOLDER",
    ):
        family()


def test_what_is_not_installed_is_named_before_a_download(family: type[HubModel], monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BaseModelError, match=r'needs transformers; pip install "transformers>=5"'):
        family()


def test_images_are_one_frame() -> None:
    with pytest.raises(
        BaseModelError, match="5 frames do not suit base model qwen-image, which takes 1; nearest: 1 frame of 64x64"
    ):
        QwenImage.untrained().check_size(ClipSize(5, 64, 64))
