"""``vov-info``: what is in a .vov file, or what a base model costs, in words."""

import json

from vov_lightning.bitstream import Limits, VovFile, describe, format_description
from vov_lightning.cli.common import command
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import INFO
from vov_lightning.errors import BitstreamError, SettingError


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(INFO)
    parser.add_argument("file", type=str | None, nargs="?", default=None, help=INFO.text_of("file"))
    parser.add_argument("--json", action="store_true", help=INFO.text_of("--json"))
    parser.add_argument("--base", type=str | None, default=None, help=INFO.text_of("--base"))
    parser.add_argument("--size", type=str | None, default=None, help=INFO.text_of("--size"))
    parser.add_argument("--frames", type=int | None, default=None, help=INFO.text_of("--frames"))
    for name, default in (("k", 131072), ("rank", 1), ("draws", 128000), ("steps", 25)):
        parser.add_argument(f"--{name}", type=int, default=default, help=INFO.text_of(f"--{name}"))
    parser.add_class_arguments(Limits, "limits")
    options = parser.instantiate(parser.parse_args(args))
    if (options.file is None) == (options.base is None):
        raise SettingError("give a .vov file, or --base with the name of a base model")
    if options.base is not None:
        from vov_lightning.cli.costs import costs_of, format_costs  # torch, which a file is shown without

        costs, size = costs_of(options)
        print(json.dumps(vars(costs), indent=2) if options.json else format_costs(costs, size, options))
        return
    file = VovFile.open(options.file, options.limits, strict=False)
    description = describe(file)
    print(json.dumps(description, indent=2) if options.json else format_description(description))
    if file.damage:
        raise BitstreamError(f"{options.file}: {'; '.join(file.damage)}")
