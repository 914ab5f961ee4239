"""Signals stop a fit where nothing is lost: one line, the shell's exit status, and the same command goes on."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from vov_lightning.cli import fit
from vov_lightning.cli.stopping import requeue
from vov_lightning.fitting import run as run_module
from vov_lightning.fitting.interruption import SIGNALS, Interrupted, stopped_by_signals
from vov_lightning.runs import encode

ITERATIONS = 6


def sends(signum, function):
    """``function``, but a signal comes first."""

    def signalled(*args, **options):
        os.kill(os.getpid(), signum)
        return function(*args, **options)

    return signalled


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_raises_and_handlers_come_back(name):
    signum = getattr(signal, name)
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as stop:
        wait_for(signum)
    assert stop.value.status == 128 + signum
    assert signal.getsignal(signum) == before


def wait_for(signum):
    with stopped_by_signals():
        os.kill(os.getpid(), signum)
        time.sleep(1)


def test_a_signal_waits_for_the_step_and_the_second_does_not():
    with stopped_by_signals():
        SIGNALS.hold()
        os.kill(os.getpid(), signal.SIGTERM)
        SIGNALS.hold()  # the next batch of the same step
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
        SIGNALS.forget()
        SIGNALS.hold()
        os.kill(os.getpid(), signal.SIGHUP)
        assert SIGNALS.pending == signal.SIGHUP
        with pytest.raises(Interrupted) as stop:
            SIGNALS.release()
    assert stop.value.status == 129


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def uninterrupted(run_fit, tmp_path) -> bytes:
    assert run_fit("--name=whole") == 0
    return (tmp_path / "runs" / "whole" / "ramp.vov").read_bytes()


def test_a_signal_in_any_phase_loses_nothing(run_fit, uninterrupted, tmp_path, monkeypatch, capsys):
    """In a step (held), in a validation (from the step before), while the clip is coded."""
    module = run_module.VOVModule
    folder = tmp_path / "runs" / "cut"
    phases = [
        (module, "training_step", signal.SIGTERM, "at iteration 1 of 12"),
        (module, "validation_step", signal.SIGHUP, "at iteration 5 of 12"),
        (module, "begin_rate_constraint", signal.SIGINT, "at iteration 7 of 12"),
        (module, "validation_step", signal.SIGUSR1, "at iteration 11 of 12"),
        (encode, "code_clip", signal.SIGTERM, "while the clip was coded"),
        (encode, "assemble", signal.SIGINT, "while the clip was coded"),
    ]
    for owner, function, signum, where in phases:
        with monkeypatch.context() as patch:
            patch.setattr(owner, function, sends(signum, getattr(owner, function)))
            assert run_fit("--name=cut") == 128 + signum
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.endswith(f"{signal.Signals(signum).name}: stopped {where}; the same command goes on")
        assert not (folder / "metrics.json").exists()
        assert not list(folder.rglob(".vov-*"))
    assert run_fit("--name=cut") == 0
    assert (folder / "ramp.vov").read_bytes() == uninterrupted


def test_a_signal_stops_a_set(fit_arguments, clip, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(clip.read_bytes())
    arguments = [argument for argument in fit_arguments if not argument.startswith("--data.path")]
    arguments += [f"--set={folder}", "--scaling.bits=0"]
    train, step = fit.train_and_finish, run_module.VOVModule.training_step
    with monkeypatch.context() as patch:
        seen = []

        def second_is_stopped(trainer, module, data, *rest):
            seen.append(data.source_name)
            if len(seen) == 2:
                patch.setattr(run_module.VOVModule, "training_step", sends(signal.SIGTERM, step))
            return train(trainer, module, data, *rest)

        patch.setattr(fit, "train_and_finish", second_is_stopped)
        assert fit.main(arguments) == 143
    assert seen == ["a", "b"]
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "stopped at clip 2 of 3, b, at iteration 1 of 12; the same command goes on" in line
    assert '"unfinished": [\n    "b",\n    "c"\n  ]' in (tmp_path / "runs" / "set" / "summary.json").read_text()


def test_slurm_is_asked_to_requeue_the_job(tmp_path, monkeypatch, capfd):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho asked $@\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    requeue(signal.SIGUSR1)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    requeue(signal.SIGTERM)  # scancel, or the end of the job: not again
    assert "asked" not in capfd.readouterr().out
    requeue(signal.SIGUSR1)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    requeue(signal.SIGUSR2)
    said = capfd.readouterr()
    assert said.out.splitlines() == ["asked requeue 12", "asked requeue 10_3"]
    assert "job 10_3 was requeued" in said.err


def test_a_process_ends_with_the_signals_status_and_the_same_command_goes_on(fit_arguments, tmp_path):
    """The whole way once, as a scheduler sees it."""
    more = ["--stage1.iterations=30", "--stage2.iterations=2000", "--trainer.val_check_interval=2030"]
    code = "import sys; from vov_lightning.cli.fit import main; sys.exit(main())"
    command = [sys.executable, "-W", "ignore", "-c", code, *fit_arguments, *more, "--scaling.bits=0"]
    checkpoint = tmp_path / "runs" / "ramp" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 120
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.time() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    stopped = re.search(r"SIGTERM: stopped at iteration (\d+) of 2030; the same command goes on\n$", said)
    assert stopped
    assert int(stopped[1]) >= 25
    assert fit.main([*fit_arguments, *more, "--scaling.bits=0", f"--trainer.max_steps={int(stopped[1]) + 1}"]) == 75
