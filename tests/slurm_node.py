"""A real SLURM of one node, started on the loopback as root, with every file of its own in one folder.

Debian: ``apt install slurm-wlm``.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until ``ready()``; fail with ``what`` after ``seconds``."""
    deadline = time.time() + seconds
    while not ready():
        assert time.time() < deadline, what
        time.sleep(0.2)


@contextmanager
def one_node(folder: Path) -> Iterator[None]:
    """SLURM within the block, up within two minutes; ``SLURM_CONF`` names it.

    Args:
        folder: Empty, and readable by all users.
    """
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
    os.environ["SLURM_CONF"] = str(config)
    files = ("socket", "key-file", "log-file", "pid-file", "seed-file")
    munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in files]
    processes = []
    try:
        for command in (["munged", "--foreground", "--force", *munge], ["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("w") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, "munged does not come up")
        wait_for(node_is_idle, "no node")
        yield
    finally:
        subprocess.run(["scancel", "--state=RUNNING", "--signal=KILL", "--user=root"], capture_output=True)
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)
        del os.environ["SLURM_CONF"]


def node_is_idle() -> bool:
    return "idle" in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout
