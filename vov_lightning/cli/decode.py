"""``vov-decode``: turn a .vov file back into a video or image."""

from jsonargparse import ArgumentParser

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, command, load_decoder
from vov_lightning.codec.decode import decode
from vov_lightning.progress import step_bar
from vov_lightning.video import check_output, write_signal


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(
        prog="vov-decode",
        description="Decode a .vov file. Needs the file and the base model that it names, nothing else.",
    )
    parser.add_argument("file", type=str, help="The .vov file.")
    parser.add_argument(
        "-o", "--output", type=str, required=True, help="A .mp4, a .png (images), or a folder for one PNG a frame."
    )
    parser.add_argument(
        "--stop_at", type=float, default=0.0, help="Stop sampling at this time in [0, 1): less noise, less detail."
    )
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    file = VovFile.open(options.file, options.limits)
    header = file.header
    check_output(options.output, header.frames, header.height, header.width, header.fps)
    base = load_decoder(file, options)
    signal = decode(file, base, stop_at=options.stop_at, progress=step_bar("decode"))
    write_signal(signal, options.output)
    print(f"{options.output}: {signal.num_frames} frames, {signal.width}x{signal.height}")
