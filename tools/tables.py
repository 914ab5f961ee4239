"""Writes the tables and the plot of README and docs from ``results/*.json``.

    python tools/tables.py            rewrites what lies between the markers
    python tools/tables.py --check    exit status 1 where a page and its data disagree

A page holds ``<!-- table NAME -->`` and ``<!-- end -->``; what is between them is written here, with machine, date and
command below. Never edit it by hand. A script's result is a JSON object with ``columns`` (name, digits, and ``better``:
more or less), ``rows``, and if bold marks the best of several rows, ``group``: the key of a row that they share.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "vov_lightning/assets/nano/README.md"]
MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
CURVE = ROOT / "docs" / "whole_clips.svg"
Data = dict[str, Any]
CODECS = {"vov": "vov_lightning", "x265": "x265 (HEVC)", "svtav1": "SVT-AV1", "vvenc": "VVenC (VVC)"}
FIGURES = {
    "psnr_db": ("PSNR, dB", 2, "more"),
    "lpips_alex": ("LPIPS", 3, "less"),
    "dists": ("DISTS", 3, "less"),
    "vmaf": ("VMAF", 1, "more"),
    "tlp": ("tLP x 100", 2, "less"),
}


def whole_clips(study: str = "144 rows, 18 frames") -> Data:
    """Means over the clips of a study; a codec that did not reach all of them is never bold."""
    data = read("whole_clips")[study]
    most = max(row["clips"] for row in data["means"])
    rows = [
        means_of(row) | {"codec": CODECS[row["method"]], "clips": row["clips"], "partial": row["clips"] < most}
        for row in data["means"]
    ]
    columns = [{"name": "bpp wanted"}, {"name": "codec"}, {"name": "clips"}, {"name": "bpp", "digits": 4}]
    compared = [
        {"name": label, "digits": digits, "better": better}
        for label, digits, better in FIGURES.values()
        if label in rows[0]
    ]
    return {**about(data), "columns": [*columns, *compared], "rows": rows, "group": "bpp wanted", "file": "whole_clips"}


def whole_clips_past() -> Data:
    """The study with revision 3 of `nano`, on eight clips of 96 frames."""
    return whole_clips("144 rows, 96 frames")


def means_of(row: Data) -> Data:
    """Rate and figures of one mean over clips."""
    figures = {label: row["figures"][key] for key, (label, _, _) in FIGURES.items() if key in row["figures"]}
    return {"bpp wanted": row["rate"].rpartition("-")[2], "bpp": row["bpp"], **figures}


def memory() -> Data:
    """Time and memory against the clip's length."""
    data = read("whole_clips_memory")["lengths"]
    shown = {
        "seconds": ("seconds of the clip", 0),
        "frames": ("frames", 0),
        "segments": ("segments", 0),
        "encode_mb": ("vov-fit, MB", 0),
        "decode_mb": ("vov-decode, MB", 0),
    }
    rows = [{label: row[key] for key, (label, _) in shown.items()} for row in data["rows"]]
    columns = [{"name": label, "digits": digits} for label, digits in shown.values()]
    return {**about(data), "columns": columns, "rows": rows, "file": "whole_clips_memory"}


def encode_ratio() -> Data:
    """Processor time of encoding beside that of decoding."""
    data = read("whole_clips_memory")["ratio"]
    shown = {
        "seconds": ("seconds of the clip", 1),
        "steps": ("steps", 0),
        "encode_cpu_s": ("encode, s", 1),
        "decode_cpu_s": ("decode, s", 1),
        "ratio": ("encode / decode", 2),
    }
    rows = [{label: row[key] for key, (label, _) in shown.items()} for row in data["rows"]]
    columns = [{"name": label, "digits": digits} for label, digits in shown.values()]
    return {**about(data), "columns": columns, "rows": rows, "file": "whole_clips_memory"}


def joins() -> Data:
    """How far the picture steps between blocks and inside them."""
    data = read("joins")
    kept = (
        "figure",
        "inside",
        "join of blocks",
        "join of blocks / inside",
        "join of segments",
        "join of segments / inside",
    )
    columns = [{"name": kept[0]}, *({"name": name, "digits": 2} for name in kept[1:])]
    return {**about(data), "columns": columns, "rows": data["rows"], "file": "joins"}


