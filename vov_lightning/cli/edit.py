"""``vov-edit``: decode a .vov file under another prompt, at another size, or several files as one."""

from dataclasses import fields

import torch
from jsonargparse import Namespace, set_parsing_settings
from PIL.Image import Image
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.memory import check_device
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_decoder_arguments, base_of, command, parse_size
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import EDIT
from vov_lightning.codec.decode import generated_size, place
from vov_lightning.codec.edit import EditConfig, check_request, edit, keeps_indices, negative_of, padding_of
from vov_lightning.codec.writing import writer_of
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.files import check_file
from vov_lightning.progress import step_bar
from vov_lightning.video import Signal, check_output, contact_sheet, write_sheet, write_signal

OWN = {field.name for field in fields(EditConfig)} - {"strength", "size"}
"""Settings of `EditConfig` that options give as they are."""
SHEET_SIDE = 128
"""Pixels to which a sheet enlarges the longer side of small frames, about."""


@command
def main(args: list[str] | None = None) -> None:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # they are the help of EditConfig's settings
    parser = command_parser(EDIT)
    parser.add_argument("files", type=str, nargs="+", help=EDIT.text_of("files"))
    parser.add_argument("-o", "--output", type=str, required=True, help=EDIT.text_of("--output"))
    parser.add_argument("--prompt", type=str, nargs="+", default=None, help=EDIT.text_of("--prompt"))
    parser.add_argument(
        "--strength", type=float, nargs="+", default=[EditConfig.strength], help=EDIT.text_of("--strength")
    )
    parser.add_argument("--weights", type=float, nargs="+", default=None, help=EDIT.text_of("--weights"))
    parser.add_argument("--size", type=str | None, default=None, help=EDIT.text_of("--size"))
    parser.add_argument("--frames", type=int | None, default=None, help=EDIT.text_of("--frames"))
    parser.add_class_arguments(EditConfig, skip={"strength", "size"})
    add_decoder_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))

    files = [VovFile.open(path, options.limits) for path in options.files]
    prompts = options.prompt or [files[0].caption]
    configs = configs_of(options, files[0])
    several = len(prompts) * len(configs) > 1
    check_request(files, configs[0], options.weights or [1.0] * len(files))
    if options.strength != [1.0] and not any(file.header.k for file in files):
        raise SettingError(
            f"strength={options.strength} has no effect on a file without a vector (k = 0); leave it out"
        )
    check_destination(options.output, files[0].header, len(prompts), configs)
    size = configs[0].size
    assert size is not None
    writer = None  # of the clip that the file's sound and times belong to
    if not several and size == generated_size(files[0].header):
        writer = writer_of(files[0], options.output, range(files[0].header.frames))
    options.limits.check("output_samples", 3 * size.frames * size.height * size.width)
    check_device(options.device)
    base = base_of(files[0], options)
    negatives = [negative_of(base, configs[0])] if options.guidance is not None else []
    place(base, files[0], options.device, [*prompts, *negatives])
    steered = files[0].header.kernel != "ode"
    if steered and not keeps_indices(files[0], configs[0]):
        print("without the file's index bits: they belong to its own seed, steps and size")
    elif steered and files[1:] and options.keep_steps != 0:
        print(f"with the index bits of {options.files[0]}, which lead to its own clip; --keep_steps 0 leaves them out")
    clips = [
        [
            edit(
                files, base, prompt, config, weights=options.weights, progress=step_bar(f"{prompt}, {config.strength}")
            )
            for config in configs
        ]
        for prompt in prompts
    ]
    if not several:
        signal = clips[0][0]
        if writer is None:
            write_signal(signal, options.output)
        else:
            with writer:
                writer.write(signal.frames)
        print(f"{options.output}: {signal.num_frames} frames, {signal.width}x{signal.height}")
        return
    write_sheet(grid(clips, prompts, options.strength), options.output)
    print(f"{options.output}: {len(prompts)} prompts, {len(configs)} strengths")


def check_destination(path: str, header: Header, num_prompts: int, configs: list[EditConfig]) -> None:
    """Refuse a ``path`` that cannot hold what will be written, before it is sampled.

    Raises:
        SettingError, SignalError: If it cannot.
    """
    if num_prompts * len(configs) == 1:
        size = configs[0].size or generated_size(header)
        cut = padding_of(header, size)
        check_output(path, size.frames - cut.frames, size.height - cut.height, size.width - cut.width, header.fps)
    elif not path.lower().endswith(".png"):
        raise SettingError(
            f"{num_prompts} prompts at {len(configs)} strengths make one sheet, and {path} cannot hold it; "
            "write a .png, or give one prompt and one strength"
        )
    else:
        check_file(path, error=SignalError)


def configs_of(options: Namespace, file: VovFile) -> list[EditConfig]:
    """A configuration for each strength.

    Raises:
        SettingError: If a setting is out of range.
    """
    header = file.header
    shown = (header.width, header.height)
    generated = (header.width + header.pad_width, header.height + header.pad_height)
    sides = shown if options.size is None else parse_size(options.size)
    width, height = generated if sides == shown else sides
    frames = header.frames if options.frames is None else options.frames
    frames += header.pad_frames if frames == header.frames else 0
    size = ClipSize(frames, height, width)
    settings = {name: options[name] for name in OWN}
    return [EditConfig(strength=strength, size=size, **settings) for strength in options.strength]


def grid(clips: list[list[Signal]], prompts: list[str], strengths: list[float]) -> Image:
    """Sheet of ``clips``: a row a prompt, a column a strength; each shows its first, middle and last frame."""

    def picture(clip: Signal) -> Tensor:
        numbers = sorted({0, clip.num_frames // 2, clip.num_frames - 1})
        return torch.cat(list(clip.frames[numbers]), dim=2)

    first = clips[0][0]
    scale = max(1, round(SHEET_SIDE / max(first.height, first.width)))
    cells = [[picture(clip) for clip in row] for row in clips]
    return contact_sheet(cells, prompts, [f"strength {strength:g}" for strength in strengths], scale)
