"""``vov-info``: what is in a .vov file, in words."""

import json

from jsonargparse import ArgumentParser

from vov_lightning.bitstream import Limits, VovFile, describe, format_description
from vov_lightning.cli.common import command


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(
        prog="vov-info", description="Show every header field of a .vov file, and its bytes by section."
    )
    parser.add_argument("file", type=str, help="The .vov file.")
    parser.add_argument("--json", action="store_true", help="Machine-readable output.")
    parser.add_class_arguments(Limits, "limits")
    options = parser.instantiate_classes(parser.parse_args(args))

    description = describe(VovFile.open(options.file, options.limits))
    print(json.dumps(description, indent=2) if options.json else format_description(description))
