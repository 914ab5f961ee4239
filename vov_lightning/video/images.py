"""Still images to RGB bytes, through Pillow.

Every mode that Pillow knows ends as 8-bit RGB: grey is repeated, palettes are looked up, 16-bit samples keep their
high byte (Pillow's own plain conversion clips them at 255), CMYK and the like take Pillow's conversion without colour
profile, and the orientation that a camera noted (EXIF) is applied. Alpha that changes nothing is dropped; alpha that
does is refused, because no one but the user knows what lies behind the picture.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vov_lightning.errors import SignalError

BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value of the second

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def transparency_error(path: Path, flattened: str, input_options: str = "", filters: str = "-vf {}") -> SignalError:
    """The refusal of a file with transparent pixels, with the command that makes ``flattened`` out of it."""
    filters = filters.format("premultiply=inplace=1,format=gbrp")
    command = f"ffmpeg {input_options}-i {path.name} {filters} {flattened}"
    return SignalError(f"{path} has transparent pixels, which are not coded; flatten it first, onto black: {command}")


def read_image(path: Path) -> Tensor:
    """Pixels of an image file, ``[3, H, W]`` uint8.

    Args:
        path: An existing file.

    Raises:
        SignalError: If the file is no image, is damaged, has transparent pixels, float or 32-bit samples, or holds
            several pictures (an animation, a multi-page TIFF).
    """
    try:
        with Image.open(path) as image:
            # Phones store JPEG as MPO: the photograph, then previews and depth maps that nobody means.
            pictures = getattr(image, "n_frames", 1)
            if image.format != "MPO" and pictures > 1:
                raise SignalError(
                    f"{path} holds {pictures} pictures and only stills are read as an image; "
                    "convert it to .mp4 or to a folder of PNG files first"
                )
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image, path)
    except SignalError:
        raise
    except Exception as cause:  # damaged files raise anything from OSError to struct.error inside Pillow
        raise SignalError(
            f"{path} cannot be read as an image ({cause}); wanted an undamaged {', '.join(IMAGE_ENDINGS)} file"
        ) from cause
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """``image`` in mode RGB; ``path`` is for messages."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        samples = _sixteen_bits(image)
        if "transparency" in image.info and (samples == image.info["transparency"]).any():
            raise transparency_error(path, f"{path.stem}_flat.png")
        return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise SignalError(
            f"{path} has {'32-bit integer' if image.mode == 'I' else 'floating-point'} samples of unknown range; "
            "convert it to 8 or 16 bits first"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            raise transparency_error(path, f"{path.stem}_flat.png")
    return image.convert("RGB")


def _sixteen_bits(image: Image.Image) -> np.ndarray:
    """``[H, W]`` int64 in [0, 65535], 0 is black.

    Pillow unpacks the 9 to 16 bits of a grey TIFF and leaves two tags to its users: how many bits a sample has, and
    that 0 may be white.
    """
    samples = np.asarray(image).astype(np.int64)
    tags = getattr(image, "tag_v2", {})
    if image.format == "TIFF":
        bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
        samples = samples << (16 - bits)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            samples = (((1 << bits) - 1) << (16 - bits)) - samples
    return samples
