"""Render the package's quick-start clip: a camera that pans and zooms over a photograph of a cat.

The photograph is ``skimage.data.chelsea`` (CC0, Stefan van der Walt). A real picture under a synthetic camera has
known motion, no licence to mind, and stays recognisable at the 64x64 pixels of the bundled model. Every output pixel
is the mean of ``SUBSAMPLES**2`` bicubic samples, so that fur does not flicker as the camera moves.

    python tools/make_sample_clip.py

writes ``vov_lightning/assets/sample/chelsea.mp4``. Needs scikit-image (``pip install -e .[dev]``).
"""

import argparse
from fractions import Fraction
from pathlib import Path

import skimage.data
import torch
from torch import Tensor
from torch.nn import functional

from vov_lightning.video import Signal, write_signal

DESTINATION = Path(__file__).parent.parent / "vov_lightning" / "assets" / "sample" / "chelsea.mp4"
NUM_FRAMES = 17
SIZE = 160
FPS = Fraction(12)
CRF = 4
SUBSAMPLES = 4

# The square that the camera sees: centre (x, y) and side in pixels of the 451x300 photograph, first and last.
FIRST_VIEW = (203.0, 150.0, 296.0)
LAST_VIEW = (240.0, 158.0, 224.0)


def camera_path(num_frames: int) -> list[tuple[float, float, float]]:
    """Views from ``FIRST_VIEW`` to ``LAST_VIEW``, starting and ending slowly (smoothstep)."""
    times = torch.linspace(0, 1, num_frames, dtype=torch.float64)
    eased = times**2 * (3 - 2 * times)
    first, last = torch.tensor([FIRST_VIEW, LAST_VIEW], dtype=torch.float64)
    return [tuple(view.tolist()) for view in torch.lerp(first, last, eased[:, None])]


def render(photo: Tensor, view: tuple[float, float, float], size: int) -> Tensor:
    """What the camera sees, ``[3, size, size]`` uint8, of ``photo`` ``[3, H, W]`` uint8."""
    x, y, side = view
    height, width = photo.shape[1:]
    # grid_sample's coordinates run from -1 to 1 over the photograph.
    transform = torch.tensor(
        [[[side / width, 0, 2 * x / width - 1], [0, side / height, 2 * y / height - 1]]], dtype=torch.float64
    )
    grid = functional.affine_grid(transform, [1, 3, size * SUBSAMPLES, size * SUBSAMPLES], align_corners=False)
    samples = functional.grid_sample(
        photo[None].double(), grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return functional.avg_pool2d(samples, SUBSAMPLES)[0].round().clamp(0, 255).byte()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=DESTINATION, help="where to write the .mp4")
    out: Path = parser.parse_args().out
    photo = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)
    frames = torch.stack([render(photo, view, SIZE) for view in camera_path(NUM_FRAMES)])
    write_signal(Signal(frames, FPS, out.stem), out, crf=CRF)
    print(f"{out}: {NUM_FRAMES} frames of {SIZE}x{SIZE}, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
