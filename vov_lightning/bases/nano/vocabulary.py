"""Captions: a closed vocabulary of attributes that can be measured on a clip.

`nano` is conditioned on seven attributes, each read off the pixels by
`measure` and worded by `describe`, so that a sentence written by a person
("a bright green clip, moving left") and one written by the trainer mean the
same. Order and filler words do not matter; a word outside the vocabulary is
an error, because the model could not honour it.
"""

import math
import re

import torch
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bitstream.vocabulary import ATTRIBUTES, sentence
from vov_lightning.errors import BaseModelError

FILLERS = frozenset(
    ["a", "an", "and", "the", "of", "with", "clip", "video", "image", "photo", "scene", "picture", "moving", "zooming"]
)
"""Words that carry no attribute."""

_LUMA = torch.tensor([0.299, 0.587, 0.114])
_HUE_BOUNDS_DEGREES = (15.0, 40.0, 70.0, 160.0, 200.0, 260.0, 345.0)  # red | orange | ... | purple | red
_HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "red")


def parse(caption: str) -> dict[str, str]:
    """Attributes named by a sentence, e.g. ``{"brightness": "bright", "hue": "green"}``.

    Raises:
        BaseModelError: If a word is unknown or an attribute is named twice.

    Example:
        >>> parse("A bright green clip, moving left")
        {'brightness': 'bright', 'hue': 'green', 'direction': 'left'}
    """
    attribute_of = {word: name for name, words in ATTRIBUTES.items() for word in words}
    found: dict[str, str] = {}
    for word in re.findall(r"[\w'-]+", caption.lower()):
        if word in FILLERS:
            continue
        name = attribute_of.get(word)
        if name is None:
            known = "; ".join(f"{name}: {', '.join(words)}" for name, words in ATTRIBUTES.items())
            raise BaseModelError(f"caption word {word!r} is not in nano's vocabulary; use words of ({known})")
        if found.get(name, word) != word:
            raise BaseModelError(f"caption names {name} twice ({found[name]!r} and {word!r}); keep one of them")
        found[name] = word
    return found


def describe(frames: Tensor) -> str:
    """Sentence that `nano` understands for ``frames`` ``[T, 3, H, W]`` uint8.

    Example:
        >>> describe(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
        'dark, flat, gray, smooth, still'
    """
    return sentence(measure(frames))


def measure(frames: Tensor) -> dict[str, str]:
    """Attributes of ``frames`` ``[T, 3, H, W]`` uint8; direction and zoom only where there is any.

    Brightness and contrast are mean and standard deviation of luma, hue the
    chroma-weighted circular mean, texture the mean gradient at 64 rows, motion
    the mean absolute frame difference, direction and zoom the mean and the
    divergence of four quadrants' shifts by phase correlation (picture content
    moving left is "left"; content growing is "in").
    """
    level = levels(frames)
    found = {
        "brightness": _grade(level["brightness"], (75.0, 125.0), ATTRIBUTES["brightness"]),
        "contrast": _grade(level["contrast"], (38.0, 58.0), ATTRIBUTES["contrast"]),
        "hue": _hue(level["chroma_x"], level["chroma_y"]),
        "texture": _grade(level["texture"], (7.0, 13.0), ATTRIBUTES["texture"]),
        "motion": _grade(level["motion"], (2.0, 7.0), ATTRIBUTES["motion"]),
    }
    if len(frames) == 1:
        return found
    luma = _luma(_shrink(frames))
    shifts = _quadrant_shifts(luma)  # [2, 2, (x, y)] in pixels a frame at 64 rows
    x, y = shifts.mean(dim=(0, 1)).tolist()
    if max(abs(x), abs(y)) > 0.25:
        horizontal = abs(x) >= abs(y)
        found["direction"] = (("left", "right")[x > 0]) if horizontal else (("up", "down")[y > 0])
    growth = (shifts[:, 1, 0] - shifts[:, 0, 0]).mean() + (shifts[1, :, 1] - shifts[0, :, 1]).mean()
    if abs(growth) > 0.5:
        found["zoom"] = "in" if growth > 0 else "out"
    return found


