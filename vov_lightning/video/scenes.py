"""Cut a stream of frames into segments: at scene changes, and where a segment would grow too long.

Scene changes are found by PySceneDetect, fed with small pictures. Its ``AdaptiveDetector`` weighs how much a frame
differs from the one before against the frames around it, so that a shaking camera is no cut; two cuts next to each
other hide from it, and ``ContentDetector``, which takes any great difference, finds those. A flash is no cut: the
picture before it comes back. A fade is none either, unless it ends in black. Nothing here holds more than one segment
and a block.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector
from torch import Tensor

from vov_lightning.errors import SettingError

T = TypeVar("T")

WATCHED_HEIGHT = 72  # pixels; enough to tell scenes apart
WINDOW = 2  # frames before and after, against which a frame stands out; the detector is that much late
FLASH = WINDOW + 1  # frames before, among which the picture of before a flash is looked for
MOST_CUTS = 2  # great differences within a window; more are motion
# Mean difference in hue, saturation and brightness, of 255, from which a picture is another one (PySceneDetect's own).
OTHER_PICTURE = 15.0


class SceneDetector:
    """Finds the first frames of new scenes in frames that come one by one."""

    def __init__(self) -> None:
        self._adaptive = AdaptiveDetector(min_scene_len=0, window_width=WINDOW, min_content_val=OTHER_PICTURE)
        self._content = ContentDetector(min_scene_len=0)
        # The frame in question is the one WINDOW before the last.
        self._pictures: deque[np.ndarray] = deque(maxlen=FLASH + 1 + WINDOW)
        self._differs: deque[bool] = deque(maxlen=2 * WINDOW + 1)
        self._num_seen = 0

    def add(self, frame: Tensor) -> int | None:
        """Take the next frame ``[3, H, W]`` uint8.

        Returns:
            Index of a frame, ``WINDOW`` before this one, if a scene begins there. The first frame is never reported.
        """
        picture = _watched(frame)
        time = FrameTimecode(self._num_seen, fps=25.0)
        self._num_seen += 1
        self._pictures.append(picture)
        self._differs.append(bool(self._content.process_frame(time, picture)))
        stands_out = bool(self._adaptive.process_frame(time, picture))
        if len(self._differs) > WINDOW and self._differs[-1 - WINDOW]:
            stands_out |= sum(self._differs) <= MOST_CUTS
        return self._num_seen - 1 - WINDOW if stands_out and not self._is_flash() else None

    def _is_flash(self) -> bool:
        """Whether a picture from before the change is back soon after: much nearer to it than the change is great."""
        pictures = list(self._pictures)
        before, since = pictures[: -1 - WINDOW], pictures[-1 - WINDOW :]
        change = _difference(before[-1], since[0])
        return any(2 * _difference(old, new) < change for old in before for new in since)


def scene_starts(frames: Iterable[Tensor]) -> Iterator[int]:
    """Indices of frames ``[3, H, W]`` at which a new scene begins, ascending; the first frame is not among them."""
    detector = SceneDetector()
    for frame in frames:
        cut = detector.add(frame)
        if cut is not None:
            yield cut


class Segmenter:
    """Cuts frames into segments.

    A scene shorter than half a block joins the one after it (at the end of the clip, the one before). A scene that is
    too long gives segments of ``longest`` frames; what is left of it, if less than a block, shares with the last of
    them, so that no segment is a handful of frames.

    Args:
        longest: Frames of the longest segment.
        block: Frames that are coded at once; segments that are cut for their length are whole blocks.

    Raises:
        SettingError: If a segment cannot hold a block.

    Example:
        >>> import torch
        >>> black, white = torch.zeros(3, 16, 16, dtype=torch.uint8), torch.full((3, 16, 16), 255, dtype=torch.uint8)
        >>> [len(segment) for segment in Segmenter(longest=18, block=9).segments([black] * 12 + [white] * 40)]
        [12, 18, 18, 4]
    """

    def __init__(self, longest: int, block: int) -> None:
        if block < 1 or longest < block:
            raise SettingError(f"longest={longest} and block={block}; wanted a segment of at least one block")
        self.longest = longest - longest % block
        self.block = block
        self.shortest = (block + 1) // 2

    def segments(self, frames: Iterable[T], pixels: Callable[[T], Tensor] | None = None) -> Iterator[list[T]]:
        """Segments of ``frames``, in order and none empty; together they are all of the frames.

        Args:
            frames: Whatever stands for a frame.
            pixels: Gives ``[3, H, W]`` uint8 of one; by default the frames are pixels themselves.
        """
        detector = SceneDetector()

        def starts_of(numbered: Iterable[T]) -> Iterator[tuple[T, int | None]]:
            for frame in numbered:
                yield frame, detector.add(pixels(frame) if pixels else frame)  # type: ignore[arg-type]  # without ``pixels`` T is Tensor

        yield from self._cut(starts_of(frames))

    def lengths(self, num_frames: int, starts: Iterable[int]) -> list[int]:
        """Lengths of the segments of a clip whose scenes begin at ``starts``, as :meth:`segments` would cut it."""
        known = set(starts)
        late = ((index, index - WINDOW if index - WINDOW in known else None) for index in range(num_frames))
        return [len(segment) for segment in self._cut(late)]

    def _cut(self, frames: Iterable[tuple[T, int | None]]) -> Iterator[list[T]]:
        """Segments of frames that come with the index of a scene's start, where one has become known."""
        held: list[T] = []
        begin = 0  # index of the first frame held
        start: int | None = None  # of a new scene, not yet known to be long enough
        for index, (frame, found) in enumerate(frames):
            held.append(frame)
            if start is None and found is not None and found - begin >= self.shortest:
                start = found
            if start is not None and index + 1 - start >= self.shortest:
                yield from self._parts(held[: start - begin])
                del held[: start - begin]
                begin, start = start, None
            elif start is None and len(held) >= self.longest + self.block + WINDOW:
                yield held[: self.longest]
                del held[: self.longest]
                begin += self.longest
        if held:
            yield from self._parts(held)

    def _parts(self, scene: list[T]) -> Iterator[list[T]]:
        """A scene of any length, in segments that are long enough and not too long."""
        while len(scene) > self.longest:
            length = self.longest
            if len(scene) < self.longest + self.block:  # not a last segment of a few frames
                length = -(-len(scene) // 2 // self.block) * self.block
            yield scene[:length]
            scene = scene[length:]
        yield scene


def _watched(frame: Tensor) -> np.ndarray:
    """``[h, w, 3]`` uint8 in BGR, small, as the detector takes it."""
    height, width = frame.shape[1:]
    size = (max(1, round(width * WATCHED_HEIGHT / height)), WATCHED_HEIGHT)
    # [3, H, W] RGB -> [H, W, 3] BGR
    picture = np.ascontiguousarray(frame.flip(0).permute(1, 2, 0).cpu().numpy())
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if height > WATCHED_HEIGHT else picture


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference in hue, saturation and brightness, as the detector measures it."""
    left, right = (cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).astype(np.int32) for picture in (first, second))
    return float(np.abs(left - right).mean())
