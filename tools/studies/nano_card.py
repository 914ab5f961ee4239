"""Figures of nano's model card, on clips that were never trained on, and a sheet of samples.

Autoencoder: PSNR and LPIPS (AlexNet) of every clip, as `vov-fit` brings it to size. Transformer: flow-matching loss on
a fixed grid, against an untrained one. Text: for each attribute, how many samples show the word that their caption
names, captions being those of the clips, and how many samples without a caption show it by chance.

    python tools/studies/nano_card.py --clips DIR --sheet samples.png [--weights DIR]
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.nano.vocabulary import describe, measure, parse
from vov_lightning.codec.decode import guided_velocity
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.objectives import Target, flow_losses
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import initial_noise, integrate
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

TIMES = [0.05 + 0.1 * number for number in range(10)]
SHEET_CAPTIONS = (
    "",
    "bright blue smooth",
    "dark orange",
    "dim green detailed",
    "bright gray flat, still",
    "dim red contrasty",
    "fast, moving left",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--weights", default="", help="Folder of the model; the bundled one when left out.")
    parser.add_argument("--sheet", type=Path, required=True, help="PNG to write: a row a caption, eight seeds.")
    parser.add_argument("--seeds", type=int, default=8, help="Samples a caption.")
    parser.add_argument("--guidance", type=float, default=3.0, help="Classifier-free guidance of captioned samples.")
    options = parser.parse_args()

    base = Nano(options.weights)
    paths = sorted(options.clips.glob("*.mp4"))
    clips = [SignalData(str(path), frames=9, height=64, width=64).load(base).clip.first.signal for path in paths]
    report_autoencoder(base, [path.stem for path in paths], clips)
    report_transformer(base, clips)
    with torch.no_grad():
        report_captions(base, clips, options.seeds, options.guidance)
        draw_sheet(base, options.guidance).save(options.sheet)


def report_autoencoder(base: Nano, names: list[str], clips: list[Signal]) -> None:
    lpips = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
    rows = []
    for name, clip in zip(names, clips, strict=True):
        latents = base.encode(clip.frames)
        frames = base.decode(latents, clip.num_frames)
        rows.append(
            (
                psnr_db(Signal(frames, clip.fps, name), clip),
                float(lpips(frames.float() / 255, clip.frames.float() / 255)),
            )
        )
        print(f"{name:16s} PSNR {rows[-1][0]:6.2f} dB  LPIPS {rows[-1][1]:.3f}")
    print(f"{'mean':16s} PSNR {mean(row[0] for row in rows):6.2f} dB  LPIPS {mean(row[1] for row in rows):.3f}")
    print(f"latent entries a pixel: {latents.numel() / clip.num_pixels:.4f}")


@torch.no_grad()
def report_transformer(base: Nano, clips: list[Signal]) -> None:
    torch.manual_seed(0)
    models = {"nano": base, "untrained": Nano.untrained(base.config)}
    for name, model in models.items():
        losses = []
        for seed, clip in enumerate(clips):
            latents = base.encode(clip.frames)
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
            velocity = model.velocity(describe(clip.frames))
            first = torch.zeros(1, dtype=torch.long)
            target = Target(latents, base.latent_weights(latents), noise, [], velocity, velocity)
            losses.append(
                [flow_losses(target, torch.tensor([t]), noise, first, torch.Generator()).item() for t in TIMES]
            )
        by_time = torch.tensor(losses).mean(0)
        print(f"flow loss, {name}: mean {by_time.mean():.3f}; by t " + " ".join(f"{loss:.2f}" for loss in by_time))


def report_captions(base: Nano, clips: list[Signal], seeds: int, guidance: float) -> None:
    captions = [parse(describe(clip.frames)) for clip in clips]
    free = [measure(frames) for frames in sample(base, "", range(seeds * len(clips)), 1.0)]
    shown: dict[str, list[bool]] = defaultdict(list)
    chance: dict[str, list[bool]] = defaultdict(list)
    for number, (caption, clip) in enumerate(zip(captions, clips, strict=True)):
        own_seeds = range(seeds * number, seeds * (number + 1))
        for frames in sample(base, describe(clip.frames), own_seeds, guidance):
            found = measure(frames)
            for name, word in caption.items():
                shown[name].append(found.get(name) == word)
        for name, word in caption.items():
            chance[name] += [found.get(name) == word for found in free]
    for name, hits in shown.items():
        print(f"{name:12s} shown {mean(hits):5.0%} of {len(hits):3d}, by chance {mean(chance[name]):5.0%}")


def sample(base: Nano, caption: str, seeds: range, guidance: float) -> list[Tensor]:
    """Clips [9, 3, 64, 64] uint8, one a seed, by 25 steps."""
    shape = base.latent_shape(base.default_size)
    noise = torch.cat([initial_noise(seed, shape) for seed in seeds])
    times = SamplerConfig(steps=25).times().tolist()
    latents = integrate(guided_velocity(base, caption, guidance), noise, times)
    return [base.decode(latent[None], base.default_size.frames) for latent in latents]


def draw_sheet(base: Nano, guidance: float, scale: int = 2) -> Image.Image:
    """A row a caption: the first frames of eight seeds."""
    rows = [torch.cat([clip[0] for clip in sample(base, text, range(8), guidance)], dim=-1) for text in SHEET_CAPTIONS]
    height, width = rows[0].shape[-2:]
    label = 12
    sheet = Image.new("RGB", (width * scale, (height * scale + label) * len(rows)), "white")
    for number, (row, text) in enumerate(zip(rows, SHEET_CAPTIONS, strict=True)):
        top = number * (height * scale + label)
        ImageDraw.Draw(sheet).text((2, top), text or "(no caption)", fill="black")
        image = Image.fromarray(row.permute(1, 2, 0).contiguous().numpy())
        sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.BICUBIC), (0, top + label))
    return sheet


if __name__ == "__main__":
    main()
