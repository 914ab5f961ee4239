"""Time and peak memory of a clip's encoder and decoder by its length, and encoding against decoding.

    python tools/studies/memory.py --clips DIR            3, 10, 30 and 60 seconds of 256x144
    python tools/studies/memory.py --clips DIR --ratio    encoding over decoding, at all 25 steps on a short clip

The source is the folder's clips one after the other, as 640x360 at 30 fps with AAC sound. Both commands run as a user
runs them, each in a process of its own, whose peak memory the system tells. Few steps make long clips affordable:
memory does not depend on steps, and the sampler's time is proportional to them. The quotient is of processor time in
one process that has done both before, so that imports and the load of the machine are not in it.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import torch
from machine import about
from quality import Row, markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of videos.")
    parser.add_argument("--seconds", type=float, nargs="+", help="Lengths; 3, 10, 30 and 60, or 1.5 with --ratio.")
    parser.add_argument("--steps", type=int, help="Of the sampler; 2, or 25 with --ratio.")
    parser.add_argument("--height", type=int, default=144, help="Rows that are coded.")
    parser.add_argument("--ratio", action="store_true", help="Measure encoding over decoding instead.")
    parser.add_argument(
        "--out", type=Path, default=Path("results/whole_clips_memory.json"), help="File of the results."
    )
    options = parser.parse_args()
    steps = options.steps or (25 if options.ratio else 2)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in options.seconds or ([1.5] if options.ratio else [3, 10, 30, 60]):
            source = make_source(options.clips, Path(folder), seconds)
            rows.append((measure_ratio if options.ratio else measure)(source, seconds, options.height, steps))
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
            save(options.out, "ratio" if options.ratio else "lengths", rows)
    print("\n" + markdown(rows))


def save(path: Path, study: str, rows: list[Row]) -> None:
    """Write the rows of ``study``; those of the other study stay, and so do rows of other sizes."""
    results = json.loads(path.read_text()) if path.exists() else {}
    known = {(row["rows"], row["seconds"]): row for row in [*results.get(study, {}).get("rows", []), *rows]}
    results[study] = {
        **about(threads=1),
        "rows": [known[size] for size in sorted(known)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


def make_source(clips: Path, folder: Path, seconds: float) -> Path:
    """A file in ``folder``: the clips of ``clips`` in turn, of 10 seconds at most each, with a tone."""
    paths = sorted(clips.glob("*.mp4"))
    chosen = list(islice(cycle(paths), 2 + int(seconds / 5)))  # 5 s each is what the shortest have
    inputs = [word for path in chosen for word in ("-i", str(path))]
    scaled = [f"[{n}:v]scale=640:360,setsar=1,fps=30,format=yuv420p[v{n}]" for n in range(len(chosen))]
    joined = "".join(f"[v{n}]" for n in range(len(chosen))) + f"concat=n={len(chosen)}[v]"
    tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}[a]"
    path = folder / f"{seconds:g}s.mp4"
    graph = ["-filter_complex", ";".join([*scaled, joined, tone]), "-map", "[v]", "-map", "[a]"]
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"]
    run = ["ffmpeg", "-v", "error", "-y", *inputs, *graph, "-t", f"{seconds}", *codecs, str(path)]
    subprocess.run(run, check=True)
    return path


def measure(source: Path, seconds: float, height: int, steps: int) -> Row:
    """Seconds and peak megabytes of ``vov-fit --config instant.yaml`` and ``vov-decode`` of ``source``."""
    fit, decode, run = commands(source, source.stem, height, steps)
    row: Row = {"rows": height, "seconds": seconds, "steps": steps}
    encode_s, encode_mb, encode_cpu_s = timed(["vov-fit", *fit])
    found = json.loads((run / "metrics.json").read_text())
    decode_s, decode_mb, decode_cpu_s = timed(["vov-decode", *decode])
    row |= {"frames": found["frames"], "segments": len(found["segments"]), "bytes": found["bytes"]}
    row |= {"encode_s": encode_s, "encode_cpu_s": encode_cpu_s, "encode_mb": encode_mb}
    return row | {"decode_s": decode_s, "decode_cpu_s": decode_cpu_s, "decode_mb": decode_mb}


def measure_ratio(source: Path, seconds: float, height: int, steps: int) -> Row:
    """Processor time of both commands on ``source``, within this process and after a short run of each."""
    from vov_lightning.cli import decode, fit  # `measure` needs no memory for them

    torch.set_num_threads(1)
    took_s = []
    for name, more in (("warm", ["--data.frames=9"]), ("measured", [])):
        fit_arguments, decode_arguments, _ = commands(source, name, height, steps)
        for command, arguments in ((fit, [*fit_arguments, *more]), (decode, decode_arguments)):
            started_s = time.process_time()
            if status := command.main(arguments):
                sys.exit(f"{shlex.join(arguments)} ended with status {status}")
            took_s.append(time.process_time() - started_s)
    encode_cpu_s, decode_cpu_s = took_s[2:]
    row: Row = {"rows": height, "seconds": seconds, "steps": steps, "encode_cpu_s": encode_cpu_s}
    return row | {"decode_cpu_s": decode_cpu_s, "ratio": encode_cpu_s / decode_cpu_s}


def commands(source: Path, name: str, height: int, steps: int) -> tuple[list[str], list[str], Path]:
    """Arguments of ``vov-fit`` and of ``vov-decode``, and the folder of the run called ``name``."""
    runs = source.parent / "runs"
    size = [f"--data.height={height}", f"--model.sampler.steps={steps}"]
    fit = ["--config=instant.yaml", f"--data.path={source}", *size, f"--runs={runs}", f"--name={name}"]
    run = runs / name
    return fit, [str(run / f"{source.stem}.vov"), f"--output={source.with_name('decoded.mp4')}"], run


def timed(command: list[str]) -> tuple[float, float, float]:
    """Seconds, peak megabytes and seconds of processor time of ``command``.

    Raises:
        SystemExit: If it fails.
    """
    found = shutil.which(command[0])
    assert found, f"{command[0]} is not installed"
    started_s = time.perf_counter()
    process = os.spawnv(os.P_NOWAIT, found, [found, *command[1:]])
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{shlex.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started_s, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
