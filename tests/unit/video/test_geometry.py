"""Fitting a signal to a base model: exact resampling, exact inverses, and no silent repair."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from vov_lightning.errors import SignalError
from vov_lightning.video import Padding, Signal, fit_signal, remove_padding

RULE = {"multiple": (16, 8), "temporal_factor": 4}


def make_signal(num_frames: int, height: int, width: int) -> Signal:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (num_frames, 3, height, width), generator=generator, dtype=torch.uint8)
    return Signal(frames, Fraction(25), "noise")


class TestResize:
    def test_means_of_whole_blocks_round_half_to_even(self):
        signal = make_signal(1, 64, 32)
        fitted = fit_signal(signal, height=32, width=16, **RULE)
        sums = signal.frames.numpy().astype(int).reshape(3, 32, 2, 16, 2).sum(axis=(2, 4))
        quotient, rest = sums // 4, sums % 4
        wanted = quotient + ((rest == 3) | ((rest == 2) & (quotient % 2 == 1)))
        assert {0, 1, 2, 3} == set(np.unique(rest))
        assert np.array_equal(fitted.signal.frames[0].numpy(), wanted)
        assert fitted.padding == (0, 0, 0)
        assert (fitted.signal.fps, fitted.signal.name) == (signal.fps, signal.name)

    def test_uneven_ratios_take_every_pixel_in_reach(self):
        signal = make_signal(1, 41, 20)
        frames = fit_signal(signal, height=32, width=16, **RULE).signal.frames
        cut = signal.frames[0, :, 0:40].double()  # round(20 * 32 / 16) = 40 rows around the centre
        first = cut[:, 0:2, 0:2].mean(dim=(1, 2)).round()
        last = cut[:, 38:40, 18:20].mean(dim=(1, 2)).round()
        assert torch.equal(frames[0, :, 0, 0].double(), first)
        assert torch.equal(frames[0, :, -1, -1].double(), last)

    @pytest.mark.parametrize(("height", "width"), [(64, 200), (200, 64)])
    def test_cuts_to_the_aspect_ratio_around_the_centre(self, height, width):
        frames = torch.zeros(1, 3, height, width, dtype=torch.uint8)
        top, left = (height - 64) // 2, (width - 64) // 2
        frames[:, :, top : top + 64, left : left + 64] = 200
        fitted = fit_signal(Signal(frames, Fraction(1), "square"), height=16, width=16, **RULE)
        assert (fitted.signal.frames == 200).all()

    def test_enlarging_is_bicubic_and_clamped(self):
        step = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
        step[..., 8:] = 255
        row = fit_signal(Signal(step, Fraction(1), "step"), height=32, width=32, **RULE).signal.frames[0, 0, 16]
        assert row[:12].eq(0).all()
        assert row[20:].eq(255).all()
        assert 0 < row[15] < row[16] < 255

    def test_a_size_that_fits_is_kept(self):
        signal = make_signal(5, 32, 24)
        for size in ({}, {"height": 32, "width": 24}):
            assert torch.equal(fit_signal(signal, **size, **RULE).signal.frames, signal.frames)

    def test_one_long_side(self):
        assert fit_signal(make_signal(1, 1, 400), height=32, width=8, **RULE).signal.frames.shape == (1, 3, 32, 8)

    def test_takes_the_first_frames(self):
        signal = make_signal(9, 16, 8)
        assert torch.equal(fit_signal(signal, frames=5, **RULE).signal.frames, signal.frames[:5])


class TestCrop:
    def test_centre(self):
        signal = make_signal(1, 40, 30)
        fitted = fit_signal(signal, height=32, width=16, mode="crop", **RULE)
        assert torch.equal(fitted.signal.frames, signal.frames[:, :, 4:36, 7:23])
        assert fitted.signal.frames.is_contiguous()
        assert fitted.padding == (0, 0, 0)

    def test_largest_size_that_fits(self):
        fitted = fit_signal(make_signal(1, 47, 31), mode="crop", **RULE)
        assert (fitted.signal.height, fitted.signal.width) == (32, 24)

    def test_larger_than_the_signal(self):
        with pytest.raises(SignalError, match="height=48 and width=16 cannot be cut out of noise, which is 40x30"):
            fit_signal(make_signal(1, 40, 30), height=48, width=16, mode="crop", **RULE)

    def test_signal_below_one_multiple(self):
        with pytest.raises(SignalError, match=r"noise is 15x30, below the smallest size that fits \(16x8\)"):
            fit_signal(make_signal(1, 15, 30), mode="crop", **RULE)


class TestPad:
    @pytest.mark.parametrize("num_frames", [1, 2, 4, 5, 6])
    @pytest.mark.parametrize(("height", "width"), [(16, 8), (17, 9), (31, 15), (5, 3)])
    def test_repeats_edges_and_can_be_undone(self, num_frames, height, width):
        signal = make_signal(num_frames, height, width)
        fitted = fit_signal(signal, mode="pad", **RULE)
        padded = fitted.signal
        assert (padded.num_frames % 4, padded.height % 16, padded.width % 8) == (1, 0, 0)
        assert all(added < step for added, step in zip(fitted.padding, (4, 16, 8), strict=True))
        assert (padded.frames[num_frames:] == padded.frames[num_frames - 1]).all()
        assert (padded.frames[:, :, height:] == padded.frames[:, :, height - 1 : height]).all()
        assert (padded.frames[..., width:] == padded.frames[..., width - 1 : width]).all()
        back = remove_padding(padded, fitted.padding)
        assert torch.equal(back.frames, signal.frames)
        assert back.frames.is_contiguous()

    def test_takes_at_most_the_frames_asked_for(self):
        fitted = fit_signal(make_signal(9, 16, 8), mode="pad", frames=7, **RULE)
        assert (fitted.signal.num_frames, fitted.padding) == (9, Padding(frames=2))
        fitted = fit_signal(make_signal(3, 16, 8), mode="pad", frames=81, **RULE)
        assert (fitted.signal.num_frames, fitted.padding) == (5, Padding(frames=2))

    def test_takes_no_size(self):
        with pytest.raises(SignalError, match=r"height=16 and width=8 have no meaning with --data.fit pad"):
            fit_signal(make_signal(1, 16, 8), height=16, width=8, mode="pad", **RULE)

    @pytest.mark.parametrize("padding", [(5, 0, 0), (0, 16, 0), (0, 0, 8), (-1, 0, 0)])
    def test_padding_that_leaves_nothing(self, padding):
        with pytest.raises(SignalError, match="does not fit"):
            remove_padding(make_signal(5, 16, 8), padding)


class TestRules:
    @pytest.mark.parametrize(
        ("size", "message"),
        [
            ((481, 480), "height=481 is not a multiple of 16; use 480 or 496, or --data.fit crop or pad without"),
            ((480, 481), "width=481 is not a multiple of 8; use 480 or 488, or --data.fit crop or pad without"),
            ((5, 480), "height=5 is not a multiple of 16; use 16, or --data.fit crop or pad without height and width"),
            ((-16, 480), "height=-16 is not a multiple of 16; use 16"),
        ],
    )
    def test_sizes(self, size, message):
        with pytest.raises(SignalError, match=message):
            fit_signal(make_signal(1, 8, 8), height=size[0], width=size[1], **RULE)

    def test_crop_does_not_recommend_itself(self):
        with pytest.raises(SignalError, match=r"height=33 is not a multiple of 16; use 32 or 48$"):
            fit_signal(make_signal(1, 80, 80), height=33, width=8, mode="crop", **RULE)

    def test_size_of_the_file_itself(self):
        with pytest.raises(
            SignalError, match=r"height=33 is not a multiple of 16; use 32 or 48, or --data.fit crop or pad$"
        ):
            fit_signal(make_signal(1, 33, 8), **RULE)

    @pytest.mark.parametrize("mode", ["resize", "crop"])
    @pytest.mark.parametrize(
        ("available", "frames", "message"),
        [
            (7, None, "noise has 7 frames, which is not 1 [+] a multiple of 4; use --data.frames 5, or --data.fit pad"),
            (20, 7, "frames=7 is not 1 [+] a multiple of 4; use --data.frames 5 or 9, or --data.fit pad"),
            (20, 8, "frames=8 is not 1 [+] a multiple of 4; use --data.frames 9, or --data.fit pad"),
            (17, 16, "use --data.frames 17,"),
            (16, 16, "use --data.frames 13,"),
            (20, 6, "use --data.frames 5,"),
            (7, 9, "frames=9 and noise has only 7; use --data.frames 5 or --data.fit pad"),
            (7, 0, "frames=0; wanted at least 1"),
        ],
    )
    def test_frame_counts(self, mode, available, frames, message):
        with pytest.raises(SignalError, match=message):
            fit_signal(make_signal(available, 16, 8), frames=frames, mode=mode, **RULE)

    @pytest.mark.parametrize("count", [1, 5, 9])
    def test_valid_frame_counts(self, count):
        assert fit_signal(make_signal(count, 16, 8), **RULE).signal.num_frames == count

    def test_models_of_one_frame(self):
        rule = {"multiple": (16, 8), "temporal_factor": None}
        clip = make_signal(3, 16, 8)
        for mode in ("resize", "crop", "pad"):
            assert fit_signal(clip, frames=1, mode=mode, **rule).signal.is_image
            with pytest.raises(SignalError, match=r"noise has 3 frames.* one.*use --data.frames 1"):
                fit_signal(clip, mode=mode, **rule)

    def test_half_a_size_and_unknown_modes(self):
        with pytest.raises(SignalError, match=r"height=16 and width=None; give both or neither"):
            fit_signal(make_signal(1, 16, 8), height=16, **RULE)
        with pytest.raises(SignalError, match=r"fit='stretch' is unknown; use --data.fit resize, crop, pad"):
            fit_signal(make_signal(1, 16, 8), mode="stretch", **RULE)
