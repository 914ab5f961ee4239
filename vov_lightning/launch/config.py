"""What a launcher is told: how many workers, what each may take, and what the scheduler wants to know."""

from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

from vov_lightning.errors import SettingError


@dataclass(frozen=True)
class LaunchConfig:
    """Workers that share a set.

    Raises:
        SettingError: If a number is out of range.
    """

    workers: int | None = None
    """Workers at a time. Empty for as many as the Ray cluster has room for, or under SLURM one for each clip, at most
    1000."""
    cpus: float = 1
    """CPU cores of a worker."""
    gpus: float | None = None
    """GPUs of a worker, or a share of one under Ray; empty for 1, or 0 where trainer.accelerator is cpu or Ray sees no
    GPU."""
    memory_gb: float | None = None
    """Memory of a worker in GB; empty for the estimate: 2 GB, the weights, and without a GPU what a fit keeps."""
    retries: int = 3
    """Ray: how often a clip is given to another worker when its worker died."""
    address: str | None = None
    """Ray: address of a cluster; empty for RAY_ADDRESS, or else a cluster on this machine that ends with the set."""
    shared: bool | None = None
    """Ray: whether workers see the folder of the set; empty to find out. Where they do not, clips and checkpoints
    travel."""
    minutes: int = 240
    """SLURM: time limit of a job. It is put back into the queue before it ends, and goes on from its checkpoint."""
    partition: str | None = None
    """SLURM: partition."""
    setup: list[str] = field(default_factory=list)
    """SLURM: lines of shell before the work, such as "module load cuda"."""
    options: dict[str, Any] = field(default_factory=dict)
    """SLURM: further options of sbatch by name, such as {account: mine}."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("workers", self.workers, 1),
            ("cpus", self.cpus, 0.01),
            ("gpus", self.gpus, 0),
            ("memory_gb", self.memory_gb, 0.01),
            ("retries", self.retries, 0),
            ("minutes", self.minutes, 1),
        ):
            if value is not None and value < least:
                raise SettingError(f"launch.{name}={value} is below {least}; leave it out for the default")


@dataclass(frozen=True)
class Need:
    """What one worker takes."""

    cpus: float
    gpus: float
    memory_bytes: int


def engine(name: str, extra: str) -> ModuleType:
    """The library ``name``.

    Raises:
        SettingError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingError(
            f'--launcher {extra} needs {name}, which cannot be imported ({error}); pip install "vov_lightning[{extra}]"'
        ) from error
