"""``--launcher slurm`` on a real SLURM of one node, started on the loopback for these tests alone.

Debian: ``apt install slurm-wlm``. Without it, or without root, the array's tasks run by submitit's local executor
instead: the same pickled calls, but no scheduler, no array numbers and no requeue.
"""

import os
import shutil
import socket
import subprocess
import time

import pytest

from vov_lightning.cli import fit, launching
from vov_lightning.launch import slurm

submitit = pytest.importorskip("submitit")

NAMES = ("a", "b")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
HAS_SLURM = os.getuid() == 0 and all(shutil.which(name) for name in PROGRAMS)
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer
SlurmctldParameters=enable_configless
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def wait_for(ready, what, seconds=120):
    deadline = time.time() + seconds
    while not ready():
        assert time.time() < deadline, what
        time.sleep(0.2)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    """SLURM of one node on this machine, up within two minutes."""
    if not HAS_SLURM:
        pytest.skip("SLURM is not installed here, or this is not root: see test_tasks_by_the_local_executor")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    with socket.socket() as first, socket.socket() as second:
        ports = []
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    config = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    config.write_text(CONFIG.format(folder=folder, host=host, ports=ports, cpus=os.cpu_count()))
    monkeypatch.setenv("SLURM_CONF", str(config))
    munge = {name: f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "key-file", "log-file")}
    munge |= {name: f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("pid-file", "seed-file")}
    commands = [
        ["munged", "--foreground", "--force", *munge.values()],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D"],
    ]
    processes = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("w")
            processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, "munged does not come up")
        wait_for(
            lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout,
            "no node",
        )
        yield folder
    finally:
        subprocess.run(["scancel", "--state=RUNNING", "--signal=KILL", "--user=root"], capture_output=True)
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def arguments(fit_arguments, clip, tmp_path):
    """Arguments for a set of two clips whose fits take seconds."""
    folder = tmp_path / "data" / "pair"
    folder.mkdir(parents=True)
    for name in NAMES:
        shutil.copyfile(clip, folder / f"{name}.mp4")
    kept = [argument for argument in fit_arguments if not argument.startswith(("--data.path", "--runs"))]
    longer = ["--stage1.iterations=30", "--stage2.iterations=270", "--trainer.val_check_interval=300"]
    return [*kept, *longer, f"--set={folder}", "--launch.memory_gb=2", "--launch.minutes=10"]


def files_of(runs):
    names = [f"{name}/{file}" for name in NAMES for file in (f"{name}.vov", "config.yaml", "caption.txt")]
    return {name: (runs / "pair" / name).read_bytes() for name in names}


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
    assert files_of(tmp_path / "slurm") == files_of(tmp_path / "alone")


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
    assert files_of(tmp_path / "local") == files_of(tmp_path / "alone")


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