def levels(frames: Tensor) -> dict[str, float]:
    """What `measure` puts into words, as numbers, of ``frames`` ``[T, 3, H, W]`` uint8.

    ``brightness``, ``contrast``, ``texture`` and ``motion`` in grey levels (0 to 255); ``chroma_x`` and ``chroma_y``,
    the mean colour in the plane whose angle is the hue: red at 0 degrees, green at 120, blue at 240.
    """
    small = _shrink(frames)  # [T, 3, h, w] in 0..255
    luma = _luma(small)
    red, green, blue = small.mean(0).flatten(1).mean(1).tolist()
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "texture": float(luma.diff(dim=-1).abs().mean() + luma.diff(dim=-2).abs().mean()) / 2,
        "motion": float(luma.diff(dim=0).abs().mean()) if len(luma) > 1 else 0.0,
        "chroma_x": red - (green + blue) / 2,
        "chroma_y": (green - blue) * 3**0.5 / 2,
    }


def _luma(rgb: Tensor) -> Tensor:
    return torch.einsum("tchw,c->thw", rgb, _LUMA.to(rgb))


def _shrink(frames: Tensor, rows: int = 64) -> Tensor:
    scale = rows / frames.shape[-2]
    columns = max(16, round(frames.shape[-1] * scale))
    return F.interpolate(frames.float(), size=(rows, columns), mode="area")


def _grade(value: float, bounds: tuple[float, float], words: tuple[str, ...]) -> str:
    return words[sum(value > bound for bound in bounds)]


def _hue(chroma_x: float, chroma_y: float) -> str:
    if math.hypot(chroma_x, chroma_y) < 9.0:
        return "gray"
    degrees = math.degrees(math.atan2(chroma_y, chroma_x)) % 360
    return _HUES[sum(degrees > bound for bound in _HUE_BOUNDS_DEGREES)]


def _quadrant_shifts(luma: Tensor) -> Tensor:
    """Mean shift [2, 2, 2] (row of quadrants, column, (x, y)) between successive frames of ``luma`` [T, h, w]."""
    height, width = luma.shape[1] // 2, luma.shape[2] // 2
    quadrants = luma[:, : 2 * height, : 2 * width].unflatten(2, (2, width)).unflatten(1, (2, height))
    quadrants = quadrants.permute(0, 1, 3, 2, 4)  # [T, 2, 2, h, w]
    window = torch.outer(torch.hann_window(height), torch.hann_window(width))
    spectrum = torch.fft.rfft2((quadrants - quadrants.mean(dim=(-2, -1), keepdim=True)) * window)
    cross = spectrum[1:] * spectrum[:-1].conj()
    correlation = torch.fft.irfft2(cross / (cross.abs() + 1.0), s=(height, width)).mean(0)  # [2, 2, h, w]
    peak = correlation.flatten(-2).argmax(-1)
    y, x = peak // width, peak % width
    return torch.stack([_subpixel(correlation, y, x, axis=-1), _subpixel(correlation, y, x, axis=-2)], dim=-1)


def _subpixel(correlation: Tensor, y: Tensor, x: Tensor, axis: int) -> Tensor:
    """Signed position of the peak along ``axis``, refined by a parabola through its neighbours."""
    size = correlation.shape[axis]
    rows, columns = torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")

    def at(offset: int) -> Tensor:
        if axis == -1:
            return correlation[rows, columns, y, (x + offset) % size]
        return correlation[rows, columns, (y + offset) % size, x]

    below, centre, above = at(-1), at(0), at(1)
    curvature = (below - 2 * centre + above).clamp(max=-1e-6)
    position = (x if axis == -1 else y).float()
    position = torch.where(position > size // 2, position - size, position)
    return position + ((below - above) / (2 * curvature)).clamp(-0.5, 0.5)
