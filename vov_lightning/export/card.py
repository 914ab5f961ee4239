"""A model card for a folder of ``.vov`` files, ready for the hub: what, from which base, how big, how good.

Everything in it is read from the files, or from the ``metrics.json`` of a fit whose SHA-256 is the file's: a figure
that nobody measured on these very bytes is left open.
"""

import hashlib
import html
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from vov_lightning.bases import base_class
from vov_lightning.bitstream import Limits, VovFile
from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.errors import BaseModelError, ExportError
from vov_lightning.export.provenance import UNKNOWN_LICENCE, checked_licence, repository_of
from vov_lightning.runs.figures import format_db, mean

CARD = "README.md"
PREVIEWS = ("preview.png", "preview.mp4", "preview.mkv")
"""Source beside decoded, as ``vov-fit`` writes them; an image comes first because a card can show it."""
ABSENT = "not measured"


@dataclass(frozen=True)
class Entry:
    """One file of the folder."""

    path: Path
    """Relative to the folder."""
    file: VovFile
    metrics: dict[str, Any] | None
    """Figures of the fit, if they belong to these very bytes."""
    preview: Path | None
    """Relative to the folder."""

    @property
    def total_bytes(self) -> int:
        return len(self.file.to_bytes())


def find_entries(folder: Path, limits: Limits = DEFAULT_LIMITS) -> list[Entry]:
    """Every ``.vov`` file below ``folder`` in the order of their paths, hidden folders left out.

    Raises:
        ExportError: If there is none, or a ``metrics.json`` cannot be read.
        BitstreamError: If a file is damaged.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; a card describes the .vov files in one")
    relative = sorted(path.relative_to(folder) for path in folder.rglob("*.vov") if path.is_file())
    paths = [path for path in relative if not any(part.startswith(".") for part in path.parts)]
    if not paths:
        raise ExportError(f"{folder} holds no .vov file, nor do its folders; make some with vov-fit --runs {folder}")
    return [_entry(folder, path, limits) for path in paths]


def _entry(folder: Path, path: Path, limits: Limits) -> Entry:
    file = VovFile.open(folder / path, limits)
    metrics = read_metrics(folder / path.parent / "metrics.json")
    if metrics is None or metrics["sha256"] != hashlib.sha256(file.to_bytes()).hexdigest():
        return Entry(path, file, None, None)
    previews = [path.parent / name for name in PREVIEWS if (folder / path.parent / name).is_file()]
    return Entry(path, file, metrics, previews[0] if previews else None)


def read_metrics(path: Path) -> dict[str, Any] | None:
    """Figures of a finished fit; None where there are none.

    Raises:
        ExportError: If the file is there and is not what ``vov-fit`` writes.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
        figures = [found[name] for name in ("psnr_db", "autoencoder_psnr_db")]
        if not isinstance(found["sha256"], str) or not all(isinstance(figure, float | None) for figure in figures):
            raise TypeError(f"sha256 {found['sha256']!r} and figures {figures}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is not what vov-fit writes ({error!r}); remove it, or fit again") from error
    return found


