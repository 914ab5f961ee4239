"""``vov-fit --set --launcher``: the clips of a set handed to Ray's actors, or to the tasks of a SLURM array."""

import atexit
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from vov_lightning.bases import class_of
from vov_lightning.bases.estimate import estimate
from vov_lightning.cli.rehearsal import work_of
from vov_lightning.cli.sets import ClipSet, Fitter, end_set, tell
from vov_lightning.errors import ClaimedError, SettingError
from vov_lightning.fitting.interruption import Interrupted
from vov_lightning.fitting.quiet import without_chatter
from vov_lightning.launch import rays, slurm
from vov_lightning.launch.config import LaunchConfig, Need
from vov_lightning.launch.outcome import Outcome
from vov_lightning.launch.parcels import Keeper, Mark, Sender, marked, pack, receive
from vov_lightning.runs.costs import memory_of
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.sets import Member, note_failure, summarize
from vov_lightning.runs.status import ClipState, State, count_states, state_of

if TYPE_CHECKING:
    from vov_lightning.cli.fit import FitCLI

PROCESS_BYTES = 2 * 10**9
"""Memory of a worker besides weights and what a fit keeps: Python, PyTorch, frames."""
TABLE_SHARE = 0.05
"""Most of the driver's time that goes into the table."""


def launch_set(cli: "FitCLI") -> int:
    """Fit the set of ``cli`` by its launcher; the exit status."""
    config = cli.config
    if config.overwrite:
        raise SettingError(
            f"--overwrite true with --launcher {config.launcher} deletes checkpoints when a job begins again; leave "
            "it out, and remove the folder of the runs or choose another --name"
        )
    launch = LaunchConfig(**config.launch)
    if config.launcher == "slurm":
        return submit_set(cli, launch)
    clips = ClipSet.of(config)
    with signals_kept(), rays.cluster(launch) as ray:
        gpus = sum(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
        return end_set(clips, fit_on_ray(cli, clips, launch, need_of(config, launch, gpus > 0), ray))


@contextmanager
def signals_kept() -> Iterator[None]:
    """Within the block a signal that stops the command stays one: Ray's compiled code makes a SystemError of it."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, Interrupted):
            raise error.__cause__ from None
        raise


def need_of(config: Namespace, launch: LaunchConfig, gpus_there: bool) -> Need:
    """What a worker takes: as ``launch`` says, else as the base model is estimated at its own size."""
    gpus = launch.gpus
    if gpus is None:
        gpus = 0 if config.trainer.accelerator == "cpu" or not gpus_there else 1
    if launch.memory_gb is not None:
        return Need(launch.cpus, gpus, int(1e9 * launch.memory_gb))
    base, work = class_of(config.model.base.class_path).skeleton(), work_of(config)
    costs = estimate(base, base.default_size, work.rank, work.targets)
    return Need(launch.cpus, gpus, PROCESS_BYTES + (costs.weight_bytes if gpus else memory_of(costs, work)))


def submit_set(cli: "FitCLI", launch: LaunchConfig) -> int:
    """Submit the set as an array, or with ``dry_run`` print the file for sbatch; the exit status.

    Raises:
        SettingError: If settings do not suit an array.
    """
    config = cli.config
    if config.part is not None:
        raise SettingError(f"--part {config.part} with --launcher slurm: the array has parts of its own; leave it out")
    clips = ClipSet.of(config)
    open_states = [state_of(clips.run(member)) for member in clips.members]
    left = sum(one.state not in ("done", "running") for one in open_states)
    tasks = min(launch.workers or slurm.MOST_TASKS, left)
    need = need_of(config, launch, gpus_there=True)
    if config.dry_run:
        print(slurm.sbatch_file(launch, need, clips.folder, clips.name, max(1, tasks)))
        return 0
    if not tasks:
        print(f"{count_states(open_states)}; nothing to submit")
        return 0
    clips.folder.mkdir(parents=True, exist_ok=True)
    text, parts = settings_of(cli), [f"{number}/{tasks}" for number in range(1, tasks + 1)]
    jobs = slurm.submit(partial(fit_part, text), launch, need, clips.folder, clips.name, parts)
    print(
        f"submitted {tasks} jobs, {jobs[0]} to {jobs[-1]}, for {left} of {len(clips.members)} clips; "
        f"--status says how far they are, logs lie in {slurm.logs_of(clips.folder)}"
    )
    return 0


def settings_of(cli: "FitCLI") -> str:
    """Every setting of ``cli`` as YAML: other machines need not have its files of settings."""
    settings = cli.config.clone()
    settings.update(Namespace(launcher=None, config=None))
    return str(cli.parser.dump(settings, skip_check=True))


def fit_part(text: str, part: str) -> None:
    """What a job of SLURM does: ``vov-fit`` with the settings in ``text`` on one part of the set."""
    from vov_lightning.cli import fit

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        status = fit.main([f"--config={file.name}", f"--part={part}"])
    if status:
        sys.exit(status)


def fit_on_ray(cli: "FitCLI", clips: ClipSet, launch: LaunchConfig, need: Need, ray: Any) -> dict[str, Outcome]:
    """Fit the clips of a set by Ray's actors; the table and a line of the view follow what comes back."""
    outcomes: dict[str, Outcome] = {}
    folder = clips.folder.resolve()
    with marked(folder, launch.shared) as mark:
        keeper = rays.beside_driver(ray, Keeper, folder)
        make = partial(worker_of, type(cli), settings_of(cli), clips, mark, keeper)
        bag = rays.Bag(ray, make, clips.part, launch, need)
        view = View(clips)
        for event in bag.events():
            if event is not None:
                outcome = event.result
                if event.lost is not None:
                    outcome = Outcome("failed", f"RunError: {event.lost}")
                    note_failure(RunFolder(folder / event.job.name, event.job.name), outcome.text)
                outcomes[event.job.name] = outcome
                tell(event.job, outcome)
            view.show(outcomes, bag.running)
    return outcomes


class View:
    """A line on how far a set is, whenever it has changed, and the table on the disk meanwhile.

    Args:
        clips: The set.
    """

    def __init__(self, clips: ClipSet) -> None:
        self.clips = clips
        self._line, self._written_s, self._took_s = "", time.monotonic(), 0.0

    def show(self, outcomes: dict[str, Outcome], running: Sequence[Member]) -> None:
        """Say where each clip is that this command fits."""
        names = {member.name for member in running}
        states = [self._state(member.name, outcomes.get(member.name), names) for member in self.clips.part]
        line = count_states(states)
        if line == self._line:
            return
        print(line, flush=True)
        self._line = line
        if time.monotonic() - self._written_s > self._took_s / TABLE_SHARE:
            started_s = time.monotonic()
            summarize(self.clips.folder, self.clips.members)
            self._written_s = time.monotonic()
            self._took_s = self._written_s - started_s

    @staticmethod
    def _state(name: str, outcome: Outcome | None, running: set[str]) -> ClipState:
        if outcome is None:
            return ClipState(name, "running" if name in running else "waiting", "")
        state: State = "running" if outcome.state == "elsewhere" else outcome.state
        return ClipState(name, state, outcome.text, outcome.seconds if outcome.state == "done" else None)


def worker_of(
    cli_class: "type[FitCLI]", text: str, clips: ClipSet, mark: Mark, keeper: Any
) -> Callable[[Member], Outcome]:
    """What a worker of Ray calls for each clip; the base model stays in it."""
    home = Path(tempfile.mkdtemp(prefix="vov-"))  # as long as the process
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = home / "settings.yaml"
    settings.write_text(text)
    folder = clips.folder if mark.is_seen else home / "runs" / clips.name
    fitter = Fitter(cli_class, [f"--config={settings}"], clips.name, folder, dry_run=False)

    def fit_here(member: Member) -> Outcome:
        with without_chatter():
            return fitter.fit(member)

    def fit_away(member: Member) -> Outcome:
        ray = rays.engine("ray", "ray")
        try:
            parcel = ray.get(keeper.call.remote("send", member))
        except ClaimedError as error:
            return Outcome("elsewhere", str(error))
        run = RunFolder(folder / member.name, member.name)
        here = receive(parcel, member, home / "clips", folder)
        with Sender(lambda data: ray.get(keeper.call.remote("keep", member, data)), run):
            outcome = fit_here(here)
        failure = outcome.text if outcome.state == "failed" else None
        ray.get(keeper.call.remote("end", member, pack({"run": run.path}), failure))
        shutil.rmtree(run.path, ignore_errors=True)
        shutil.rmtree(home / "clips", ignore_errors=True)
        return outcome

    return fit_here if mark.is_seen else fit_away
