"""``vov-scale``: add index bits to a .vov file, or drop some."""

from dataclasses import replace
from pathlib import Path

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, check_source, command, load_decoder
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import SCALE
from vov_lightning.codec.scale import assemble, code_clip
from vov_lightning.codec.settings import sampler_of
from vov_lightning.codec.steer import keep_steps
from vov_lightning.errors import BitstreamError, SettingError
from vov_lightning.files import check_file
from vov_lightning.progress import ClipBar
from vov_lightning.runs.figures import finite, format_db
from vov_lightning.runs.source import source_of
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig, check_scaling
from vov_lightning.video import remove_padding
from vov_lightning.video.compare import SquaredError
from vov_lightning.video.source import Fit


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(SCALE)
    parser.add_argument("file", type=str, help=SCALE.text_of("file"))
    parser.add_argument("-o", "--output", type=str, required=True, help=SCALE.text_of("--output"))
    parser.add_argument("--source", type=str | None, default=None, help=SCALE.text_of("--source"))
    parser.add_argument("--start", type=int, default=0, help=SCALE.text_of("--start"))
    parser.add_argument("--fit", type=Fit | None, default=None, help=SCALE.text_of("--fit"))
    parser.add_argument("--steps", type=int | None, default=None, help=SCALE.text_of("--steps"))
    parser.add_argument("--keep_steps", type=int | None, default=None, help=SCALE.text_of("--keep_steps"))
    parser.add_class_arguments(ScalingConfig, "scaling")
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    check_file(options.output, error=BitstreamError)
    file = VovFile.open(options.file, options.limits)
    if Path(options.output).suffix.lower() != ".vov":
        raise SettingError(f"output={options.output} is no .vov file, which is what is written; end its name in .vov")
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
    plain = keep_steps(file, 0)
    if options.steps is not None:
        SamplerConfig(steps=options.steps)  # refuses what no sampler takes
        plain = replace(plain, header=replace(plain.header, steps=options.steps))
    check_scaling(sampler_of(plain.header), options.scaling)
    base = load_decoder(file, options)
    source = source_of(file, base, options.source, options.start, options.fit)

    error, parts = SquaredError(), []
    with ClipBar("scale", source.num_frames) as bar:
        segments = bar.over(source.segments(), lambda segment: segment.num_frames)
        longest = source.shape.longest
        for coded in code_clip(plain, base, segments, options.scaling, longest=longest, progress=bar):
            error.add(coded.decoded, remove_padding(coded.source.signal, coded.source.padding))
            parts.append(coded.part)
    scaled = assemble(plain, parts)
    scaled.save(options.output)
    num_bytes, quality = len(scaled.to_bytes()), format_db(finite(error.psnr_db))
    print(
        f"{options.output}: {num_bytes} bytes, {8 * num_bytes / source.num_pixels:.4f} bpp, {quality}; "
        f"was {len(file.to_bytes())} bytes"
    )
