"""The size of a whole clip: even, never larger, of the source's shape; and its pixels those of ``fit_signal``."""

from fractions import Fraction

import pytest
import torch

from vov_lightning.errors import SignalError
from vov_lightning.video import Signal, fit_signal
from vov_lightning.video.resize import new_sample_aspect_ratio, output_size, resize_frames

SQUARE = Fraction(1)


@pytest.mark.parametrize(
    ("source", "aspect", "wanted", "size", "new_aspect"),
    [
        ((1080, 1920), SQUARE, 144, (144, 256), SQUARE),
        ((1920, 1080), SQUARE, 256, (256, 144), SQUARE),
        ((288, 352), Fraction(12, 11), 144, (144, 192), SQUARE),
        ((576, 720), Fraction(16, 11), 288, (288, 524), SQUARE),
        ((576, 720), Fraction(16, 11), 500, (500, 720), Fraction(125, 99)),  # square pixels would be wider than its own
        ((480, 720), Fraction(8, 9), 240, (240, 320), SQUARE),
        ((576, 720), Fraction(16, 11), "source", (576, 720), Fraction(16, 11)),
        ((144, 256), SQUARE, 1080, (144, 256), SQUARE),  # never enlarged
        ((361, 641), Fraction(4, 3), "source", (360, 640), Fraction(4, 3)),
        ((1080, 1920), SQUARE, 145, (144, 256), SQUARE),
        ((1080, 40), SQUARE, 20, (20, 2), Fraction(10, 27)),
    ],
)
def test_size_and_shape(source, aspect, wanted, size, new_aspect):
    assert output_size(*source, aspect, wanted) == size
    assert new_sample_aspect_ratio(*source, aspect, *size) == new_aspect


@pytest.mark.parametrize("height", range(2, 300, 7))
def test_display_aspect_is_kept(height):
    for source, aspect in (((720, 1280), SQUARE), ((576, 720), Fraction(64, 45)), ((1280, 721), SQUARE)):
        new_height, new_width = output_size(*source, aspect, height)
        shown = source[1] * aspect / source[0]
        assert (new_height % 2, new_width % 2) == (0, 0)
        assert abs(new_width - shown * new_height) <= 1 or new_width == 2


def test_bad_sizes():
    with pytest.raises(SignalError, match=r"height=1; wanted at least 2, or --data\.height source"):
        output_size(100, 100, SQUARE, 1)
    with pytest.raises(SignalError, match="1x100 have no even size"):
        output_size(1, 100, SQUARE, "source")
    with pytest.raises(SignalError, match="16x16 are not enlarged to 16x18"):
        resize_frames(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), 16, 18)


class TestPixels:
    frames = torch.randint(0, 256, (3, 3, 90, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def test_those_of_fit_signal_whatever_the_chunks(self):
        whole = fit_signal(
            Signal(self.frames, Fraction(25), "noise"), height=36, width=64, multiple=(4, 4), temporal_factor=1
        )
        resized = resize_frames(self.frames, 36, 64)
        assert torch.equal(resized, whole.signal.frames)
        assert torch.equal(resized, torch.cat([resize_frames(frame[None], 36, 64) for frame in self.frames]))

    def test_nothing_is_cut(self):
        frame = torch.zeros(1, 3, 90, 160, dtype=torch.uint8)
        frame[..., :, -1] = frame[..., -1, :] = 255
        resized = resize_frames(frame, 36, 40)
        assert (resized[0, :, :, -1] > 0).all()
        assert (resized[0, :, -1, :] > 0).all()

    def test_same_size_and_odd_sides_are_not_resampled(self):
        assert torch.equal(resize_frames(self.frames, 90, 160), self.frames)
        odd = self.frames[:, :, :89, :159]
        assert torch.equal(resize_frames(odd, 88, 158), self.frames[:, :, :88, :158])
