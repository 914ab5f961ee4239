"""``--launcher slurm`` on a real SLURM of one node, started on the loopback for these tests alone.

Debian: ``apt install slurm-wlm``. Without it, or without root, the array's tasks run by submitit's local executor
instead: the same pickled calls, but no scheduler, no array numbers and no requeue.
"""

import shutil
import subprocess

import pytest
import submitit
from slurm_node import HAS_SLURM, one_node, wait_for
from support import files_of

from vov_lightning.cli import fit, launching
from vov_lightning.launch import slurm

NAMES = ("a", "b")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def cluster(tmp_path_factory):
    """SLURM of one node on this machine."""
    if not HAS_SLURM:
        pytest.skip("SLURM is not installed here, or this is not root: see test_tasks_by_the_local_executor")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    with one_node(folder):
        yield


@pytest.fixture
def arguments(set_arguments, monkeypatch):
    """Arguments for a set of two clips whose fits take seconds."""
    # Two threads that wait for each other at every small operator take twenty times as long on a busy machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    longer = ["--stage1.iterations=30", "--stage2.iterations=170", "--trainer.val_check_interval=200"]
    return [*set_arguments("pair", NAMES), *longer, "--launch.memory_gb=2", "--launch.minutes=10"]


@pytest.mark.cluster
def test_an_array_whose_task_is_requeued_changes_nothing(cluster, arguments, tmp_path, capsys):
    folder = tmp_path / "slurm" / "pair"
    command = [*arguments, "--launcher=slurm", f"--runs={tmp_path / 'slurm'}"]
    assert fit.main(command) == 0
    said = capsys.readouterr().out
    assert "submitted 2 jobs" in said
    job = said.split()[3].rstrip(",")
    log = folder / ".slurm" / f"{job}_0_log.err"
    wait_for((folder / "a" / "checkpoints" / "last.ckpt").exists, "a does not begin", 240)
    run("scancel", "--signal=USR2", job)  # what SLURM sends before the end of a job
    wait_for(lambda: log.exists() and "was requeued" in log.read_text(), "a was not requeued")
    wait_for(lambda: not run("squeue", "-h", "-o", "%i").strip(), "the jobs do not end", 300)
    assert "SIGUSR2: stopped at clip 1 of 1, a, at iteration " in log.read_text()
    assert fit.main([*command, "--status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 done"
    assert fit.main(command) == 0
    assert "2 done; nothing to submit" in capsys.readouterr().out
    assert fit.main([*arguments, f"--runs={tmp_path / 'alone'}"]) == 0
    assert files_of(folder, NAMES) == files_of(tmp_path / "alone" / "pair", NAMES)


@pytest.mark.cluster
def test_tasks_by_the_local_executor(arguments, tmp_path, monkeypatch):
    """What is pickled for a task does its part, wherever it runs."""

    def submit(call, config, need, folder, name, parts):
        executor = submitit.LocalExecutor(folder=slurm.logs_of(folder))
        executor.update_parameters(timeout_min=10)
        jobs = executor.map_array(call, list(parts))
        for job in jobs:
            job.result()
        return [job.job_id for job in jobs]

    monkeypatch.setattr(launching.slurm, "submit", submit)
    few = ["--stage1.iterations=2", "--stage2.iterations=2", "--trainer.val_check_interval=4", "--launch.workers=1"]
    assert fit.main([*arguments, *few, "--launcher=slurm", f"--runs={tmp_path / 'local'}"]) == 0
    assert fit.main([*arguments, *few, f"--runs={tmp_path / 'alone'}"]) == 0
    assert files_of(tmp_path / "local" / "pair", NAMES) == files_of(tmp_path / "alone" / "pair", NAMES)


def test_a_dry_run_prints_the_file_for_sbatch(arguments, tmp_path, capsys):
    more = [
        "--launch.partition=gpus",
        "--launch.gpus=1",
        "--launch.options={account: mine}",
        "--launch.setup=[module load x]",
    ]
    command = [*arguments, "--launcher=slurm", f"--runs={tmp_path / 'runs'}", *more]
    assert fit.main([*command, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [
        "array=0-1%2",
        "time=10",
        "mem=1908M",
        "gpus-per-node=1",
        "partition=gpus",
        "account=mine",
        "signal=USR2@120",
    ]
    assert {f"#SBATCH --{one}" for one in expected} <= set(lines)
    assert "#SBATCH --requeue" in lines
    assert "module load x" in lines
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--overwrite"], "--overwrite true with --launcher slurm deletes"),
        (["--part=1/2"], "--part 1/2 with --launcher slurm"),
        (["--launch.workers=0"], "launch.workers=0 is below 1"),
    ],
)
def test_what_makes_no_sense_for_an_array(arguments, more, message, capsys):
    assert fit.main([*arguments, "--launcher=slurm", *more]) == 1
    assert message in capsys.readouterr().err


def test_without_slurm_the_error_says_where_to_run_it(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert fit.main([*arguments, "--launcher=slurm", f"--runs={tmp_path / 'runs'}"]) == 1
    assert "--launcher slurm finds no srun and sbatch on this machine" in capsys.readouterr().err
