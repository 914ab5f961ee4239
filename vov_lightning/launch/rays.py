"""A bag of jobs among Ray actors: each actor keeps its base model, and a job whose actor dies is given to another.

Ray restarts actors and retries their calls itself, but then a call waits for
its own actor's restart even where others are idle. So actors do not restart
here: the driver hands out the jobs and makes new actors.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vov_lightning.errors import RunError, SettingError
from vov_lightning.launch.config import LaunchConfig, Need, engine

LOOK_S = 5.0
"""Seconds between two looks at the cluster, and lines of the view, at most."""
OBJECT_STORE_BYTES = 256 * 2**20
"""Of a cluster that is started here: only clips and checkpoints travel, and those rarely."""

Job = TypeVar("Job")


@dataclass(frozen=True)
class Event(Generic[Job]):
    """Something that happened in the bag."""

    job: Job
    result: Any = None
    """What the worker returned."""
    lost: str | None = None
    """Why the job is given up: its workers died. None of a job that has a result."""


@contextmanager
def cluster(config: LaunchConfig) -> Iterator[Any]:
    """Ray, connected to a cluster within the block, or to a new one on this machine.

    Raises:
        SettingError: If there is no cluster at the address.
    """
    ray = engine("ray", "ray")
    address = config.address or os.environ.get("RAY_ADDRESS")
    local = {} if address else {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    own = not ray.is_initialized()
    if own:
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise SettingError(f"--launch.address {address} is no Ray cluster that can be reached: {said}") from error
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


class Bag(Generic[Job]):
    """Jobs that workers take one after the other.

    Args:
        ray: Connected.
        make: Makes what a worker calls for each job; called once in each worker.
        jobs: What there is to do.
        config: The launcher's settings.
        need: What a worker takes.

    Raises:
        SettingError: If no machine of the cluster has room for a worker.
    """

    def __init__(
        self, ray: Any, make: Callable[[], Callable[[Job], Any]], jobs: Sequence[Job], config: LaunchConfig, need: Need
    ) -> None:
        check_room(ray, need)
        self.ray, self.config, self.need = ray, config, need
        self._make = make
        self._queue = deque((job, 0) for job in jobs)
        self._waiting: dict[Any, tuple[Any, tuple[Job, int] | None]] = {}  # by what is waited for: actor and job
        self._false_starts = 0

    @property
    def running(self) -> list[Job]:
        """Jobs that workers have."""
        return [given[0] for _, given in self._waiting.values() if given is not None]

    def events(self) -> Iterator[Event[Job] | None]:
        """What comes of each job, as it comes; None now and then, so that the caller can look up.

        Raises:
            Exception: Whatever a worker raised: it is no single job's fault.
            RunError: If workers die before they have begun.
        """
        ray = self.ray
        try:
            while self._queue or self.running:
                self._add_workers()
                ready, _ = ray.wait(list(self._waiting), timeout=LOOK_S)
                for reference in ready:
                    actor, given = self._waiting.pop(reference)
                    try:
                        result = ray.get(reference)
                    except ray.exceptions.RayActorError as error:
                        if (event := self._lost(given, _first_line(error))) is not None:
                            yield event
                        continue
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause or RunError(f"a worker failed: {_first_line(error)}") from error
                    self._false_starts = 0
                    self._give(actor)
                    if given is not None:
                        yield Event(given[0], result)
                yield None
        finally:
            for actor, _ in self._waiting.values():
                ray.kill(actor)

    def _add_workers(self) -> None:
        """Make as many as the cluster has room for by now, and as there is work for."""
        beginning = len(self._waiting) - len(self.running)
        most = (self.config.workers or room(self.ray, self.need)) - len(self._waiting)
        options = {"num_cpus": self.need.cpus, "num_gpus": self.need.gpus, "memory": self.need.memory_bytes}
        for _ in range(min(most, len(self._queue) - beginning)):
            actor = self.ray.remote(_Worker).options(**options, max_restarts=0).remote(self._make, os.getcwd())
            self._waiting[actor.begin.remote()] = (actor, None)

    def _give(self, actor: Any) -> None:
        """Give ``actor`` the next job, or let it go."""
        if self._queue:
            following = self._queue.popleft()
            self._waiting[actor.work.remote(following[0])] = (actor, following)
        else:
            actor.__ray_terminate__.remote()  # not killed: it removes its temporary files

    def _lost(self, given: tuple[Job, int] | None, why: str) -> Event[Job] | None:
        """Put the job of a worker that died back; what is said of a job that is given up."""
        if given is None:
            self._false_starts += 1
            if self._false_starts > self.config.retries:
                raise RunError(f"{self._false_starts} workers died before they had begun; the last one: {why}")
            return None
        job, tries = given
        if tries < self.config.retries:
            self._queue.appendleft((job, tries + 1))
            return None
        return Event(job, lost=f"its worker died {tries + 1} times; the last time: {why}")


class _Worker:
    """One process of the cluster."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], folder: str) -> None:
        self._make, self._folder = make, folder
        self._call: Callable[[Any], Any] | None = None

    def begin(self) -> None:
        if os.path.isdir(self._folder):  # paths of settings are relative to it
            os.chdir(self._folder)
        self._call = self._make()

    def work(self, job: Any) -> Any:
        assert self._call is not None
        return self._call(job)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def beside_driver(ray: Any, made: type, *arguments: Any) -> Any:
    """An actor with a ``made(*arguments)`` in the working directory of this process: ``call.remote(method, ...)``.

    It takes no resources.
    """
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    options = {"num_cpus": 0, "scheduling_strategy": place}
    return ray.remote(_Beside).options(**options).remote(os.getcwd(), made, arguments)


class _Beside:
    """One object, in another process of the same machine."""

    def __init__(self, folder: str, made: type, arguments: tuple[Any, ...]) -> None:
        os.chdir(folder)
        self._object = made(*arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._object, method)(*arguments)


def room(ray: Any, need: Need) -> int:
    """Workers that the machines of the cluster have room for, at least one."""
    return max(1, sum(_room_on(node, need) for node in ray.nodes() if node["Alive"]))


def check_room(ray: Any, need: Need) -> None:
    """Refuse a worker for which no machine of the cluster is large enough: Ray would wait for one for ever.

    Raises:
        SettingError: If there is none.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    if not any(_room_on(node, need) for node in alive):
        asked = f"{need.cpus:g} CPUs, {need.gpus:g} GPUs and {need.memory_bytes / 1e9:.1f} GB"
        raise SettingError(
            f"no machine of the Ray cluster has {asked}, which a worker is estimated to take; give --launch.cpus, "
            "--launch.gpus or --launch.memory_gb"
        )


def _room_on(node: dict[str, Any], need: Need) -> int:
    found = node["Resources"]
    asked = (("CPU", need.cpus), ("GPU", need.gpus), ("memory", need.memory_bytes))
    return int(min(found.get(name, 0) / amount for name, amount in asked if amount))
