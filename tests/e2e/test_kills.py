"""200 tiny clips, two commands that both want each of them, and 20 kills at random moments."""

import json
import random
import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
import torch

from vov_lightning.cli import fit
from vov_lightning.video import write_signal
from vov_lightning.video.signal import Signal

CLIPS, PARTS, KILLS = 200, 10, 20

SUPERVISOR = """
# Forks two workers that fit the set part by part, kills one of them every few clips, and begins it again at its part.
import json, os, random, signal, sys, time
from vov_lightning.cli import fit, sets

log_path, kills, parts, arguments = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]

def note(**fields):
    with open(log_path, "a") as log:
        log.write(json.dumps(fields | {"pid": os.getpid()}) + "\\n")

train, fit_one = fit.train_and_finish, sets.Fitter.fit

def timed_train(trainer, module, data, *rest):
    note(begin=data.source_name)
    started_s = time.process_time()
    result = train(trainer, module, data, *rest)
    note(end=data.source_name, train_s=time.process_time() - started_s)
    return result

def timed_fit(fitter, member, patient=True):
    started_s = time.process_time()
    outcome = fit_one(fitter, member, patient)
    note(outcome=member.name, state=outcome.state, fit_s=time.process_time() - started_s)
    return outcome

fit.train_and_finish, sets.Fitter.fit = timed_train, timed_fit

def begin(part):
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(fit.main([*arguments, f"--part={part}/{parts}"]))
    return pid

def lines():
    return len(open(log_path).readlines()) if os.path.exists(log_path) else 0

source = random.Random(0)
workers = {begin(1): 1, begin(1): 1}
killed, goal = 0, 20
while workers:
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        part = workers.pop(pid)
        if os.WIFSIGNALED(status):
            workers[begin(part)] = part  # as a scheduler would
        elif os.WEXITSTATUS(status):
            sys.exit(f"a worker ended with {os.WEXITSTATUS(status)}")
        elif part < parts:
            workers[begin(part + 1)] = part + 1
    elif killed < kills and lines() >= goal:
        time.sleep(source.uniform(0, 0.5))
        os.kill(source.choice(sorted(workers)), signal.SIGKILL)
        killed, goal = killed + 1, lines() + source.randrange(10, 30)
    else:
        time.sleep(0.01)
print(killed)
"""


@pytest.mark.cluster
def test_nothing_is_lost_and_nothing_done_twice(fit_arguments, tmp_path):
    folder = tmp_path / "data" / "many"
    folder.mkdir(parents=True)
    names = [f"{number:03d}" for number in range(CLIPS)]
    for number, name in enumerate(names):
        generator = torch.Generator().manual_seed(number)
        frames = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8, generator=generator)
        write_signal(Signal(frames, Fraction(1), name), folder / f"{name}.png")
    kept = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    instant = ["--model.adapter.k=0", "--scaling.bits=40"]  # no iterations: kills hit what is around a fit
    arguments = [*kept, *instant, f"--set={folder}"]
    log = tmp_path / "log"
    command = [sys.executable, "-W", "ignore", "-c", SUPERVISOR, str(log), str(KILLS), str(PARTS), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split()[-1] == str(KILLS)

    runs = tmp_path / "runs" / "many"
    assert all((runs / name / "metrics.json").exists() for name in names)
    assert not (runs / ".jobs").exists()
    assert len(json.loads((runs / "summary.json").read_text())["clips"]) == CLIPS
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    ends = Counter(row["end"] for row in rows if "end" in row)
    begins = Counter(row["begin"] for row in rows if "begin" in row)
    assert set(begins) == set(names)
    assert max(ends.values()) == 1  # nothing twice
    assert sum(begins.values()) <= CLIPS + KILLS  # and nothing begun by two at a time
    assert sum(row.get("state") == "elsewhere" for row in rows) > 0  # the two did meet

    trained = {(row["pid"], row["end"]): row["train_s"] for row in rows if "end" in row}
    overhead_s = [
        row["fit_s"] - trained[row["pid"], row["outcome"]]
        for row in rows
        if (row.get("pid"), row.get("outcome")) in trained
    ]
    assert len(overhead_s) > CLIPS - KILLS
    mean_s = sum(overhead_s) / len(overhead_s)
    print(f"overhead of a clip: {mean_s:.3f} s of CPU time")
    assert mean_s < 0.5

    for name in random.Random(1).sample(names, 3):  # and each is what it would be alone
        alone = tmp_path / "alone" / name
        more = ["--name=again", f"--part={int(name) + 1}/{CLIPS}", f"--runs={alone}"]
        assert fit.main([*arguments, *more]) == 0
        assert (alone / "again" / name / f"{name}.vov").read_bytes() == (runs / name / f"{name}.vov").read_bytes()
