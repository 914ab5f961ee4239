"""The thing that is coded: frames, a frame rate and a name.

Everything upstream of the base model's autoencoder speaks this one type, so nothing downstream ever guesses whether
pixels lie in [0, 1] or which axis holds the colours. An image is a signal of one frame.
"""

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vov_lightning.errors import SignalError


@dataclass(frozen=True, eq=False, repr=False)
class Signal:
    """A video or an image, checked when it is made.

    Args:
        frames: ``[T, 3, H, W]`` uint8, RGB in [0, 255] with sRGB's transfer curve; ``T``, ``H`` and ``W`` at least 1.
        fps: Frames per second as an exact fraction, above 0; 1 for an image.
        name: What to call it in reports and file names; not empty.

    Raises:
        SignalError: If one of them is anything else.

    Example:
        >>> clip = Signal(torch.zeros(5, 3, 32, 48, dtype=torch.uint8), Fraction(30000, 1001), "black")
        >>> clip
        Signal('black', 5 frames, 32x48, 30000/1001 fps)
        >>> clip.num_pixels
        7680
    """

    frames: Tensor
    fps: Fraction
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.frames, Tensor) or self.frames.dtype != torch.uint8:
            found = getattr(self.frames, "dtype", type(self.frames).__name__)
            raise SignalError(f"frames are {found}, wanted a torch.uint8 tensor of RGB values in [0, 255]")
        shape = list(self.frames.shape)
        if len(shape) != 4 or shape[1] != 3:
            raise SignalError(f"frames have shape {shape}, wanted [T, 3, H, W] (an image has T = 1)")
        if 0 in shape:
            raise SignalError(f"frames have shape {shape}; every side must be at least 1")
        if not isinstance(self.fps, Fraction) or self.fps <= 0:
            raise SignalError(f"fps={self.fps!r}, wanted a fractions.Fraction above 0, such as Fraction(30000, 1001)")
        if not isinstance(self.name, str) or not self.name:
            raise SignalError(f"name={self.name!r}, wanted a string that is not empty")

    def __repr__(self) -> str:
        frames = "1 frame" if self.is_image else f"{self.num_frames} frames"
        return f"Signal({self.name!r}, {frames}, {self.height}x{self.width}, {self.fps} fps)"

    @property
    def num_frames(self) -> int:
        """Number of frames ``T``."""
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        """Height ``H`` in pixels."""
        return self.frames.shape[2]

    @property
    def width(self) -> int:
        """Width ``W`` in pixels."""
        return self.frames.shape[3]

    @property
    def num_pixels(self) -> int:
        """``T * H * W``, the number that bits per pixel divide by."""
        return self.num_frames * self.height * self.width

    @property
    def is_image(self) -> bool:
        """Whether there is exactly one frame."""
        return self.num_frames == 1
