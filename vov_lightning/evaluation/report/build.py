"""results.json and frames as one HTML file: style, scripts, figures and images inside, opened from a disk by anyone.

Nothing is fetched, and a content security policy sees to it: only the one script and the one style sheet whose hashes
it names run, images are data. All figures travel as JSON and reach the page as text nodes, so that clip names, captions
and error messages, which come from files, can never become markup. The page's own files lie beside this module.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.evaluation.report.bd_rate import RULE
from vov_lightning.evaluation.report.frames import LOSSLESS_PIXELS, QUALITY, check_frames, encode_frames, is_lossless

SCHEMA = 1
"""Version of the layout of results.json."""
SCRIPTS = ("dom.js", "charts.js", "tables.js", "stage.js", "player.js", "sections.js", "report.js")


def build_report(
    results: Mapping[str, Any],
    frames: Mapping[int, Tensor],
    sources: Mapping[str, Tensor],
    max_frame_bytes: int = 200_000_000,
) -> str:
    """The whole report as the text of one HTML file.

    Args:
        results: The content of results.json, schema 1.
        frames: Decoded frames ``[T, 3, H, W]`` uint8 by the ids of ``results["points"]``; points may lack.
        sources: Source frames by clip name, for every clip with decoded frames.
        max_frame_bytes: Limit on the size of all images in the file. Clips are taken in order until the next does not
            fit; the report says which ones are left out.

    Raises:
        SettingError: If the results are of another schema, or hold something that JSON cannot, such as infinity.
        SignalError: If frames do not fit their points or lack their source.
    """
    if results.get("schema") != SCHEMA:
        raise SettingError(f"results of schema {results.get('schema')!r}, wanted {SCHEMA}; evaluate with this version")
    by_clip = check_frames(results["points"], frames, sources)
    blocks = _frame_blocks(by_clip, frames, sources, max_frame_bytes)
    payload = {
        "results": results,
        "bd_rule": RULE,
        "shown": list(blocks),
        "left_out": [clip for clip in by_clip if clip not in blocks],
        "lossy": [clip for clip in blocks if not is_lossless(sources[clip])],
        "lossless_pixels": LOSSLESS_PIXELS,
        "quality": QUALITY,
    }
    return fill("template.html", SCRIPTS, {"RESULTS": payload}, {"FRAMES": "\n".join(blocks.values())})


def fill(template: str, scripts: Sequence[str], data: Mapping[str, Any], markup: Mapping[str, str] = {}) -> str:
    """The page ``template`` with style and scripts inside, and a policy under which nothing else runs or is fetched.

    Args:
        template: Name of an HTML file beside this module's scripts; ``%%NAME%%`` in it is replaced.
        scripts: Names of the scripts, in order.
        data: What becomes JSON, by name.
        markup: What is in the page's own language already, by name.

    Raises:
        SettingError: If data hold something that JSON cannot.
    """
    style = _read("style.css")
    script = "\n".join(_read(name) for name in scripts)
    parts = {
        "POLICY": _policy(script, style),
        "STYLE": style,
        "SCRIPT": script,
        **{name: _json(value) for name, value in data.items()},
        **markup,
    }
    return re.sub(r"%%([A-Z]+)%%", lambda match: parts[match[1]], _read(template))


def _frame_blocks(
    by_clip: Mapping[str, list[int]], frames: Mapping[int, Tensor], sources: Mapping[str, Tensor], limit: int
) -> dict[str, str]:
    """The script element with all images of a clip, for the first clips that fit into ``limit`` bytes together."""
    blocks: dict[str, str] = {}
    for clip, ids in by_clip.items():
        points = {str(number): encode_frames(frames[number]) for number in ids}
        images = {"source": encode_frames(sources[clip]), "points": points}
        block = f'<script type="application/json" class="frames">{_json(images)}</script>'
        limit -= len(block)
        if limit < 0:
            break
        blocks[clip] = block
    return blocks


def _policy(script: str, style: str) -> str:
    """Content security policy under which exactly this script and this style sheet run and nothing is fetched."""
    return (
        f"default-src 'none'; img-src data: blob:; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON in ASCII that cannot end the script element which holds it."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise SettingError(f"results hold what JSON cannot: {error}; write null and the reason instead") from error
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")
