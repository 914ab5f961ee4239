"""The size at which a whole clip is coded, and its frames brought to it as they stream by.

Nothing is cut off and nothing enlarged: the picture keeps its shape, by square pixels where they fit into the source's
width and by the source's own pixel shape where they do not. Sides are even, as players want them.
"""

from fractions import Fraction
from typing import Literal

from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.video.geometry import resample


def output_size(
    height: int, width: int, sample_aspect_ratio: Fraction, wanted_height: int | Literal["source"]
) -> tuple[int, int]:
    """Height and width, both even, at which to code a clip.

    Args:
        height: Height of the source's upright frames.
        width: Width of them.
        sample_aspect_ratio: Width of the source's pixels divided by their height.
        wanted_height: Height in pixels, or ``"source"`` for the source's own height and width. A greater one than the
            source's gives the source's.

    Raises:
        SignalError: If the wanted height is below 2, or the source has a side of one pixel.

    Example:
        >>> output_size(1920, 1080, Fraction(1), 256)
        (256, 144)
        >>> output_size(361, 641, Fraction(1), "source")
        (360, 640)
    """
    if min(height, width) < 2:
        raise SignalError(f"frames of {height}x{width} have no even size; wanted sides of at least 2")
    if wanted_height == "source" or wanted_height >= height:
        return height - height % 2, width - width % 2
    if wanted_height < 2:
        raise SignalError(f"height={wanted_height}; wanted at least 2, or --data.height source")
    new_height = wanted_height - wanted_height % 2
    shown_width = width * sample_aspect_ratio  # in pixels as high as the source's
    new_width = 2 * max(1, round(shown_width * new_height / height / 2))
    return new_height, min(new_width, width - width % 2)


def new_sample_aspect_ratio(
    height: int, width: int, sample_aspect_ratio: Fraction, new_height: int, new_width: int
) -> Fraction:
    """Pixel shape at which the new size looks like the source: its own if the size stays, 1 if that is as good.

    Example:
        >>> new_sample_aspect_ratio(576, 720, Fraction(16, 15), 288, 384)
        Fraction(1, 1)
    """
    if height - new_height in (0, 1) and width - new_width in (0, 1):
        return sample_aspect_ratio
    exact = width * sample_aspect_ratio * new_height / (height * new_width)
    # Square pixels may be off by what rounding to an even width costs.
    return Fraction(1) if abs(exact - 1) * new_width <= 1 else exact.limit_denominator(1000)


def resize_frames(frames: Tensor, height: int, width: int) -> Tensor:
    """Frames ``[n, 3, H, W]`` uint8 at a size of :func:`output_size`: means over areas, as ``geometry.py`` computes.

    An odd side that only became even loses its last row or column; a picture shrunk by one pixel would be blurred.

    Raises:
        SignalError: If that would enlarge a side.
    """
    source_height, source_width = frames.shape[2:]
    if height > source_height or width > source_width:
        raise SignalError(f"frames of {source_height}x{source_width} are not enlarged to {height}x{width}")
    if source_height - height == 1 or source_width - width == 1:
        rows = height if source_height - height == 1 else source_height
        columns = width if source_width - width == 1 else source_width
        frames = frames[:, :, :rows, :columns]
    return resample(frames, height, width)