def deblocking() -> Data:
    """What the deblocking filter does to whole clips."""
    data = read("joins")
    rows = [
        {
            "bpp": row["rate"].rpartition("-")[2],
            "deblocking": row["deblocking"],
            "PSNR, dB": row["psnr_db"],
            "LPIPS": row["lpips"],
        }
        for row in data["quality"]
    ]
    columns = [
        {"name": "bpp"},
        {"name": "deblocking"},
        {"name": "PSNR, dB", "digits": 2, "better": "more"},
        {"name": "LPIPS", "digits": 4, "better": "less"},
    ]
    return {**about(data), "columns": columns, "rows": rows, "group": "bpp", "file": "joins"}


def few_steps() -> Data:
    """Vectors for few-step decoders, without indices and with them."""
    data = read("few_steps")
    shown = {"bpp": ("bpp", 3), "psnr_db": ("dB", 2), "lpips": ("LPIPS", 3)}
    named = ("vector", "fitted through", "decoder")
    rows: dict[tuple[str, ...], Data] = {}
    for row in data["means"]:
        key = tuple(row[name] for name in named)
        figures = {f"{label}, {row['indices']} indices": row[figure] for figure, (label, _) in shown.items()}
        rows[key] = rows.get(key, dict(zip(named, key, strict=True))) | figures
    columns: list[Data] = [{"name": name} for name in named]
    for where in ("without", "with"):
        columns += [{"name": f"{label}, {where} indices", "digits": digits} for label, digits in shown.values()]
    return {**about(data), "columns": columns, "rows": list(rows.values()), "file": "few_steps"}


def windows() -> Data:
    """What overlap, taper and place of windows do at one size."""
    data = read("windows")["quality"]
    rows = [
        {
            "overlap": f"{8 - row['stride']}" if row["stride"] else "one window",
            "taper": row["taper"],
            "offsets": row["offsets"],
            "windows": row["windows"],
            "PSNR, dB": row["psnr_db"],
            "LPIPS": row["lpips"],
            "step at borders, relative to the source's": row["seam"],
        }
        for row in data["rows"]
        if row["size"] == "256x144x9"
    ]
    digits = dict(zip(rows[0], (None, None, None, 1, 2, 3, 2), strict=True))
    columns = [{"name": name} | ({} if digit is None else {"digits": digit}) for name, digit in digits.items()]
    return {**about(data), "columns": columns, "rows": rows, "file": "windows"}


def drift() -> Data:
    """What another processor, thread count or number type changes in decoded frames."""
    data = read("drift")
    rows = [
        {
            "decoded with": row["variation"],
            "largest change, of 255": row["grey_levels"],
            "numbers that change": f"{100 * row['share']:.4f} %",
            "PSNR between the two, dB": row["psnr_db"],
        }
        for row in data["rows"]
    ]
    columns = [{"name": name, **({"digits": 1} if "PSNR" in name else {})} for name in rows[0]]
    return {**about(data), "columns": columns, "rows": rows, "file": "drift"}


def full_size() -> Data:
    """What parts of a fit and a decode cost at real size, counted on a pretended GPU."""
    data = json.loads((ROOT / "tests/fake_cuda/expected.json").read_text())
    shown = {"draw": "draw-attention", "step": "step", "encode": "encode", "decode": "decode"}
    rows = []
    for base, parts in sorted(data.items()):
        costs = [parts.get(part) for part in shown.values()]
        figures = ["" if cost is None else f"{cost['tflop']:,.0f} / {cost['peak_gb']:.1f}" for cost in costs]
        rows.append({"base model": base.replace("@", ", "), **dict(zip(shown, figures, strict=True))})
    columns = [{"name": name} for name in rows[0]]
    source = {"model": "counted on a pretended GPU; not measured"}
    return {**source, "columns": columns, "rows": rows, "path": "tests/fake_cuda/expected.json"}


def plain(name: str) -> Callable[[], Data]:
    """A result that is a table already."""
    return lambda: {"file": name, **read(name)}


