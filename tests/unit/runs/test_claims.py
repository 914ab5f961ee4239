"""One owner at a time, whatever happens to owners: two commands, dead processes, other machines, owners that return."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from vov_lightning.errors import ClaimedError
from vov_lightning.runs import claims
from vov_lightning.runs.claims import Claim, Owner, read_claim


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".jobs" / "clip.claim"


def other_machine():
    """An owner whose process cannot be looked up here."""
    return replace(Owner.this_process(), host="far", machine="another boot", token="0ther")


def write(path, owner, age_s=0.0):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(owner)))
    touched_s = path.stat().st_mtime - age_s
    os.utime(path, (touched_s, touched_s))


def dead_process():
    """An owner on this machine that has ended; its process number may be another's by now."""
    process = subprocess.Popen(["sleep", "60"])
    owner = replace(Owner.this_process(), pid=process.pid, process=claims.process_start(process.pid), token="dead")
    process.kill()
    assert owner.process
    while claims.process_start(process.pid) is not None:  # a zombie counts as ended
        time.sleep(0.01)
    return owner


def test_the_second_is_told_who_has_it(path):
    with Claim(path, "runs/x"):
        with pytest.raises(ClaimedError, match=rf"runs/x is being worked on by process {os.getpid()} on .*, since 20"):
            Claim(path, "runs/x").__enter__()
        assert path.exists()
    assert not path.parent.exists()
    with Claim(path, "runs/x"):
        pass


def test_a_job_of_slurm_is_named(path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert "SLURM job 17_3" in str(Owner.this_process())


def test_a_dead_process_loses_its_claim_at_once(path):
    write(path, dead_process())
    with Claim(path, "runs/x") as claim:
        assert read_claim(path) == (claim.owner, False)


def test_another_machine_loses_it_when_it_is_old(path):
    write(path, other_machine(), age_s=claims.STALE_S + 1)
    with Claim(path, "runs/x") as claim:
        assert read_claim(path) == (claim.owner, False)
    assert not path.parent.exists()


def test_another_machine_keeps_it_once_it_shows_that_it_lives(path, monkeypatch):
    monkeypatch.setattr(claims, "POLL_S", 0.02)
    write(path, other_machine(), age_s=20)
    threading.Timer(0.3, lambda: os.utime(path)).start()
    with pytest.raises(ClaimedError, match=r"process .* on far"):
        Claim(path, "runs/x").__enter__()


def test_living_owners_are_told_from_dead_ones_in_one_wait(path, monkeypatch):
    monkeypatch.setattr(claims, "POLL_S", 0.02)
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.5)
    paths = [path.with_name(f"{name}.claim") for name in ("here", "far", "silent", "dead", "gone")]
    for one, owner in zip(
        paths, [Owner.this_process(), other_machine(), other_machine(), dead_process()], strict=False
    ):
        write(one, owner, age_s=20)
    threading.Timer(0.2, lambda: os.utime(paths[1])).start()
    assert claims.living(paths) == set(paths[:2])


def test_another_machine_that_does_not_show_itself_is_waited_for(path, monkeypatch):
    """A job that is begun again on another machine a moment after its own end."""
    monkeypatch.setattr(claims, "POLL_S", 0.02)
    write(path, other_machine(), age_s=claims.STALE_S - 0.5)
    started_s = time.monotonic()
    with Claim(path, "runs/x"):
        assert time.monotonic() - started_s > 0.4


def test_a_claim_without_words_is_somebodys_until_it_is_old(path, monkeypatch):
    monkeypatch.setattr(claims, "POLL_S", 0.02)
    path.parent.mkdir()
    path.touch()
    threading.Timer(0.3, lambda: os.utime(path)).start()
    with pytest.raises(ClaimedError, match="unknown machine"):
        Claim(path, "runs/x").__enter__()
    os.utime(path, (0, 0))
    with Claim(path, "runs/x"):
        pass


def test_many_that_take_over_at_once_get_one_owner(path):
    """Processes begin at the same moment, round by round, with a stale claim in each."""
    code = """
import sys, time
from pathlib import Path
from vov_lightning.errors import ClaimedError
from vov_lightning.runs.claims import Claim
folder, begin = Path(sys.argv[1]), float(sys.argv[2])
for number in range(40):
    time.sleep(max(0, begin + 0.05 * number - time.time()))
    try:
        claim = Claim(folder / f"{number}.claim", "x")
        claim.__enter__()
        print(number)
    except ClaimedError:
        pass
sys.stdout.flush()
time.sleep(3)
"""
    folder, rounds, processes = path.parent, 40, 4
    for number in range(rounds):
        write(folder / f"{number}.claim", dead_process() if number == 0 else other_machine(), age_s=999)
    begin = str(time.time() + 4)
    command = [sys.executable, "-c", code, str(folder), begin]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    won = [int(line) for process in started for line in process.communicate(timeout=60)[0].split()]
    assert sorted(won) == list(range(rounds))


def test_an_owner_touches_its_claim_and_stops_when_it_is_taken(path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.05)
    seen = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: seen.set())
    try:
        with Claim(path, "runs/x"):
            os.utime(path, (0, 0))
            deadline = time.time() + 10
            while path.stat().st_mtime == 0:
                assert time.time() < deadline
                time.sleep(0.02)
            assert not seen.is_set()
            thief = other_machine()
            write(path, thief)
            while not seen.is_set():
                assert time.time() < deadline
                time.sleep(0.02)
        assert read_claim(path) == (thief, False)  # and leaves it alone
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "the claim on runs/x was taken over by process" in capsys.readouterr().err
