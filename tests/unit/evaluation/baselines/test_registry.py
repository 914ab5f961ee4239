"""Baselines by their keys."""

import pytest

from vov_lightning.errors import SettingError
from vov_lightning.evaluation.baselines import BASELINES, Baseline, make_baselines


def test_every_baseline_says_what_it_is():
    assert list(BASELINES)[:5] == ["indices", "x265", "svtav1", "vvenc", "siren"]
    for key, kind in BASELINES.items():
        assert issubclass(kind, Baseline)
        assert kind.key == key
        assert kind.label
        assert kind.description.endswith(".")
    assert len({kind.label for kind in BASELINES.values()}) == len(BASELINES)
    assert "VTM" not in BASELINES["vvenc"].label


def test_names_keep_their_order_and_take_settings():
    made = make_baselines(["vvenc", "x265"], {"x265": {"preset": "fast"}})
    assert [baseline.key for baseline in made] == ["vvenc", "x265"]
    assert made[1].preset == "fast"


def test_an_unknown_name_lists_the_known():
    with pytest.raises(SettingError, match=r"'vtm' is unknown; known are indices, x265, svtav1, vvenc, siren"):
        make_baselines(["vtm"])
    with pytest.raises(SettingError, match="'h264' is unknown"):
        make_baselines(["x265"], {"h264": {}})


def test_a_name_twice_is_refused():
    with pytest.raises(SettingError, match="name one twice"):
        make_baselines(["x265", "x265"])


def test_settings_that_a_baseline_does_not_take_are_refused():
    with pytest.raises(SettingError, match=r"x265 does not take these settings .*crf"):
        make_baselines(["x265"], {"x265": {"crf": 30}})


@pytest.mark.parametrize("key", ["dcvc-dc", "dcvc-fm", "dcvc-rt", "glc-video"])
def test_neural_codecs_say_what_they_need(key):
    with pytest.raises(SettingError, match=rf"{key} .* give repository, image_weights and video_weights; clone https"):
        make_baselines([key])
