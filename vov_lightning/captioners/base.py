"""What a captioner must say, and what those that ask a vision-language model share: the prompt, the pictures."""

from abc import ABC, abstractmethod

from PIL import Image
from torch import Tensor

from vov_lightning.errors import SettingError

DEFAULT_PROMPT = (
    "The pictures are frames of one clip, in order; a single picture is a photo. Describe the clip in one paragraph "
    "of at most 60 words, as a prompt from which a text-to-video model could make it again: the subject and how it "
    "looks, what it does and how it moves, the setting, the camera's viewpoint and movement, the light and the style. "
    "Say only what can be seen. Answer with the paragraph alone, in plain English sentences, without quotation marks, "
    "lists or line breaks, and without words such as frame, picture or clip."
)
"""Asks for what video diffusion models are trained on: subject, action, setting, camera, light, style. The answer is
stored in the file, so its length is paid for: 60 words take some 200 bytes."""


class Captioner(ABC):
    """Says in words what a clip shows."""

    @abstractmethod
    def caption(self, frames: Tensor) -> str:
        """Caption of ``frames`` ``[T, 3, H, W]`` uint8 in sRGB: one line, not empty; it is stored in the file.

        A fit asks once. It keeps the answer, so two answers to the same clip may differ.

        Raises:
            CaptionError: If no caption can be had.
            SettingError: If a setting is out of its range.
        """


def check_prompting(prompt: str, frames: int) -> None:
    """Refuse an empty ``prompt`` and fewer than one of ``frames``."""
    if not prompt.strip():
        raise SettingError("prompt is empty, wanted the question to the model; leave it out for the default one")
    if frames < 1:
        raise SettingError(f"frames={frames} is below 1; 4 show the model how a clip moves")


def spread_pictures(frames: Tensor, count: int) -> list[Image.Image]:
    """``count`` pictures of ``frames`` ``[T, 3, H, W]`` uint8, evenly spaced from the first to the last.

    One picture is the middle frame; a clip with fewer than ``count`` frames gives each of them once.

    Example:
        >>> import torch
        >>> frames = torch.arange(9, dtype=torch.uint8).view(9, 1, 1, 1).expand(9, 3, 4, 6)
        >>> [picture.getpixel((0, 0))[0] for picture in spread_pictures(frames, 3)]
        [0, 4, 8]
    """
    last = len(frames) - 1
    count = min(count, len(frames))
    chosen = [last // 2] if count == 1 else [(2 * i * last + count - 1) // (2 * (count - 1)) for i in range(count)]
    return [Image.fromarray(frames[index].permute(1, 2, 0).cpu().contiguous().numpy()) for index in chosen]
