"""Picture of a run for the README: first, middle and last frame of its preview (source | decoded), enlarged.

python tools/studies/contact_sheet.py runs/sample/preview.mp4 -o vov_lightning/assets/nano/quickstart.png
"""

import argparse

import torch
from PIL import Image

from vov_lightning.video import read_signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preview", help="Video to take frames from.")
    parser.add_argument("-o", "--output", required=True, help="PNG to write.")
    parser.add_argument("--scale", type=int, default=3, help="Enlargement.")
    options = parser.parse_args()

    frames = read_signal(options.preview).frames
    shown = frames[[0, len(frames) // 2, len(frames) - 1]].permute(0, 2, 3, 1)  # [3, H, W, 3]
    sheet = Image.fromarray(torch.cat(list(shown), dim=1).numpy())
    size = (sheet.width * options.scale, sheet.height * options.scale)
    sheet.resize(size, Image.Resampling.BICUBIC).save(options.output)


if __name__ == "__main__":
    main()
