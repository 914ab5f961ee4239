"""A set as a SLURM array, through submitit: each task fits its part of the set and is requeued before its time is over.

submitit writes the sbatch file and pickles the call. Its own handler of SIGUSR2
would save nothing of a fit that runs; `vov_lightning.cli.stopping` takes the
signal instead, lets the fit write its checkpoint and asks for the requeue.
"""

import math
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vov_lightning.errors import SettingError
from vov_lightning.launch.config import LaunchConfig, Need, engine

MOST_TASKS = 1000
"""Tasks of an array unless told otherwise: SLURM's default MaxArraySize is 1001."""
SIGNAL_S = 120
"""Seconds before the end of a job at which it is told to stop: an iteration, a checkpoint, Python's end."""


def parameters_of(config: LaunchConfig, need: Need, name: str) -> dict[str, Any]:
    """What submitit is told of a job called ``name``."""
    found: dict[str, Any] = {
        "job_name": name,
        "time": config.minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": math.ceil(need.cpus),
        "mem": f"{math.ceil(need.memory_bytes / 2**20)}M",
        "signal_delay_s": min(SIGNAL_S, 30 * config.minutes),
        "additional_parameters": {"requeue": True, **config.options},
    }
    if need.gpus:
        found["gpus_per_node"] = math.ceil(need.gpus)
    if config.partition is not None:
        found["partition"] = config.partition
    if config.setup:
        found["setup"] = list(config.setup)
    return found


def sbatch_file(config: LaunchConfig, need: Need, folder: Path, name: str, tasks: int) -> str:
    """The file that `submit` would give to sbatch; it can be had where there is no SLURM."""
    slurm = engine("submitit.slurm.slurm", "slurm")
    text: str = slurm._make_sbatch_string(
        command=f"{sys.executable} -u -m submitit.core._submit {logs_of(folder)}",
        folder=logs_of(folder),
        map_count=tasks if tasks > 1 else None,
        **parameters_of(config, need, name),
    )
    return text


def submit(
    run: Callable[[str], None], config: LaunchConfig, need: Need, folder: Path, name: str, parts: Sequence[str]
) -> list[str]:
    """Submit one job for each of ``parts``; the jobs' numbers.

    Args:
        run: Called in a job with its part; it is pickled.
        config: The launcher's settings.
        need: What a job takes.
        folder: Of the set; logs go below it.
        name: Of the jobs.
        parts: Such as ``2/8``.

    Raises:
        SettingError: If there is no SLURM here, or it does not take the job.
    """
    submitit = engine("submitit", "slurm")
    if shutil.which("srun") is None or shutil.which("sbatch") is None:
        raise SettingError(
            "--launcher slurm finds no srun and sbatch on this machine; run it where jobs are submitted, or see the "
            "file with --dry_run"
        )
    executor = submitit.SlurmExecutor(folder=logs_of(folder), max_num_timeout=0)
    executor.update_parameters(**parameters_of(config, need, name))
    try:
        jobs = executor.map_array(run, list(parts))
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        said = " ".join(str(error).split())
        raise SettingError(f"sbatch did not take the jobs ({said[-300:]}); see the file with --dry_run") from error
    return [str(job.job_id) for job in jobs]


def logs_of(folder: Path) -> Path:
    """Where jobs log: ``<job>_<task>_0_log.out`` and ``.err``."""
    return folder.resolve() / ".slurm"
