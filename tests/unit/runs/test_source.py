"""Which frames of which size reach the base model."""

from fractions import Fraction

import pytest
import torch
from PIL import Image

from vov_lightning.captioners import Captioner
from vov_lightning.errors import CaptionError, SettingError, SignalError
from vov_lightning.fitting.data import SignalData
from vov_lightning.runs.source import SAMPLE
from vov_lightning.video import Padding, Signal


def signal(frames=9, height=40, width=48):
    pixels = torch.arange(frames * 3 * height * width).remainder(251).byte().view(frames, 3, height, width)
    return Signal(pixels, Fraction(25), "s")


def test_bundled_clip_comes_to_the_models_own_size(tiny_nano):
    fitted, caption = SignalData(SAMPLE).load(tiny_nano)
    size = tiny_nano.default_size
    assert fitted.signal.frames.shape == (size.frames, 3, size.height, size.width)
    assert fitted.padding == Padding()
    assert caption == tiny_nano.describe(fitted.signal.frames) != ""


def test_given_caption_is_kept_even_when_empty(tiny_nano):
    assert SignalData.of(signal(), caption="").load(tiny_nano)[1] == ""
    assert SignalData.of(signal(), caption="red").load(tiny_nano)[1] == "red"


def test_image_has_one_frame(tiny_nano, tmp_path):
    Image.new("RGB", (70, 70), (10, 200, 30)).save(tmp_path / "green.png")
    fitted, caption = SignalData(str(tmp_path / "green.png")).load(tiny_nano)
    assert fitted.signal.num_frames == 1
    assert "green" in caption


def test_crop_keeps_pixels(tiny_nano):
    source = signal(9, 41, 50)
    fitted, _ = SignalData.of(source, fit="crop").load(tiny_nano)
    assert torch.equal(fitted.signal.frames, source.frames[:, :, :40, 1:49])


def test_pad_remembers_what_it_added(tiny_nano):
    fitted, _ = SignalData.of(signal(7, 41, 50), fit="pad").load(tiny_nano)
    assert fitted.padding == Padding(0, 7, 6)
    assert fitted.signal.frames.shape == (7, 3, 48, 56)


def test_too_short_a_clip_is_refused_with_the_remedy(tiny_nano):
    with pytest.raises(SignalError, match=r"--data\.frames"):
        SignalData.of(signal(7)).load(tiny_nano)


@pytest.mark.parametrize(("asked", "nearest"), [(8, 9), (12, 9), (6, 5)])
def test_the_nearest_count_that_the_file_has_is_named(tiny_nano, tmp_path, asked, nearest, monkeypatch):
    monkeypatch.setattr(type(tiny_nano), "temporal_factor", 4)  # as Wan's
    for index in range(12):
        Image.new("RGB", (64, 64), (20 * index, 0, 0)).save(tmp_path / f"{index}.png")
    with pytest.raises(SignalError, match=rf"frames={asked} .*; use --data\.frames {nearest}, or"):
        SignalData(str(tmp_path), frames=asked).load(tiny_nano)


def test_start_skips_frames(tiny_nano, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(7):
        Image.new("RGB", (64, 64), (index * 10, 0, 0)).save(folder / f"{index}.png")
    fitted, _ = SignalData(str(folder), start=2, frames=5, fps="30000/1001").load(tiny_nano)
    assert fitted.signal.frames[:, 0, 0, 0].tolist() == [20, 30, 40, 50, 60]
    assert fitted.signal.fps == Fraction(30000, 1001)


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
    assert data.load(tiny_nano)[1] == data.load(tiny_nano)[1] == "answer 1"
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
    assert SignalData.of(signal(), caption_file=str(path)).load(tiny_nano)[1] == "red"


@pytest.mark.parametrize(
    "given", [("caption", "caption_file"), ("caption_file", "captioner"), ("caption", "captioner")]
)
def test_one_source_of_the_caption(given):
    values = {"caption": "", "caption_file": "nowhere.txt", "captioner": Recorder()}
    with pytest.raises(SettingError, match=" and ".join(given) + " each give a caption"):
        SignalData.of(signal(), **{name: values[name] for name in given})
