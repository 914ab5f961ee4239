"""``vov-export``: a .vov file for those who have no vov_lightning, or a model card for a folder of them."""

from pathlib import Path
from typing import Literal

from jsonargparse import Namespace

from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import add_base_arguments, base_of, command
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import EXPORT
from vov_lightning.errors import ExportError, SettingError
from vov_lightning.export import export_diffusers, export_merged, export_native, export_peft, export_unilora
from vov_lightning.export.card import CARD, find_entries, model_card
from vov_lightning.export.lora import check_lora_name
from vov_lightning.export.provenance import UNKNOWN_LICENCE, checked_licence
from vov_lightning.export.push import check_push, push
from vov_lightning.export.source import open_vov
from vov_lightning.files import atomic_write, check_file, check_folder

Format = Literal["peft", "diffusers", "native", "unilora", "merged", "card"]


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(EXPORT)
    parser.add_argument("source", type=str, help=EXPORT.text_of("source"))
    parser.add_argument("--format", type=Format, required=True, help=EXPORT.text_of("--format"))
    parser.add_argument("-o", "--output", type=str | None, default=None, help=EXPORT.text_of("--output"))
    parser.add_argument("--license", type=str, default=UNKNOWN_LICENCE, help=EXPORT.text_of("--license"))
    parser.add_argument("--overwrite", action="store_true", help=EXPORT.text_of("--overwrite"))
    parser.add_argument("--push", type=str | None, default=None, help=EXPORT.text_of("--push"))
    parser.add_argument("--private", action="store_true", help=EXPORT.text_of("--private"))
    add_base_arguments(parser)
    options = parser.instantiate(parser.parse_args(with_class_paths(args)))
    checked_licence(options.license)
    if options.private and options.push is None:
        raise SettingError("--private is about the repository that --push USER/NAME creates; give both or neither")
    if options.format == "card":
        write_card(options)
        return
    if options.push is not None:
        raise SettingError(f"--push publishes a folder of .vov files, not --format {options.format}; use --format card")
    if options.output is None:
        raise SettingError(f"--format {options.format} needs -o, the name to write to")
    write_adapter(options)


def write_adapter(options: Namespace) -> None:
    """Export one file, and say what was written."""
    check_target(options)
    file = open_vov(options.source, options.limits)
    base = base_of(file, options)
    where = (file, base, options.output, options.license, options.overwrite)
    note = ""
    if options.format == "peft":
        export_peft(*where)
    elif options.format == "diffusers":
        export_diffusers(*where)
    elif options.format == "native":
        export_native(*where)
    elif options.format == "unilora":
        note = "index map stored" if export_unilora(*where) else "PEFT draws the index map from the seed"
    elif lost := export_merged(*where):
        note = f"adapted layers in float32; loaded in {base.dtype}, {lost:.0%} of the change would be rounded away"
    output = Path(options.output)
    written = sum(path.stat().st_size for path in (output.iterdir() if output.is_dir() else [output]))
    print(f"{output}: {written} bytes{f', {note}' if note else ''}; the .vov file has {len(file.to_bytes())}")
    if file.header.kernel != "ode":
        print(f"{options.source} has index bits, which are not exported: the clip that it decodes to needs them")
    if options.license == UNKNOWN_LICENCE:
        print("the licence is written as unknown; --license states one")


def check_target(options: Namespace) -> None:
    """Refuse an ``-o`` at which the export could not be written, before the base model is loaded.

    Raises:
        ExportError: If it exists, its ending is wrong, or nothing can be written there.
    """
    if options.format in ("diffusers", "native"):
        check_lora_name(options.output)
        check_file(options.output, overwrite=options.overwrite, error=ExportError)
    else:
        check_folder(options.output, overwrite=options.overwrite, replaceable=lambda _: True, error=ExportError)


def write_card(options: Namespace) -> None:
    """Write the card of a folder, and push it where that is asked for."""
    if options.get("base") is not None:
        raise SettingError("--format card reads the files alone and takes no --base")
    folder = Path(options.source)
    if options.push is not None:
        check_push(options.push)
    entries = find_entries(folder, options.limits)
    card = model_card(entries, folder.resolve().name, options.license)
    output = folder / CARD if options.output is None else Path(options.output)
    atomic_write(output, card.encode(), overwrite=options.overwrite)
    print(f"{output}: a card of {len(entries)} .vov files")
    if options.push is not None:
        print(push(folder, entries, card, options.push, options.private, options.overwrite))
