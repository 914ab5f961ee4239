"""What a clip is to those who read it: frames one at a time, and what is known of them beforehand.

:func:`~vov_lightning.video.stream.open_clip` makes the readers; this module is what they have in common.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vov_lightning.errors import SignalError


class TimedFrame(NamedTuple):
    """One picture: ``pixels`` are ``[3, H, W]`` uint8 RGB, ``time`` is in seconds since the clip's first frame."""

    pixels: Tensor
    time: Fraction


class ClipReader(ABC):
    """A clip that is read one frame at a time. A context manager.

    Attributes:
        path: Where it lies.
        name: Its file's or folder's name without ending.
        fps: Frames per second; the average of the timestamps where the rate varies.
        is_constant_rate: Whether frame ``i`` is shown at ``i / fps``.
        sample_aspect_ratio: Width of a pixel over its height, of the upright picture; 1 for square ones.
        has_sound: Whether the file holds sound.
    """

    path: Path
    name: str
    fps: Fraction
    is_constant_rate: bool = True
    sample_aspect_ratio: Fraction = Fraction(1)
    has_sound: bool = False

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels, upright and cropped as the file asks."""

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return self.size[1]

    @property
    @abstractmethod
    def num_frames(self) -> int:
        """How many frames the clip has, those included that a damaged file announces and does not hold.

        Counted without decoding where the container's packets are frames, else (AVI, MPEG-TS, VP8, ...) by decoding
        once.
        """

    @property
    def times(self) -> list[Fraction]:
        """When each frame is shown, in seconds since the first; those that a damaged file lacks are left out."""
        return [index / self.fps for index in range(self.num_frames)]

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[TimedFrame]:
        """Frames from number ``start`` on: at most ``count``, or all if ``None``; may be called repeatedly.

        A video is decoded from its beginning whatever ``start`` is, so read a long one in a single pass.

        Raises:
            SignalError: Before the first frame if ``start`` or ``count`` is out of range or the clip is cut short of
                what is wanted, and on the way if a frame is damaged, transparent or of another size.
        """
        check_part(start, count)
        return self._checked(start, count)

    def _checked(self, start: int, count: int | None) -> Iterator[TimedFrame]:
        is_empty = True
        for frame in self._frames(start, count):
            is_empty = False
            yield frame
        if is_empty:
            raise ends_before(self.path, start, self.num_frames)

    @abstractmethod
    def _frames(self, start: int, count: int | None) -> Iterator[TimedFrame]:
        """Frames as of :meth:`frames`; none if ``start`` is beyond the end."""

    def __enter__(self) -> "ClipReader":
        return self

    def __exit__(self, *_: object) -> None:
        # The iterator of frames() closes the file when it ends; between two of them nothing is open.
        return None


def check_part(start: int, count: int | None) -> None:
    """Raise if a clip can have no ``count`` frames from number ``start`` on."""
    if start < 0:
        raise SignalError(f"start={start} is negative; frames count from 0")
    if count is not None and count < 1:
        raise SignalError(f"max_frames={count}; wanted at least 1, or None for all frames")


def ends_before(path: Path, start: int, num_frames: int) -> SignalError:
    """The refusal of a ``start`` that lies beyond the last frame."""
    if num_frames == 0:
        return SignalError(f"{path} holds no frames; the file is damaged or truncated")
    return SignalError(f"start={start} is beyond the end of {path}, which has {num_frames} frame(s), counted from 0")
