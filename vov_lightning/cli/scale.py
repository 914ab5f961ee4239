"""``vov-scale``: add index bits to a .vov file, or drop some."""

from dataclasses import replace
from functools import partial
from typing import Literal

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from vov_lightning.bases import BaseModel, load_base
from vov_lightning.bitstream import VovFile
from vov_lightning.cli.common import add_decoder_arguments, command
from vov_lightning.codec import decode
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import psnr_db
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.scaling import keep_steps, scale, scale_to_bpp, scale_to_quality
from vov_lightning.video import Fitted, remove_padding

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
    parser.add_argument(
        "--fit", type=Literal["resize", "crop"], default="resize", help="How the source was brought to size."
    )
    parser.add_argument(
        "--steps",
        type=int | None,
        default=None,
        help="Denoising steps; empty for the file's own, which a vector fitted by Reconstruction needs.",
    )
    parser.add_argument("--keep_steps", type=int | None, default=None, help="Keep the indices of the first steps only.")
    parser.add_argument("--target_bpp", type=float | None, default=None, help="Bits per pixel of the whole file.")
    parser.add_argument("--target_psnr", type=float | None, default=None, help="PSNR in decibels to reach, by search.")
    parser.add_class_arguments(ScalingConfig, "scaling")
    add_decoder_arguments(parser)
    options = parser.instantiate_classes(parser.parse_args(args))

    file = VovFile.open(options.file, options.limits)
    if options.keep_steps is not None:
        if options.source is not None or options.steps is not None or goals(options):
            raise SettingError("--keep_steps drops indices and takes no --source, --steps, --scaling or target")
        scaled = keep_steps(file, options.keep_steps)
        scaled.save(options.output)
        print(f"{options.output}: {len(scaled.to_bytes())} of {len(file.to_bytes())} bytes")
        return
    if options.source is None or goals(options) != 1:
        raise SettingError(
            "give --source and one of --scaling.bits, --target_bpp and --target_psnr to add index bits, "
            "or --keep_steps to drop some"
        )
    base = (options.get("base") or load_base(file.header.base_name)).to(options.device)
    source = source_of(file, base, options.source, options.start, options.fit)
    target = remove_padding(source.signal, source.padding)

    def quality(candidate: VovFile) -> float:
        return psnr_db(decode(candidate, base), target)

    plain = file
    if options.steps is not None:
        plain = VovFile(replace(keep_steps(file, 0).header, steps=options.steps), file.caption, file.symbols)
    what = (plain, base, source.signal, options.scaling)
    if options.target_bpp is not None:
        scaled = scale_to_bpp(*what, options.target_bpp)
    elif options.target_psnr is not None:
        scaled = scale_to_quality(*what, quality, options.target_psnr)
    else:
        scaled = scale(*what, progress=partial(tqdm, desc="scale", unit="step", leave=False))
    scaled.save(options.output)
    print(
        f"{options.output}: {len(scaled.to_bytes())} bytes, {8 * len(scaled.to_bytes()) / target.num_pixels:.4f} bpp, "
        f"{quality(scaled):.2f} dB; was {len(file.to_bytes())} bytes, {quality(file):.2f} dB"
    )


def goals(options: Namespace) -> int:
    """How many of the ways to say how many index bits are given."""
    return bool(options.scaling.bits) + (options.target_bpp is not None) + (options.target_psnr is not None)


def source_of(file: VovFile, base: BaseModel, path: str, start: int, fit: Literal["resize", "crop"]) -> Fitted:
    """The source at the file's size, as the file's fit saw it.

    Raises:
        SettingError: If it cannot be brought to the file's size.
    """
    header = file.header
    height, width = header.height, header.width
    if header.pad_frames or header.pad_height or header.pad_width:
        data = SignalData(path, start, header.frames, fit="pad", caption=file.caption)
    else:
        data = SignalData(path, start, header.frames, height, width, fit, caption=file.caption)
    try:
        source = data.load(base)[0]
    except SignalError as error:
        raise SettingError(
            f"the source cannot be brought to the file's {header.frames} frames of {width}x{height}: {error}"
        ) from error
    return source
