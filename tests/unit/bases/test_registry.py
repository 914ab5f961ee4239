"""Base models by registered name."""

from pathlib import Path

import pytest

from vov_lightning.bases import base_class, class_of, load_base
from vov_lightning.bases.flux2 import Flux2Klein4B, Flux2KleinBase4B
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B, Wan14B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bases.z_image import ZImage, ZImageTurbo
from vov_lightning.errors import BaseModelError

VIDEO = (Nano, Wan13B, Wan14B, Wan22TI2V5B, LTXVideo, HunyuanVideo15)
OWN = (*VIDEO, QwenImage, ZImage, ZImageTurbo, Flux2KleinBase4B, Flux2Klein4B)


def test_the_packages_own_models_are_registered() -> None:
    for model in OWN:
        assert base_class(model.name) is model


def test_options_reach_the_model(tiny_nano: Nano, tmp_path: Path) -> None:
    tiny_nano.save(tmp_path)
    assert load_base("nano", weights=str(tmp_path)).fingerprint() == tiny_nano.fingerprint()


@pytest.mark.parametrize("name", ["nanoo", "", "../nano", "vov_lightning.bases.nano.model"])
def test_unknown_names_are_refused_with_the_installed_ones(name: str) -> None:
    with pytest.raises(BaseModelError, match=f"base model '{name}' is not registered; installed: .*nano"):
        load_base(name)


@pytest.mark.parametrize("text", ["nano", "vov_lightning.bases.nano.Nano"])
def test_a_user_may_give_a_class_path(text: str) -> None:
    assert class_of(text) is Nano


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_package.MyBase", r"'my_package.MyBase' cannot be imported \(No module named 'my_package'\), .*PYTHONPATH"),
        ("vov_lightning.bases.nano.model.Nanoo", "cannot be imported .*no attribute 'Nanoo'"),
        ("vov_lightning.bases.nano.model.NanoConfig", "is no class derived from vov_lightning.bases.BaseModel"),
        ("wan2.1", "'wan2.1' is not registered; installed: .*nano"),
    ],
)
def test_what_is_wrong_with_a_class_path_is_said(text: str, message: str) -> None:
    with pytest.raises(BaseModelError, match=message):
        class_of(text)
