"""One vector for several sources: what they must have in common, what must tell them apart, and what they cost.

Each source has a ``.vov`` file of its own, which holds the whole vector and is
decoded like any other; what differs is the caption. So the vector's bytes are
stored once a file, and `joint_metrics` counts them both ways.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.captioners.text import read_caption
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.files import sha256_of
from vov_lightning.runs.figures import format_db, mean
from vov_lightning.runs.sets import Member
from vov_lightning.video.source import Clip

VECTOR_SECTIONS = ("count_table", "vector")
"""Parts of a file that all files of a joint fit share."""
MEANS = ("psnr_db", "autoencoder_psnr_db")
"""Figures of the sources whose mean is the fit's."""
FIGURES = ("caption", "bytes", "bpp", "psnr_db")
"""Figures of a source that are repeated in the fit's; the source's folder has all of them."""


def source_name(path: str, paths: Sequence[str] | None = None) -> str:
    """Name of ``path``'s run, or of the joint run of ``paths``.

    Example:
        >>> source_name("clips/a.mp4"), source_name("", ["clips/a.mp4", "b.mp4", "c.mp4"])
        ('a', 'a+2')
    """
    return joint_name([Path(os.path.abspath(one)).stem for one in paths or [path]])


def joint_name(names: Sequence[str]) -> str:
    """Name of the run of sources called ``names``; of one, its own."""
    return names[0] + (f"+{len(names) - 1}" if names[1:] else "")


def check_paths(paths: Sequence[str] | None, captions: Sequence[str] | None, options: Mapping[str, Any]) -> None:
    """Refuse settings of one source beside settings of several.

    Args:
        paths: Of the sources; None for a fit of one.
        captions: Of the sources, in their order.
        options: Settings ``path``, ``caption``, ``caption_file``, ``captioner``; None where not given.

    Raises:
        SettingError: If they do not go together.
    """
    if paths is None:
        if captions is not None:
            raise SettingError(f"captions={list(captions)} are of several data.paths; give one data.path its caption")
        return
    if options["path"] is not None:
        raise SettingError(f"path={options['path']} and paths={list(paths)} contradict each other; give one of them")
    for name in ("caption", "caption_file"):
        if options[name] is not None:
            raise SettingError(f"{name}={options[name]} cannot tell {len(paths)} paths apart; give captions, one each")
    if len(paths) < 2:
        raise SettingError(f"paths={list(paths)} is not several sources; give path for one")
    if captions is not None and len(captions) != len(paths):
        raise SettingError(f"captions has {len(captions)} entries for {len(paths)} paths; give one each")
    if captions is not None and options["captioner"] is not None:
        raise SettingError("captions and captioner each give captions; keep one of them")
    check_names([source_name(path) for path in paths])


def check_names(names: Sequence[str]) -> None:
    """Refuse two sources of one name: their files would be one.

    Raises:
        SettingError: If a name is repeated.
    """
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"two sources would both be {name}; rename one of them")


def caption_beside(path: str) -> str | None:
    """``<source>.txt`` beside the source at ``path``, where there is one."""
    found = Member(source_name(path), Path(path)).caption
    return None if found is None else str(found)


def contents_of(paths: Sequence[str], captions: Sequence[str] | None) -> dict[str, Any]:
    """Contents of the files that settings name: hashes of the sources, and captions that lie beside them."""
    files = [] if captions else [caption_beside(path) for path in paths]
    return {
        "sources_sha256": {
            path: sha256_of(Path(path)) for path in paths if Path(path).is_file() or Path(path).is_dir()
        },
        "captions_beside": [None if file is None else read_caption(file) for file in files],
    }


def check_sources(clips: Mapping[str, Clip]) -> None:
    """Refuse clips of several sizes, and clips of several segments.

    Raises:
        SignalError: If there are several that do not have as many frames, rows and columns, padding included.
    """
    if len(clips) < 2:
        return
    for name, clip in clips.items():
        if not clip.is_one_segment:
            raise SignalError(
                f"{name} has {clip.num_frames} frames in several segments; sources of one vector are of one segment: "
                f"give data.frames, at most {clip.shape.longest}, or a larger data.segment"
            )
    (first, wanted), *others = ((name, list(clip.first.signal.frames.shape)) for name, clip in clips.items())
    for name, found in others:
        if found != wanted:
            raise SignalError(
                f"{first} comes to {wanted} and {name} to {found} frames, channels, rows and columns; sources of one "
                "vector are of one size: give data.frames, data.height and data.width"
            )


def check_captions(captions: Mapping[str, str], base: BaseModel) -> None:
    """Refuse sources that ``base`` could not tell apart.

    Args:
        captions: By the names of the sources.
        base: Embeds them; two sentences of the same condition are the same.

    Raises:
        SettingError: If two sources have the same condition.
    """
    for one, other in combinations(captions, 2):
        if same_condition(base.embed(captions[one]), base.embed(captions[other])):
            raise SettingError(
                f"{one} ({captions[one]!r}) and {other} ({captions[other]!r}) have the same caption to base model "
                f"{base.name}, and would come back as one; give them captions that differ, as data.captions or in "
                "<source>.txt beside each"
            )


def same_condition(one: Any, other: Any) -> bool:
    """Whether two results of `BaseModel.embed` are equal: tensors, or dictionaries of them, or anything with ``==``."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_condition(one[key], other[key]) for key in one)
    return one == other


def joint_metrics(name: str, sources: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Figures of a joint fit.

    ``bytes`` are those of all files together. ``bytes_once`` counts the vector
    and its table of counts once, and everything else of every file: no file of
    that size is written, it is what one container of all sources would hold.

    Args:
        name: Of the run.
        sources: Figures of each source (`vov_lightning.fitting.run.measure`) by its name.
    """
    each = list(sources.values())
    num_pixels = sum(one["frames"] * one["height"] * one["width"] for one in each)
    size = sum(one["bytes"] for one in each)
    once = size - (len(each) - 1) * sum(each[0]["section_bytes"][part] for part in VECTOR_SECTIONS)
    return {
        "name": name,
        "base": each[0]["base"],
        "sources": {name: {key: one[key] for key in FIGURES} for name, one in sources.items()},
        "bytes": size,
        "bytes_once": once,
        "bpp": 8 * size / num_pixels,
        "bpp_once": 8 * once / num_pixels,
        **{key: mean(one[key] for one in each) for key in MEANS},
        "versions": each[0]["versions"],
    }


def format_joint(metrics: dict[str, Any]) -> str:
    """The table that ends a joint fit: a line a source, and the whole counted both ways."""
    once = {**metrics, "bytes": metrics["bytes_once"], "bpp": metrics["bpp_once"]}
    rows = {**metrics["sources"], "all files": metrics, "vector once": once}
    width = max(map(len, rows))
    lines = [f"{'source':<{width}}{'bytes':>12}{'bpp':>10}{'PSNR, dB':>10}"]
    for name, row in rows.items():
        lines.append(f"{name:<{width}}{row['bytes']:>12}{row['bpp']:>10.4f}{format_db(row['psnr_db'], ''):>10}")
    return "\n".join(lines)