def model_card(entries: list[Entry], title: str, licence: str = UNKNOWN_LICENCE) -> str:
    """Markdown with the hub's front matter, paths relative to the folder of the entries.

    Args:
        entries: One or more files.
        title: Heading.
        licence: Identifier of the files' licence, written in small letters as the hub does.

    Raises:
        ExportError: If ``licence`` is not an identifier.
    """
    licence = checked_licence(licence).lower()
    names = sorted({entry.file.header.base_name for entry in entries})
    repositories = {name: _repository(name) for name in names}
    front: dict[str, Any] = {
        "license": licence,
        "library_name": "vov_lightning",
        "tags": ["vov", "lora", "video-compression", *names],
    }
    if found := [repository for repository in repositories.values() if repository]:
        front |= {"base_model": found, "base_model_relation": "adapter"}
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {escaped(title)}",
        f"{_counted(len(entries), 'clip or image', 'clips and images')} in the `.vov` format: each is the smallest "
        "change to a frozen generative model that makes the model generate it, quantised and entropy-coded. It decodes "
        "with vov_lightning and that base model. The method is that of "
        "[Compression as Adaptation](https://arxiv.org/abs/2603.07615).",
        _files(entries),
        _images(entries),
        _bases(entries, repositories),
        _decoding(entries[0].path),
        _rights(licence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _files(entries: list[Entry]) -> str:
    columns: dict[str, Callable[[Entry], str]] = {
        "file": lambda entry: link(entry.path.as_posix(), entry.path),
        "base model": lambda entry: entry.file.header.base_name,
        "frames x width x height": lambda entry: _size(entry.file),
        "bytes": lambda entry: str(entry.total_bytes),
        "bpp": lambda entry: f"{entry.file.bpp:.4f}",
        "PSNR, dB": lambda entry: _figure(entry, "psnr_db"),
        "the autoencoder alone, dB": lambda entry: _figure(entry, "autoencoder_psnr_db"),
        "caption": lambda entry: escaped(entry.file.caption),
        "source beside decoded": lambda entry: link("preview", entry.preview) if entry.preview else "",
    }
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[cell(entry) for cell in columns.values()] for entry in entries]
    measured = [entry.metrics["psnr_db"] for entry in entries if entry.metrics]
    total = sum(entry.total_bytes for entry in entries)
    mean_bpp = sum(entry.file.bpp for entry in entries) / len(entries)
    quality = f"{format_db(mean(measured))} over {len(measured)} of {len(entries)}" if measured else ABSENT
    return (
        "## Files\n\n"
        + "\n".join("| " + " | ".join(row) + " |" for row in rows)
        + f"\n\nTogether {total} bytes; mean rate {mean_bpp:.4f} bpp, mean PSNR {quality}. Rates count every byte of a "
        "file. PSNR is of the decoder's 8-bit frames against the source at that size, as the encoder measured it; the "
        f'autoencoder alone is the bound that the base model sets. "{ABSENT}" means that no figures lie beside this '
        "very file."
    )


def _images(entries: list[Entry]) -> str:
    shown = [(entry.path, entry.preview) for entry in entries if entry.preview]
    return "\n\n".join(
        f"!{link(f'{path.as_posix()}: source and decoded', preview)}"
        for path, preview in shown
        if preview.suffix == ".png"
    )


def _bases(entries: list[Entry], repositories: dict[str, str | None]) -> str:
    headers = {
        (head.base_name, head.base_revision, head.base_fingerprint.hex()): head
        for head in (entry.file.header for entry in entries)
    }
    lines = ["## Base models", "", "| name | revision | fingerprint | weights |", "| --- | --- | --- | --- |"]
    for name, revision, fingerprint in sorted(headers):
        repository = repositories[name]
        where = f"[{repository}](https://huggingface.co/{repository})" if repository else "registered under this name"
        lines.append(f"| {name} | {escaped(revision)} | `{fingerprint}` | {where} |")
    return "\n".join(lines)


def _decoding(example: Path) -> str:
    name = shlex.quote(f"./{example.as_posix()}")
    return (
        "## Decode\n\nWith the Python package `vov_lightning` installed:\n\n"
        f"```bash\nvov-info {name}\nvov-decode {name} -o decoded.mp4    # or a folder for one PNG a frame\n```"
    )


def _rights(licence: str) -> str:
    said = "No licence was stated for these files." if licence == UNKNOWN_LICENCE else f"The files: {licence}."
    return (
        f"## Licence\n\n{said} What they decode to is a likeness of the source clips, whose rights remain; the base "
        "models have licences of their own."
    )


def _repository(name: str) -> str | None:
    """Repository of a base model on the hub; None if no installed package knows it."""
    try:
        return repository_of(base_class(name))
    except BaseModelError:
        return None


def _size(file: VovFile) -> str:
    header = file.header
    return f"{header.frames} x {header.width} x {header.height}"


def _figure(entry: Entry, name: str) -> str:
    return format_db(entry.metrics[name], "") if entry.metrics else ABSENT


def _counted(count: int, one: str, many: str) -> str:
    return f"One {one}" if count == 1 else f"{count} {many}"


def link(words: str, target: Path) -> str:
    """Markdown link to a file of the folder.

    Example:
        >>> link("a|b", Path("a|b.vov"))
        '[a\\\\|b](a%7Cb.vov)'
    """
    return f"[{escaped(words)}]({quote(target.as_posix())})"


def escaped(text: str) -> str:
    """``text`` from a file so that Markdown shows it as it is, in one line and within a table's cell.

    Example:
        >>> print(escaped("a | b\\n<b>"))
        a \\| b &lt;b&gt;
    """
    return re.sub(r"([\\`*_{}\[\]()#|!~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
