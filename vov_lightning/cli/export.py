"""``vov-export``: a .vov file for those who have no vov_lightning, or a model card for a folder of them."""

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from vov_lightning.bases import load_base
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.common import HelpFormatter, add_base_arguments, command
from vov_lightning.errors import SettingError
from vov_lightning.export import export_diffusers, export_merged, export_peft, export_unilora
from vov_lightning.export.card import CARD, find_entries, model_card
from vov_lightning.export.provenance import UNKNOWN_LICENCE, checked_licence
from vov_lightning.export.push import check_push, push
from vov_lightning.export.source import open_vov
from vov_lightning.files import atomic_write

DESCRIPTION = """Export the vector of a .vov file, or describe a folder of files for the hub.

  vov-export x.vov --format peft -o x_lora/              PeftModel.from_pretrained(transformer, "x_lora")
  vov-export x.vov --format diffusers -o x.safetensors   pipeline.load_lora_weights("x.safetensors")
  vov-export x.vov --format unilora -o x_unilora/        the k numbers, for PEFT 0.20 or later
  vov-export x.vov --format merged -o transformer/       the adapted transformer, in diffusers' layout
  vov-export runs/ --format card --push me/my-clips      README.md; files, previews and card to the hub

A LoRA makes the base model generate the clip from the noise, times and caption that the file names; they stand in the
header's metadata, index bits are not exported. There is no way back from a LoRA to a .vov file: the hash is not
invertible. Previews show the source beside the decoded clip, and --push publishes them."""

Format = Literal["peft", "diffusers", "unilora", "merged", "card"]


@command
def main(args: list[str] | None = None) -> None:
    parser = ArgumentParser(prog="vov-export", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("source", type=str, help="The .vov file; for a card, a folder of them.")
    parser.add_argument("--format", type=Format, required=True, help="What to write.")
    parser.add_argument(
        "-o",
        "--output",
        type=str | None,
        default=None,
        help="Folder to write; a .safetensors file for diffusers; README.md in the folder of the files for a card.",
    )
    parser.add_argument("--license", type=str, default=UNKNOWN_LICENCE, help="Identifier, such as cc-by-4.0.")
    parser.add_argument("--overwrite", action="store_true", help="Replace what was written there before.")
    parser.add_argument("--push", type=str | None, default=None, help="user/name on the hub, for a card.")
    parser.add_argument("--private", action="store_true", help="Create that repository for yourself alone.")
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
    file = open_vov(options.source, options.limits)
    base = options.get("base") or load_base(file.header.base_name)
    where = (file, base, options.output, options.license, options.overwrite)
    note = ""
    if options.format == "peft":
        export_peft(*where)
    elif options.format == "diffusers":
        export_diffusers(*where)
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
