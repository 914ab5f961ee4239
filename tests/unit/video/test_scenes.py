"""Segments: cut where scenes change and nowhere else, never too long, none lost, in bounded memory."""

import cv2
import numpy as np
import pytest
import torch

from vov_lightning.errors import SettingError
from vov_lightning.video.scenes import Segmenter, scene_starts


def scene(num_frames: int, seed: int, speed: int = 2, height: int = 96, width: int = 160) -> list[torch.Tensor]:
    """A camera that moves over a coloured texture, ``speed`` pixels a frame."""
    texture = np.random.default_rng(seed).integers(0, 255, (12, 40, 3)).astype(np.uint8)
    panorama = cv2.resize(texture, (3 * width, height), interpolation=cv2.INTER_CUBIC)
    views = (panorama[:, index * speed % (2 * width) :][:, :width] for index in range(num_frames))
    return [torch.from_numpy(np.ascontiguousarray(view)).permute(2, 0, 1) for view in views]


A, B, C = (scene(40, seed) for seed in (1, 2, 3))
WHITE, BLACK = torch.full_like(A[0], 255), torch.zeros_like(A[0])


def dissolve(first, second):
    return [
        ((1 - n / len(first)) * a + n / len(first) * b).to(torch.uint8)
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]


class TestSceneStarts:
    @pytest.mark.parametrize(
        ("frames", "starts"),
        [
            (A, []),
            (A[:1], []),
            (A[:3], []),
            (A + B[:31] + C, [40, 71]),
            (A[:7] + B[:5] + C, [7, 12]),
            ([WHITE] * 20 + [BLACK] * 20, [20]),
            ([BLACK] * 30, []),
            ([*A[:20], WHITE, *A[20:]], []),  # a flash
            (A[:20] + [WHITE] * 2 + A[20:], []),
            (A[:20] + B[:1] + C[:20], [20, 21]),  # a scene of one frame
            (A[:20] + B[:2] + C[:20], [20, 22]),
            (scene(60, 4, speed=25), []),  # a fast camera
            (A[:10] + dissolve(A[10:34], B[10:34]) + B[34:], []),
            (A[:10] + dissolve(A[10:34], [BLACK] * 24) + [BLACK] * 9, [34]),  # black is a scene of its own
        ],
    )
    def test_known_cuts(self, frames, starts):
        assert list(scene_starts(frames)) == starts

    def test_size_and_brightness_do_not_matter(self):
        for height, width in ((48, 80), (90, 160), (300, 400)):
            speed = max(1, width // 80)
            small = scene(20, 1, speed, height, width) + scene(20, 2, speed, height, width)
            assert list(scene_starts(small)) == [20]
        assert list(scene_starts([frame // 3 for frame in A + B])) == [40]


class TestSegmenter:
    @pytest.mark.parametrize(
        ("frames", "lengths"),
        [
            (A[:1], [1]),
            (A[:4], [4]),
            (A[:9], [9]),
            (A[:27], [27]),
            (A[:28], [18, 10]),  # not 27 and 1
            (A[:36], [27, 9]),
            (A + B[:31] + C, [27, 13, 18, 13, 27, 13]),
            (A[:12] + B[:12], [12, 12]),
            (A[:20] + B[:1] + C[:20], [20, 21]),  # one frame joins the scene after it
            (A[:20] + B[:3], [23]),  # a last one the scene before
            (A[:3] + B[:20], [23]),
            ([*A[:20], WHITE, *A[20:39]], [27, 13]),
        ],
    )
    def test_lengths(self, frames, lengths):
        segmenter = Segmenter(longest=27, block=9)
        segments = list(segmenter.segments(frames))
        assert [len(segment) for segment in segments] == lengths
        assert torch.equal(torch.stack([frame for segment in segments for frame in segment]), torch.stack(frames))
        assert segmenter.lengths(len(frames), scene_starts(frames)) == lengths

    @pytest.mark.parametrize(("longest", "block"), [(1, 1), (9, 9), (31, 9), (45, 9), (10, 1)])
    @pytest.mark.parametrize("num_frames", [1, 8, 9, 10, 29, 30, 31, 100, 137])
    def test_any_length_and_any_cuts(self, longest, block, num_frames):
        generator = np.random.default_rng(num_frames)
        starts = sorted(set(generator.integers(1, num_frames + 1, num_frames // 12).tolist()))
        lengths = Segmenter(longest, block).lengths(num_frames, starts)
        assert sum(lengths) == num_frames
        assert min(lengths) > 0
        assert max(lengths) <= longest
        ends = np.cumsum(lengths)[:-1]
        for end, length in zip(ends, lengths, strict=False):  # what is not cut at a scene is whole blocks
            assert end in starts or length % block == 0
        if longest >= 2 * block:  # else there is nothing to share with
            assert min(lengths) >= min(num_frames, (block + 1) // 2)

    def test_frames_may_be_anything_with_pixels(self):
        frames = [{"pixels": pixels, "time": index / 25} for index, pixels in enumerate(A[:12] + B[:12])]
        segments = list(Segmenter(27, 9).segments(frames, lambda frame: frame["pixels"]))
        assert [segment[0]["time"] for segment in segments] == [0, 12 / 25]

    def test_holds_a_segment_and_a_block(self):
        taken = 0

        def frames():
            nonlocal taken
            for _ in range(300):
                taken += 1
                yield BLACK

        given = 0
        for segment in Segmenter(27, 9).segments(frames()):
            assert taken - given <= 27 + 9 + 2
            given += len(segment)
        assert given == 300

    @pytest.mark.parametrize(("longest", "block"), [(8, 9), (9, 0)])
    def test_bad_lengths(self, longest, block):
        with pytest.raises(SettingError, match=rf"longest={longest} and block={block}; wanted a segment of at least"):
            Segmenter(longest, block)
