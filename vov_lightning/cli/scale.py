"""``vov-scale``: add index bits to a .vov file, or drop some."""

from dataclasses import replace
from typing import Literal

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, check_source, command, load_decoder
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import SCALE
from vov_lightning.codec.decode import decode
from vov_lightning.codec.scale import keep_steps, scale
from vov_lightning.errors import BitstreamError, SettingError
from vov_lightning.files import check_file
from vov_lightning.progress import step_bar
from vov_lightning.runs.source import source_of
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video import remove_padding
from vov_lightning.video.compare import psnr_db


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(SCALE)
    parser.add_argument("file", type=str, help=SCALE.text_of("file"))
    parser.add_argument("-o", "--output", type=str, required=True, help=SCALE.text_of("--output"))
    parser.add_argument("--source", type=str | None, default=None, help=SCALE.text_of("--source"))
    parser.add_argument("--start", type=int, default=0, help=SCALE.text_of("--start"))
    parser.add_argument("--fit", type=Literal["resize", "crop"], default="resize", help=SCALE.text_of("--fit"))
    parser.add_argument("--steps", type=int | None, default=None, help=SCALE.text_of("--steps"))
    parser.add_argument("--keep_steps", type=int | None, default=None, help=SCALE.text_of("--keep_steps"))
    parser.add_class_arguments(ScalingConfig, "scaling")
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    check_file(options.output, error=BitstreamError)
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
    check_source("--source", options.source)
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
