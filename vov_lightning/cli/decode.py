"""``vov-decode``: turn a .vov file back into a video or image."""

import sys

from jsonargparse import ArgumentParser

from vov_lightning.bitstream import VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import HelpFormatter, add_decoder_arguments, add_flag, command, load_decoder
from vov_lightning.codec.play import frame_times, frames_between, play
from vov_lightning.video import ClipWriter, check_output
from vov_lightning.video.sound import cut_sound

DESCRIPTION = """Decode a .vov file. Needs the file and the base model that it names, nothing else.

  vov-decode x.vov -o x.mp4                       video with its sound; .mkv takes every kind of sound
  vov-decode x.vov -o frames/                     one lossless PNG a frame
  vov-decode x.vov -o part.mp4 --from 4 --to 6.5  two and a half seconds; decodes only what they need

A damaged segment is said, its last picture before stands still, and the exit status is 1."""


@command
def main(args: list[str] | None = None) -> int:
    parser = ArgumentParser(prog="vov-decode", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("file", type=str, help="The .vov file.")
    parser.add_argument(
        "-o", "--output", type=str, required=True, help="A .mp4, .mkv, .png (images), or a folder for one PNG a frame."
    )
    parser.add_argument("--from", type=float | None, default=None, help="Seconds from which on; empty for all.")
    parser.add_argument("--to", type=float | None, default=None, help="Seconds up to which; empty for all.")
    parser.add_argument(
        "--stop_at", type=float, default=0.0, help="Stop sampling at this time in [0, 1): less noise, less detail."
    )
    add_flag(parser, "strict", "Refuse a damaged file rather than decode what is left of it.")
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    file = VovFile.open(options.file, options.limits, strict=options.strict)
    header = file.header
    frames = frames_between(file, options["from"], options.to)
    times = frame_times(file)
    begin, end = times[frames.start], [*times, file.duration][frames.stop]
    sound = file.sound
    if sound and len(frames) < header.frames:
        sound = cut_sound(sound, begin, end)
    check_output(options.output, len(frames), header.height, header.width, header.fps)
    writer = ClipWriter(
        options.output,
        header.height,
        header.width,
        header.fps,
        times=[times[number] - begin for number in frames] if file.times else None,
        sample_aspect_ratio=header.sample_aspect_ratio,
        sound=sound,
    )
    for line in file.damage:
        print(f"vov-decode: {options.file}: {line}", file=sys.stderr)
    base = load_decoder(file, options)
    with writer:
        for pictures in play(file, base, frames, stop_at=options.stop_at, shown=True):
            writer.write(pictures)
    left_out = f"; {writer.left_out}" if writer.left_out else ""
    print(f"{options.output}: {len(frames)} frames, {header.width}x{header.height}{left_out}")
    return 1 if file.damage else 0
