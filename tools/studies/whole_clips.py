"""Whole clips by `instant.yaml` beside x265, SVT-AV1 and VVenC at the same bytes, rate by rate.

    python tools/studies/whole_clips.py --clips DIR --names akiyo_cif foreman_cif --frames 27 --bpp 0.02 0.08

Clips are scaled to --height rows with square pixels and coded without sound. `tools/rd_curve.py` codes and measures
them, and goes on where it was interrupted; here its results are kept without the frames.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from machine import about

from vov_lightning.runs.sets import read_set

RD_CURVE = Path(__file__).parents[1] / "rd_curve.py"


def main() -> None:
    options, sources = study(__doc__, "whole_clips")
    evaluation = ["--eval", "--eval_config=eval/whole_clips.yaml"]
    evaluated = options.runs / "evaluation" / "results.json"
    evaluated.unlink(missing_ok=True)
    status = code(options, sources, "instant.yaml", options.runs, *evaluation)
    if not evaluated.exists():
        sys.exit(status)
    found = json.loads(evaluated.read_text())
    found["sets"].sort(key=lambda row: float(row["rate"].rpartition("-")[2]))
    size = f"{options.height} rows, {options.frames} frames"
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results[size] = {
        **about(threads=1),
        "versions": found["about"]["versions"],
        "presets": found["about"]["settings"]["baseline_settings"],
        **kept(found),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {options.out}; tools/tables.py makes tables of it")
    sys.exit(status)


def study(description: str | None, name: str) -> tuple[argparse.Namespace, Path]:
    """Options of a study of whole clips, from the command line, and the folder with links to its clips."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of clips.")
    parser.add_argument("--names", nargs="+", help="Clips of the folder; all if left out.")
    parser.add_argument("--frames", type=int, default=27, help="First frames of each clip.")
    parser.add_argument("--height", type=int, default=144, help="Rows.")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.01, 0.02, 0.04, 0.08], help="Bits per pixel.")
    parser.add_argument("--runs", type=Path, default=Path("runs") / name, help="Folder of the files.")
    parser.add_argument("--out", type=Path, default=Path("results") / f"{name}.json", help="File of the results.")
    options = parser.parse_args()
    sources = options.runs.with_name(options.runs.name + "_sources")
    link_sources(options.clips, options.names, sources)
    return options, sources


def code(options: argparse.Namespace, sources: Path, config: str, runs: Path, *more: str) -> int:
    """Exit status of `tools/rd_curve.py`, which codes ``sources`` into ``runs`` at the rates of ``options``."""
    command = [sys.executable, str(RD_CURVE), f"--set={sources}", f"--config={config}", f"--runs={runs}"]
    command += ["--target_bpp", *map(str, options.bpp), f"--data.height={options.height}"]
    return subprocess.run([*command, f"--data.frames={options.frames}", "--data.audio=none", *more]).returncode


def link_sources(clips: Path, names: list[str] | None, folder: Path) -> None:
    """Make ``folder`` hold links to the clips of those names, or to all, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    members = {member.name: member.path.resolve() for member in read_set(clips)}
    if unknown := set(names or ()) - members.keys():
        sys.exit(f"--names {' '.join(sorted(unknown))}: {clips} holds {', '.join(members)}")
    wanted = {members[name].name: members[name] for name in names or members}
    for old in folder.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, path in wanted.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(path)


def kept(found: dict) -> dict:
    """What of an evaluation's results is worth keeping: a row each point, means, and bytes that were out of reach."""
    columns = ("clip", "method", "rate", "bytes", "bpp", "frames", "height", "width", "figures", "encode_s", "decode_s")
    missing = ("clip", "method", "rate", "bytes", "reason")
    return {
        "means": found["sets"],
        "unreachable": [{key: row[key] for key in missing} for row in found["unreachable"]],
        "failures": found["failures"],
        "autoencoder_alone": found["bounds"],
        "rows": [{key: point[key] for key in columns} for point in found["points"]],
    }


if __name__ == "__main__":
    main()
