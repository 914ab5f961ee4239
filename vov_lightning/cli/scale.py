"""``vov-scale``: add index bits to a .vov file, or drop some."""

from dataclasses import replace
from typing import Literal

from jsonargparse import ArgumentParser

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import HelpFormatter, add_decoder_arguments, command, load_decoder
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import keep_steps, scale
from vov_lightning.errors import SettingError
from vov_lightning.progress import step_bar
from vov_lightning.runs.source import source_of
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video import remove_padding
from vov_lightning.video.compare import psnr_db

DESCRIPTION = """Steer the decoder of a .vov file towards the clip with index bits; the vector stays as it is.

  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.bits 4000        a better picture for 500 bytes
  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.target_bpp 0.2   as good as fits into that rate
  vov-scale in.vov --source clip.mp4 -o out.vov --scaling.target_psnr 24   as small as reaches that quality
  vov-scale in.vov --keep_steps 12 -o out.vov                              a shorter file, without the source"""


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(prog="vov-scale", description=DESCRIPTION, formatter_class=HelpFormatter)
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
    parser.add_class_arguments(ScalingConfig, "scaling")
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    file = VovFile.open(options.file, options.limits)
    if options.keep_steps is not None:
        if options.source is not None or options.steps is not None or options.scaling.enabled:
            raise SettingError("--keep_steps drops indices and takes no --source, --steps or --scaling")
        scaled = keep_steps(file, options.keep_steps)
        scaled.save(options.output)
        print(f"{options.output}: {len(scaled.to_bytes())} of {len(file.to_bytes())} bytes")
        return
    if options.source is None or not options.scaling.enabled:
        raise SettingError(
            "give --source and one of --scaling.bits, --scaling.target_bpp and --scaling.target_psnr to add index "
            "bits, or --keep_steps to drop some"
        )
    base = load_decoder(file, options)
    source = source_of(file, base, options.source, options.start, options.fit)
    target = remove_padding(source.signal, source.padding)

    plain = keep_steps(file, 0)
    if options.steps is not None:
        plain = replace(plain, header=replace(plain.header, steps=options.steps))
    scaled = scale(plain, base, source, options.scaling, progress=step_bar("scale"))
    scaled.save(options.output)
    now_db, before_db = (psnr_db(decode(shown, base), target) for shown in (scaled, file))
    print(
        f"{options.output}: {len(scaled.to_bytes())} bytes, {8 * len(scaled.to_bytes()) / target.num_pixels:.4f} bpp, "
        f"{now_db:.2f} dB; was {len(file.to_bytes())} bytes, {before_db:.2f} dB"
    )
