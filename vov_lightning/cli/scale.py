"""``vov-scale``: add index bits to a .vov file, or drop some."""

from dataclasses import replace
from functools import partial
from typing import Literal

from jsonargparse import ArgumentParser
from tqdm import tqdm

from vov_lightning.bases import BaseModel, load_base
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.cli.common import command
from vov_lightning.codec import decode
from vov_lightning.errors import SettingError
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import psnr_db
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.scaling import keep_steps, scale, scale_to_bpp, scale_to_quality
from vov_lightning.video import Fitted, remove_padding

FitMode = Literal["resize", "crop", "pad"]
DESCRIPTION = """Steer the decoder of a .vov file towards the clip with index bits; the vector stays as it is.

  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.bits 4000    a better picture for 500 bytes
  vov-scale in.vov --source clip.mp4 -o out.vov --target_bpp 0.2       as good as fits into that rate
  vov-scale in.vov --source clip.mp4 -o out.vov --target_psnr 24       as small as reaches that quality
  vov-scale in.vov --keep_steps 12 -o out.vov                          a shorter file, without the source"""


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(prog="vov-scale", description=DESCRIPTION)
    parser.add_argument("file", type=str, help="The .vov file.")
    parser.add_argument("-o", "--output", type=str, required=True, help="The .vov file to write.")
    parser.add_argument("--source", type=str | None, default=None, help="The clip that was compressed: file or folder.")
    parser.add_argument("--start", type=int, default=0, help="First frame of the source.")
    parser.add_argument("--fit", type=FitMode, default="resize", help="How the source was brought to size.")
    parser.add_argument("--steps", type=int | None, default=None, help="Denoising steps; empty for the file's own.")
    parser.add_argument("--keep_steps", type=int | None, default=None, help="Keep the indices of the first steps only.")
    parser.add_argument("--target_bpp", type=float | None, default=None, help="Bits per pixel of the whole file.")
    parser.add_argument("--target_psnr", type=float | None, default=None, help="PSNR in decibels to reach, by search.")
    parser.add_class_arguments(ScalingConfig, "scaling")
    parser.add_argument("--device", type=str, default="cpu", help="Where the base model runs: cpu, cuda, cuda:1 ...")
    parser.add_subclass_arguments(
        BaseModel, "base", required=False, help="Base model by class path, in place of the registered one."
    )
    parser.add_class_arguments(Limits, "limits")
    options = parser.instantiate_classes(parser.parse_args(args))
    if (options.source is None) == (options.keep_steps is None):
        raise SettingError("give --source to add index bits, or --keep_steps to drop some, and not both")
    goals = [bool(options.scaling.bits), options.target_bpp is not None, options.target_psnr is not None]
    if options.source is not None and sum(goals) != 1:
        raise SettingError("give one of --scaling.bits, --target_bpp and --target_psnr: how many index bits there are")

    file = VovFile.open(options.file, options.limits)
    if options.steps is not None:
        SamplerConfig(steps=options.steps)
        file = VovFile(replace(keep_steps(file, 0).header, steps=options.steps), file.caption, file.symbols)
    if options.keep_steps is not None:
        if options.keep_steps < 0:
            raise SettingError(f"keep_steps={options.keep_steps} is below 0; 0 drops all indices")
        shorter = keep_steps(file, options.keep_steps)
        shorter.save(options.output)
        print(f"{options.output}: {len(shorter.to_bytes())} of {len(file.to_bytes())} bytes")
        return
    base = (options.get("base") or load_base(file.header.base_name)).to(options.device)
    source = source_of(file, base, options.source, options.start, options.fit)
    target = remove_padding(source.signal, source.padding)

    def quality(candidate: VovFile) -> float:
        return psnr_db(decode(candidate, base), target)

    what = (file, base, source.signal, options.scaling)
    if options.target_bpp is not None:
        scaled = scale_to_bpp(*what, options.target_bpp, target.num_pixels)
    elif options.target_psnr is not None:
        scaled = scale_to_quality(*what, quality, options.target_psnr)
    else:
        scaled = scale(*what, progress=partial(tqdm, desc="scale", unit="step", leave=False))
    scaled.save(options.output)
    before, after = quality(file), quality(scaled)
    print(
        f"{options.output}: {len(scaled.to_bytes())} bytes, {8 * len(scaled.to_bytes()) / target.num_pixels:.4f} bpp, "
        f"{after:.2f} dB; was {len(file.to_bytes())} bytes, {before:.2f} dB"
    )


def source_of(file: VovFile, base: BaseModel, path: str, start: int, fit: FitMode) -> Fitted:
    """The source at the file's size, as the file's fit saw it."""
    header = file.header
    height, width = (None, None) if fit == "pad" else (header.height, header.width)
    return SignalData(path, start, header.frames, height, width, fit, caption=file.caption).load(base)[0]
