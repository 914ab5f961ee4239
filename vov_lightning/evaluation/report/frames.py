"""Frames as WebP images for the report's player: the exact frames, not a video that was coded once more."""

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from vov_lightning.errors import SignalError

LOSSLESS_PIXELS = 352 * 288
QUALITY = 90


def check_frames(
    points: list[Mapping[str, Any]], frames: Mapping[int, Tensor], sources: Mapping[str, Tensor]
) -> dict[str, list[int]]:
    """The ids of the points with frames, by clip, after checking that all frames of a clip can be shown in step.

    Raises:
        SignalError: If frames are not ``[T, 3, H, W]`` uint8 of their point's size, belong to no point, or lack their
            clip's source.
    """
    known = {point["id"]: point for point in points}
    by_clip: dict[str, list[int]] = {}
    for number, tensor in frames.items():
        if number not in known:
            raise SignalError(f"frames of point {number}, which results['points'] does not have")
        point = known[number]
        clip = point["clip"]
        if clip not in sources:
            raise SignalError(f"point {number} has frames, but sources lack its clip {clip!r}; give both or neither")
        wanted = [point["frames"], 3, point["height"], point["width"]]
        for name, found in ((f"point {number}", tensor), (f"the source {clip!r}", sources[clip])):
            if list(found.shape) != wanted or str(found.dtype) != "torch.uint8":
                raise SignalError(
                    f"frames of {name} are {found.dtype} of shape {list(found.shape)}, "
                    f"wanted torch.uint8 of shape {wanted}, as point {number} of {clip!r} says"
                )
        by_clip.setdefault(clip, []).append(number)
    return by_clip


def is_lossless(frames: Tensor) -> bool:
    """Whether ``[T, 3, H, W]`` is small enough to be carried without loss."""
    return frames.shape[-1] * frames.shape[-2] <= LOSSLESS_PIXELS


def encode_frames(frames: Tensor) -> list[str]:
    """One WebP a frame of ``[T, 3, H, W]`` uint8, in base64: without loss if small, of quality 90 otherwise."""
    quality: dict[str, Any] = {"lossless": True, "quality": 80} if is_lossless(frames) else {"quality": QUALITY}
    images = []
    for frame in frames.permute(0, 2, 3, 1).cpu().contiguous().numpy():  # [H, W, 3]
        buffer = io.BytesIO()
        Image.fromarray(frame).save(
            buffer, "WEBP", method=2, **quality
        )  # effort 2 of 6: a quarter of the time, 2 % more
        images.append(base64.b64encode(buffer.getvalue()).decode("ascii"))
    return images
