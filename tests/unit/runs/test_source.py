"""Which frames of which size reach the base model."""

from fractions import Fraction

import pytest
import torch
from PIL import Image

from vov_lightning.captioners import Captioner
from vov_lightning.errors import CaptionError, SettingError, SignalError
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.source import SAMPLE
from vov_lightning.video import Signal


def signal(frames=9, height=40, width=48):
    pixels = torch.arange(frames * 3 * height * width).remainder(251).byte().view(frames, 3, height, width)
    return Signal(pixels, Fraction(25), "s")


def shapes(clip):
    """Size and padding of every segment."""
    return [(tuple(segment.signal.frames.shape), tuple(segment.padding)) for segment in clip.segments()]


def numbered_frames(folder, count, size=(64, 64)):
    """A folder of ``count`` pictures, the n-th of red 10 n."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.new("RGB", size, (10 * index, 0, 0)).save(folder / f"{index}.png")
    return str(folder)


def test_the_bundled_clip_comes_whole(tiny_nano):
    source = SignalData(SAMPLE).load(tiny_nano)
    assert (source.clip.num_frames, source.clip.height, source.clip.width) == (17, 144, 144)
    assert source.caption == tiny_nano.describe(source.clip.first.signal.frames) != ""


def test_a_clip_keeps_its_shape_at_the_models_height(tiny_nano):
    clip = SignalData.of(signal(3, 288, 352)).load(tiny_nano).clip
    assert shapes(clip) == [((3, 3, 144, 176), (0, 0, 0))]


def test_a_clip_is_never_enlarged_and_padded_to_what_the_model_takes(tiny_nano):
    clip = SignalData.of(signal(3, 50, 60), height=200).load(tiny_nano).clip
    assert shapes(clip) == [((3, 3, 56, 64), (0, 6, 4))]
    assert clip.target.frames.equal(signal(3, 50, 60).frames)


def test_a_height_of_the_source_keeps_every_pixel(tiny_nano):
    clip = SignalData.of(signal(2, 160, 200), height="source").load(tiny_nano).clip
    assert clip.target.frames.equal(signal(2, 160, 200).frames)


def test_a_long_clip_has_segments_that_follow_each_other(tiny_nano, tmp_path):
    clip = SignalData(numbered_frames(tmp_path, 25), segment=9).load(tiny_nano).clip
    parts = list(clip.segments())
    assert [part.signal.num_frames for part in parts] == [9, 9, 7]
    assert torch.cat([part.signal.frames[:, 0, 0, 0] for part in parts]).tolist() == list(range(0, 250, 10))
    assert not clip.is_one_segment
    assert clip.whole().signal.num_frames == 25


def test_every_segment_is_padded_to_a_count_that_the_model_takes(tmp_path, monkeypatch, tiny_nano):
    monkeypatch.setattr(type(tiny_nano), "temporal_factor", 4)
    clip = SignalData(numbered_frames(tmp_path, 12), segment=9).load(tiny_nano).clip
    assert shapes(clip) == [((9, 3, 64, 64), (0, 0, 0)), ((5, 3, 64, 64), (2, 0, 0))]


def test_a_longest_segment_that_the_model_cannot_take_is_refused(tmp_path, monkeypatch, tiny_nano):
    monkeypatch.setattr(type(tiny_nano), "temporal_factor", 4)
    with pytest.raises(SettingError, match=r"segment=8 frames do not suit base model nano; nearest: 9"):
        SignalData(numbered_frames(tmp_path, 12), segment=8).load(tiny_nano)


@pytest.mark.parametrize("options", [{"width": 64}, {"width": 64, "height": "source"}, {"width": 8, "fit": "scale"}])
def test_a_width_without_a_height_is_refused(options):
    with pytest.raises(SettingError, match=r"width=.* needs a height in pixels"):
        SignalData.of(signal(), **options)


def test_given_caption_is_kept_even_when_empty(tiny_nano):
    assert SignalData.of(signal(), caption="").load(tiny_nano).caption == ""
    assert SignalData.of(signal(), caption="red").load(tiny_nano).caption == "red"


def test_image_has_one_frame(tiny_nano, tmp_path):
    Image.new("RGB", (70, 70), (10, 200, 30)).save(tmp_path / "green.png")
    source = SignalData(str(tmp_path / "green.png")).load(tiny_nano)
    assert source.clip.num_frames == 1
    assert "green" in source.caption


def test_crop_keeps_pixels(tiny_nano):
    source = signal(9, 41, 50)
    clip = SignalData.of(source, fit="crop").load(tiny_nano).clip
    assert torch.equal(clip.first.signal.frames, source.frames[:, :, :40, 1:49])


def test_pad_keeps_odd_sides_and_remembers_what_it_added(tiny_nano):
    clip = SignalData.of(signal(7, 41, 50), fit="pad").load(tiny_nano).clip
    assert shapes(clip) == [((7, 3, 48, 56), (0, 7, 6))]


def test_too_short_a_clip_is_refused_with_the_remedy(tiny_nano):
    with pytest.raises(SignalError, match=r"frames=9 and s has only 7; use --data\.frames 7"):
        SignalData.of(signal(7), frames=9, height=32, width=32).load(tiny_nano)


@pytest.mark.parametrize(("asked", "nearest"), [(8, 9), (12, 9), (6, 5)])
def test_the_nearest_count_that_the_file_has_is_named(tiny_nano, tmp_path, monkeypatch, asked, nearest):
    monkeypatch.setattr(type(tiny_nano), "temporal_factor", 4)
    with pytest.raises(SignalError, match=rf"frames={asked} .*; use --data\.frames {nearest}, or"):
        SignalData(numbered_frames(tmp_path, 12), frames=asked, height=64, width=64, segment=89).load(tiny_nano)


def test_start_skips_frames(tiny_nano, tmp_path):
    clip = SignalData(numbered_frames(tmp_path, 7), start=2, frames=5, fps="30000/1001").load(tiny_nano).clip
    assert clip.first.signal.frames[:, 0, 0, 0].tolist() == [20, 30, 40, 50, 60]
    assert clip.first.signal.fps == Fraction(30000, 1001)


class Recorder(Captioner):
    """Remembers what it was shown; every answer differs."""

    def __init__(self):
        self.shown = []

    def caption(self, frames):
        self.shown.append(frames)
        return f" answer\n{len(self.shown)} "


def test_captioner_is_asked_once_about_frames_without_padding(tiny_nano, capsys):
    recorder = Recorder()
    data = SignalData.of(signal(7, 41, 50), fit="pad", captioner=recorder)
    assert data.load(tiny_nano).caption == data.load(tiny_nano).caption == "answer 1"
    assert [frames.shape for frames in recorder.shown] == [(7, 3, 41, 50)]
    assert capsys.readouterr().out == "caption: answer 1\n"


def test_captioner_that_says_nothing_is_named(tiny_nano):
    class Silent(Captioner):
        def caption(self, frames):
            return "\n"

    with pytest.raises(CaptionError, match="Silent gave an empty caption"):
        SignalData.of(signal(), captioner=Silent()).load(tiny_nano)


def test_caption_file(tiny_nano, tmp_path):
    path = tmp_path / "caption.txt"
    path.write_text("red\n")
    assert SignalData.of(signal(), caption_file=str(path)).load(tiny_nano).caption == "red"


@pytest.mark.parametrize(
    "given", [("caption", "caption_file"), ("caption_file", "captioner"), ("caption", "captioner")]
)
def test_one_source_of_the_caption(given):
    values = {"caption": "", "caption_file": "nowhere.txt", "captioner": Recorder()}
    with pytest.raises(SettingError, match=" and ".join(given) + " each give a caption"):
        SignalData.of(signal(), **{name: values[name] for name in given})
