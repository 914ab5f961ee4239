"""Base models by registered name."""

from pathlib import Path

import pytest

from vov_lightning.bases import load_base, registered_bases
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.nano import Nano
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B, Wan14B
from vov_lightning.errors import BaseModelError


def test_the_packages_own_models_are_registered() -> None:
    own = {model.name: model for model in (Nano, Wan13B, Wan14B, QwenImage, LTXVideo)}
    assert own.items() <= registered_bases().items()


def test_options_reach_the_model(tiny_nano: Nano, tmp_path: Path) -> None:
    tiny_nano.save(tmp_path)
    assert load_base("nano", weights=str(tmp_path)).fingerprint() == tiny_nano.fingerprint()


@pytest.mark.parametrize("name", ["nanoo", "", "../nano", "vov_lightning.bases.nano"])
def test_unknown_names_are_refused_with_the_installed_ones(name: str) -> None:
    with pytest.raises(BaseModelError, match=f"base model '{name}' is not registered; installed: .*nano"):
        load_base(name)
