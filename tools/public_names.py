"""MkDocs hook: the page of the Python API, from ``vov_lightning.__all__``, a section for each module.

The page holds one line ``::: vov_lightning``; here it becomes a directive of mkdocstrings for every public name, so a
new name needs no second list.
"""

from itertools import groupby
from typing import Any

import vov_lightning as vov

MARK = "::: vov_lightning\n"
SECTIONS = {
    "vov_lightning.api": "Compress, decode, edit, scale",
    "vov_lightning.bases": "Base models",
    "vov_lightning.bitstream": "Files",
    "vov_lightning.captioners": "Captions",
    "vov_lightning.codec": "Ways through a file",
    "vov_lightning.evaluation": "Figures",
    "vov_lightning.export": "Export",
    "vov_lightning.fitting": "Fitting",
    "vov_lightning.runs": "Runs",
    "vov_lightning.sampling": "Sampling",
    "vov_lightning.vector": "The vector",
    "vov_lightning.video": "Video",
}
"""Titles by package; one without a title is named by itself."""


def directives() -> str:
    """Markdown with a heading for each package and a directive for each public name."""
    named = sorted((package_of(name), name) for name in vov.__all__)
    lines = []
    for package, names in groupby(named, key=lambda pair: pair[0]):
        lines.append(f"## {SECTIONS.get(package, package)}\n")
        lines += [f"::: {vov._MODULE_OF[name]}.{name}\n" for _, name in names]
    return "\n".join(lines)


def package_of(name: str) -> str:
    """The package of ``vov_lightning`` that the public ``name`` comes from."""
    return ".".join(vov._MODULE_OF[name].split(".")[:2])


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """What MkDocs calls for every page."""
    return markdown.replace(MARK, directives()) if page.file.src_uri == "api.md" else markdown
