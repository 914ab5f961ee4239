"""Time and peak memory of a clip's encoder and decoder by its length, and encoding against decoding.

    python tools/studies/memory.py --clips DIR            3, 10, 30 and 60 seconds of 256x144
    python tools/studies/memory.py --clips DIR --ratio    one pass of each at all 25 steps, on a short clip

The source is the folder's clips one after the other, as 640x360 at 30 fps with AAC sound. Both commands run as a user
runs them, each in a process of its own, whose peak memory the system tells. Few steps make long clips affordable:
memory does not depend on steps, and the sampler's time is proportional to them.
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
from datetime import date
from itertools import cycle, islice
from pathlib import Path

from quality import Row, markdown

MACHINE = "2 cores of a Xeon (one thread used)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of videos.")
    parser.add_argument("--seconds", type=float, nargs="+", help="Lengths; 3, 10, 30 and 60, or 1.5 with --ratio.")
    parser.add_argument("--steps", type=int, help="Of the sampler; 2, or 25 with --ratio.")
    parser.add_argument("--ratio", action="store_true", help="Measure the seconds inside both commands.")
    parser.add_argument("--out", type=Path, default=Path("results/whole_clips_memory.json"), help="File of the results.")
    options = parser.parse_args()
    lengths = options.seconds or ([1.5] if options.ratio else [3, 10, 30, 60])
    steps = options.steps or (25 if options.ratio else 2)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in lengths:
            rows.append(measure(make_source(options.clips, Path(folder), seconds), seconds, steps))
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    print("\n" + markdown(rows))
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results["ratio" if options.ratio else "lengths"] = {
        "machine": MACHINE,
        "date": date.today().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


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


def measure(source: Path, seconds: float, steps: int) -> Row:
    """Seconds and peak megabytes of ``vov-fit --config instant.yaml`` and ``vov-decode`` of ``source``."""
    runs = source.parent / "runs"
    size = ["--data.height=144", f"--model.sampler.steps={steps}"]
    fit = ["vov-fit", "--config=instant.yaml", str(source), *size, f"--runs={runs}", f"--name={source.stem}"]
    row: Row = {"seconds": seconds, "steps": steps}
    encode_s, encode_mb, encode_cpu_s = timed(fit)
    found = json.loads((runs / source.stem / "metrics.json").read_text())
    file = next((runs / source.stem).glob("*.vov"))
    decode_s, decode_mb, decode_cpu_s = timed(["vov-decode", str(file), "-o", str(source.with_name("decoded.mp4"))])
    row |= {"frames": found["frames"], "segments": len(found["segments"]), "bytes": found["bytes"]}
    row |= {"encode_s": encode_s, "encode_cpu_s": encode_cpu_s, "encode_mb": encode_mb}
    row |= {"decode_s": decode_s, "decode_cpu_s": decode_cpu_s, "decode_mb": decode_mb}
    return row | {"cpu_ratio": encode_cpu_s / decode_cpu_s}


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
