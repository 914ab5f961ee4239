"""``vov-decode``: turn a .vov file back into a video or image."""

import sys

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, add_flag, command, load_decoder
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import DECODE
from vov_lightning.codec.play import frames_between, play
from vov_lightning.codec.writing import writer_of
from vov_lightning.errors import BitstreamError
from vov_lightning.sampling.sampler import check_stop_at


@command
def main(args: list[str] | None = None) -> int:
    parser = command_parser(DECODE)
    parser.add_argument("file", type=str, help=DECODE.text_of("file"))
    parser.add_argument("-o", "--output", type=str, required=True, help=DECODE.text_of("--output"))
    parser.add_argument("--from", type=float | None, default=None, help=DECODE.text_of("--from"))
    parser.add_argument("--to", type=float | None, default=None, help=DECODE.text_of("--to"))
    parser.add_argument("--stop_at", type=float, default=0.0, help=DECODE.text_of("--stop_at"))
    add_flag(parser, "strict", DECODE.text_of("--strict"))
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    check_stop_at(options.stop_at)
    file = VovFile.open(options.file, options.limits, strict=options.strict)
    if all(segment.damage for segment in file.segments):
        raise BitstreamError(f"{options.file}: {'; '.join(file.damage)}")
    header = file.header
    frames = frames_between(file, options["from"], options.to)
    writer = writer_of(file, options.output, frames)
    for line in file.damage:
        print(f"vov-decode: {options.file}: {line}", file=sys.stderr)
    base = load_decoder(file, options)
    with writer:
        for pictures in play(file, base, frames, stop_at=options.stop_at, shown=True):
            writer.write(pictures)
            del pictures  # the next ones are decoded in their memory
    left_out = f"; {writer.left_out}" if writer.left_out else ""
    print(f"{options.output}: {len(frames)} frames, {header.width}x{header.height}{left_out}")
    return 1 if file.damage else 0
