"""``vov-decode``: turn a .vov file back into a video or image."""

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, command, load_decoder
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import DECODE
from vov_lightning.codec.decode import decode
from vov_lightning.progress import step_bar
from vov_lightning.video import check_output, write_signal


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(DECODE)
    parser.add_argument("file", type=str, help=DECODE.text_of("file"))
    parser.add_argument("-o", "--output", type=str, required=True, help=DECODE.text_of("--output"))
    parser.add_argument("--stop_at", type=float, default=0.0, help=DECODE.text_of("--stop_at"))
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    file = VovFile.open(options.file, options.limits)
    header = file.header
    check_output(options.output, header.frames, header.height, header.width, header.fps)
    base = load_decoder(file, options)
    signal = decode(file, base, stop_at=options.stop_at, progress=step_bar("decode"))
    write_signal(signal, options.output)
    print(f"{options.output}: {signal.num_frames} frames, {signal.width}x{signal.height}")
