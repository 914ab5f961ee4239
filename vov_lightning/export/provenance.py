"""Metadata of every exported safetensors file: licence, and where the numbers come from."""

import hashlib
import json
import re
from importlib.metadata import version

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile, describe
from vov_lightning.codec.decode import rank_of
from vov_lightning.errors import ExportError

UNKNOWN_LICENCE = "unknown"
"""The hub's word for a licence that is not known."""


def provenance(file: VovFile, base: BaseModel, licence: str = UNKNOWN_LICENCE) -> dict[str, str]:
    """Metadata for a safetensors header, strings only, as that format wants them.

    ``vov_header`` holds every field of the file's header as JSON, so also size, sampler and noise seed.

    Raises:
        ExportError: If ``licence`` is not an identifier.
    """
    header, words = file.header, describe(file)["header"]
    found = {
        "format": "pt",  # without it neither diffusers nor transformers reads a file
        "license": checked_licence(licence),
        "generator": f"vov_lightning {version('vov_lightning')}",
        "base_model": header.base_name,
        "base_model_revision": header.base_revision,
        "base_model_fingerprint": base.fingerprint().hex(),
        "vov_sha256": hashlib.sha256(file.to_bytes()).hexdigest(),
        "vov_header": json.dumps(words, sort_keys=True),
        "caption": file.caption,
        "rank": str(rank_of(header, base)),
        "k": str(header.k),
    }
    if repository := repository_of(base):
        found["base_model_repository"] = repository
    if header.kernel != "ode":
        steered = [place % header.steps for one in file.segments for place, step in enumerate(one.indices) if len(step)]
        steps = max(steered, default=-1) + 1
        found["left_out"] = f"the index bits of {steps} denoising steps, which only the .vov file holds"
    return found


def repository_of(base: BaseModel | type[BaseModel]) -> str | None:
    """Repository of the base model on the hub; None without one."""
    return getattr(base, "repository", None)


def checked_licence(licence: str) -> str:
    """``licence``, once it is found to be an identifier.

    Raises:
        ExportError: If it is none.

    Example:
        >>> checked_licence("cc-by-4.0")
        'cc-by-4.0'
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", licence):
        raise ExportError(
            f"licence {licence!r} is not an identifier such as apache-2.0, cc-by-4.0, other or {UNKNOWN_LICENCE}; "
            "see https://huggingface.co/docs/hub/repositories-licenses"
        )
    return licence
