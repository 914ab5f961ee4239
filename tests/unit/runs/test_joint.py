"""Several sources of one vector: settings that contradict each other, sources that could not be told apart, bytes."""

from fractions import Fraction

import pytest
import torch

from vov_lightning.captioners import Captioner
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import VOVModule
from vov_lightning.runs.joint import check_captions, format_joint, joint_metrics, same_condition, source_name
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal, write_signal


def signal(name, rows=64, value=0):
    pixels = torch.arange(9 * 3 * rows * 64).remainder(251 - value).byte().view(9, 3, rows, 64)
    return Signal(pixels, Fraction(25), name)


def joint(*captions):
    return SignalData.joint([SignalData.of(signal(f"s{number}"), caption=text) for number, text in enumerate(captions)])


class Silent(Captioner):
    def caption(self, frames):
        raise AssertionError("not asked")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "c.mp4", "paths": ["a.mp4", "b.mp4"]}, r"path=c\.mp4 and paths=.* contradict"),
        ({"paths": ["a.mp4"]}, "is not several sources; give path"),
        ({"paths": ["a.mp4", "b.mp4"], "captions": ["red"]}, "captions has 1 entries for 2 paths"),
        ({"paths": ["a.mp4", "b.mp4"], "caption": "red"}, "caption=red cannot tell 2 paths apart"),
        ({"captions": ["red"]}, "captions=.* are of several data.paths"),
        ({"paths": ["x/a.mp4", "y/a.mp4"]}, "two sources would both be a; rename"),
        ({"paths": ["a.mp4", "b.mp4"], "captions": ["x", "y"], "captioner": Silent()}, "captions and captioner each"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        SignalData(**settings)


def test_sources_of_one_name_are_refused():
    with pytest.raises(SettingError, match="two sources would both be a"):
        SignalData.joint([SignalData.of(signal("a")), SignalData.of(signal("a"))])


def test_captions_come_from_settings_then_files_then_the_captioner(tiny_nano, tmp_path):
    for name in "ab":
        write_signal(signal(name), tmp_path / f"{name}.mp4")
    (tmp_path / "b.txt").write_text("dim, blue\n")
    paths = [str(tmp_path / f"{name}.mp4") for name in "ab"]
    first, second = SignalData(paths=paths).load_all(tiny_nano)
    assert (first.name, second.name, second.caption) == ("a", "b", "dim, blue")
    assert first.caption == tiny_nano.describe(first.clip.first.signal.frames)
    given = SignalData(paths=paths, captions=["red", "green"]).load_all(tiny_nano)
    assert [source.caption for source in given] == ["red", "green"]
    assert [member.captioner is None for member in SignalData(paths=paths, captioner=Silent()).members] == [False, True]


def test_sources_of_several_sizes_are_refused(tiny_nano):
    members = [SignalData.of(signal(name, rows), fit="crop") for name, rows in (("a", 64), ("b", 40))]
    with pytest.raises(SignalError, match=r"a comes to \[9, 3, 64, 64\] and b to \[9, 3, 40, 64\].*data\.height"):
        SignalData.joint(members).load_all(tiny_nano)


@pytest.mark.parametrize("other", ["bright, red", "a red clip, bright"])
def test_captions_that_the_model_cannot_tell_apart_are_refused(tiny_nano, other):
    with pytest.raises(SettingError, match=r"have the same caption to base model nano.*<source>\.txt"):
        VOVModule(tiny_nano, AdapterConfig(k=64)).prepare(joint("bright, red", "dim, red", other))


def test_conditions_are_compared_whatever_they_are(tiny_nano):
    states = {"states": torch.ones(2), "mask": torch.ones(1)}
    assert same_condition(states, {**states, "mask": torch.ones(1)})
    assert not same_condition(states, {**states, "mask": torch.zeros(1)})
    assert same_condition(None, None)
    check_captions({"a": "red", "b": "blue"}, tiny_nano)


def test_vector_is_counted_once():
    def figures(caption, psnr_db):
        sections = {"header": 50, "caption": len(caption), "count_table": 10, "vector": 100}
        size = sum(sections.values())
        shared = {"base": "nano@1", "frames": 1, "height": 8, "width": 10, "autoencoder_psnr_db": 30.0, "versions": {}}
        return {"caption": caption, "section_bytes": sections, "bytes": size, "psnr_db": psnr_db, "bpp": 1.0} | shared

    metrics = joint_metrics("a+1", {"a": figures("red", 20.0), "b": figures("blues", 22.0)})
    assert (metrics["bytes"], metrics["bytes_once"]) == (163 + 165, 50 + 3 + 50 + 5 + 110)
    assert metrics["bpp_once"] == 8 * metrics["bytes_once"] / 160
    assert metrics["psnr_db"] == 21
    table = format_joint(metrics).splitlines()
    assert [line.split("  ")[0] for line in table] == ["source", "a", "b", "all files", "vector once"]


def test_names_of_runs():
    assert source_name("x/a.mp4") == "a"
    assert SignalData(paths=["x/a.mp4", "b.mp4", "c.mp4"]).source_name == "a+2"


def test_checkpoint_knows_all_its_sources(tiny_nano):
    """Frames and captions of every source count, and in their order."""

    def identity(*captions):
        module = VOVModule(tiny_nano, AdapterConfig(k=64))
        module.prepare(joint(*captions))
        return module._identity()

    assert len({identity("red", "blue"), identity("blue", "red"), identity("red", "green")}) == 3
