"""Draws the README's moving picture: the bundled clip beside what the decoder shows of it, as an animated WebP.

    python tools/moving_picture.py --out docs/sample.webp

compresses the clip as ``instant.yaml`` does (no fit) and enlarges both by two. The clip is CC0, so the picture is too.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

import vov_lightning as vov
from vov_lightning.runs.source import bundled_clip, source_of

ENLARGED = 2
GAP = 6
"""White columns between the two."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/sample.webp"))
    parser.add_argument("--target_bpp", type=float, default=0.1, help="Bits per pixel of the whole file.")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        result = vov.compress("sample", folder, options.target_bpp)
        source = source_of(result.file, vov.load_base("nano"), bundled_clip()).target
    assert result.decoded is not None  # 17 frames are one segment
    white = torch.full((source.num_frames, 3, source.height, GAP), 255, dtype=torch.uint8)
    frames = torch.cat([source.frames, white, result.decoded.frames], dim=3).permute(0, 2, 3, 1)
    pictures = [Image.fromarray(frame) for frame in frames.numpy()]
    pictures = [picture.resize((ENLARGED * picture.width, ENLARGED * picture.height)) for picture in pictures]
    there_and_back = pictures + pictures[-2:0:-1]
    milliseconds = round(1000 / float(source.fps))
    there_and_back[0].save(
        options.out, save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, quality=80
    )
    size, db = result.metrics["bytes"], result.metrics["psnr_db"]
    print(f"{options.out}: {options.out.stat().st_size} bytes, of a file of {size} bytes, {db:.1f} dB")


if __name__ == "__main__":
    main()