TABLES: dict[str, Callable[[], Data]] = {
    **{
        function.__name__: function
        for function in (
            whole_clips,
            whole_clips_past,
            memory,
            encode_ratio,
            joins,
            deblocking,
            windows,
            few_steps,
            drift,
            full_size,
        )
    },
    **{
        name: plain(name)
        for name in (
            "codebooks",
            "context",
            "costs",
            "draws",
            "editing",
            "hardware_model",
            "index_bits",
            "one_window_bd_rate",
            "one_window_codecs",
            "prior",
            "revisions",
            "startup",
            "steps",
            "vector",
            "spare",
            "weight_power",
        )
    },
}
"""Everything that a marker can name."""


def read(name: str) -> Any:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def about(data: Data) -> Data:
    """Where figures come from."""
    return {key: data[key] for key in ("machine", "date", "command", "kept", "model") if key in data}


def table(name: str) -> str:
    """The table ``name`` in Markdown, and below it where it comes from.

    Raises:
        KeyError: If there is no such table.
    """
    data = TABLES[name]()
    columns = data["columns"]
    lines = [f"| {' | '.join(column['name'] for column in columns)} |", "| --- " * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(data, row, column) for column in columns)} |" for row in data["rows"]]
    source = ", ".join(str(data[key]) for key in ("model", "machine", "date") if key in data)
    command = f"`{data['command']}`; " if data.get("command", "").startswith("python ") else ""
    kept = f" {data['kept']}" if "kept" in data else ""
    path = data.get("path") or f"results/{data['file']}.json"
    return "\n".join([*lines, "", f"*{source}; {command}data: `{path}`.{kept}*"])


def cell(data: Data, row: Data, column: Data) -> str:
    """One figure as it is shown."""
    value = row[column["name"]]
    if value is None:
        return ""
    text = f"{value:.{column['digits']}f}" if "digits" in column else str(value)
    better = column.get("better")
    if not better or row.get("partial"):
        return text
    group = data["group"]
    rivals = [one[column["name"]] for one in data["rows"] if one[group] == row[group] and not one.get("partial")]
    best = len(rivals) > 1 and value == (max if better == "more" else min)(rivals)
    return f"**{text}**" if best else text


def written(page: str) -> str:
    """The text of ``page`` with every table as its data say."""
    return MARKED.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[3]}", page)


def digest_of_curve() -> str:
    """What the plot was drawn from, in a word that the plot carries."""
    return hashlib.sha256(json.dumps(whole_clips()["rows"]).encode()).hexdigest()


def draw_curve(path: Path) -> None:
    """PSNR and LPIPS of whole clips against the rate; hollow where a codec did not reach all clips."""
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "vov", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
    figure, all_axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axes, figure_name in zip(all_axes, ("PSNR, dB", "LPIPS"), strict=True):
        for codec in CODECS.values():
            own = [row for row in whole_clips()["rows"] if row["codec"] == codec]
            (line,) = axes.plot([row["bpp"] for row in own], [row[figure_name] for row in own], label=codec)
            for row in own:
                face = "white" if row["partial"] else line.get_color()
                axes.plot(row["bpp"], row[figure_name], "o", ms=5, color=line.get_color(), markerfacecolor=face)
        axes.set(xscale="log", xlabel="bits per pixel", ylabel=figure_name)
        axes.set_xticks([0.01, 0.02, 0.04, 0.08], labels=["0.01", "0.02", "0.04", "0.08"])
        axes.minorticks_off()
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, metadata={"Date": None, "Description": digest_of_curve()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Write nothing; exit status 1 where something is stale.")
    options = parser.parse_args()
    stale = [page for page in PAGES if written(page.read_text()) != page.read_text()]
    redraw = not CURVE.exists() or digest_of_curve() not in CURVE.read_text()
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'stale' if options.check else 'written'}")
        if not options.check:
            page.write_text(written(page.read_text()))
    if redraw and not options.check:
        draw_curve(CURVE)
    return int(options.check and (bool(stale) or redraw))


if __name__ == "__main__":
    sys.exit(main())
