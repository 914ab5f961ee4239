"""``vov-fit --set``: which clips there are, who fits them, and the table that ends a set."""

import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jsonargparse import Namespace

from vov_lightning.bases.memory import out_of_memory
from vov_lightning.cli.bases import SharedBase
from vov_lightning.cli.common import own_error
from vov_lightning.cli.stopping import UNFINISHED
from vov_lightning.errors import ClaimedError, SettingError, UnfinishedError
from vov_lightning.fitting.interruption import Interrupted
from vov_lightning.fitting.rehearsal import check_disk
from vov_lightning.fitting.tracking import end_tracking
from vov_lightning.launch.outcome import Outcome
from vov_lightning.runs.claims import living, read_claim
from vov_lightning.runs.costs import ClipCost, format_costs
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.sets import (
    Member,
    check_set_folder,
    failure_of,
    format_summary,
    note_failure,
    part_of_array,
    read_set,
    summarize,
    take_part,
)
from vov_lightning.runs.source import SAMPLE
from vov_lightning.runs.status import format_states, states_of

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser

    from vov_lightning.cli.fit import FitCLI


@dataclass(frozen=True)
class ClipSet:
    """A set and the folder of its runs."""

    name: str
    folder: Path
    members: list[Member]
    part: list[Member]
    """Those of ``members`` that this command fits."""

    @classmethod
    def of(cls, config: Namespace) -> "ClipSet":
        """The set of ``config``.

        Raises:
            VovError: If it cannot be read, its folder holds something else, or settings of one clip are given.
        """
        if config.data.path != SAMPLE or config.data.paths is not None or config.ckpt_path not in (None, "last"):
            raise SettingError(
                f"--set {config.set} takes neither --data.path nor --ckpt_path, which are of one clip, nor "
                "--data.paths, which is of one vector; leave them out, or use --set null"
            )
        source = Path(config.set)
        members = read_set(source)
        part = config.part
        if part is None and config.launcher is None and (part := part_of_array()) is not None:
            print(f"part {part} of the set, by SLURM_ARRAY_TASK_ID; --part 1/1 takes all of it")
        name = config.name or source.resolve().name
        folder = Path(config.runs) / name
        check_set_folder(folder, members)
        return cls(name, folder, members, take_part(members, part))

    def run(self, member: Member) -> RunFolder:
        """The run folder of one clip."""
        return RunFolder(self.folder / member.name, member.name)


class Fitter:
    """Fits clips of a set one after the other, each by the set's own command line; the base model is loaded once.

    Args:
        cli_class: `vov_lightning.cli.fit.FitCLI`.
        args: The set's command line.
        name: Of the set.
        folder: Of its runs.
        dry_run: Whether nothing is kept.
    """

    def __init__(self, cli_class: "type[FitCLI]", args: list[str], name: str, folder: Path, dry_run: bool) -> None:
        self.cli_class, self.args, self.name, self.folder = cli_class, args, name, folder
        self.bases = SharedBase(stand_in=dry_run)
        self._parser: LightningArgumentParser | None = None
        self.started_s = time.time()
        self.costs: dict[str, ClipCost] = {}
        """Of a dry run, by clip."""

    def fit(self, member: Member, patient: bool = True) -> Outcome:
        """Fit one clip, and note where it failed.

        Args:
            member: The clip.
            patient: Whether an owner of its claim that may be dead is waited for (`Claim`).

        Raises:
            Interrupted: If a signal stopped it.
            Exception: If the base model does not load: then it would not for the next clip either.
        """
        run = RunFolder(self.folder / member.name, member.name)
        started_s = time.perf_counter()
        if (other := self._elsewhere(run, patient)) is not None:
            return Outcome("elsewhere", other)
        try:
            arguments = [*self.args, *member_arguments(member, self.name), f"--runs={self.folder.parent}"]
            cli = self.cli_class(arguments, self._parser)
            self._parser = cli.parser
            found = cli.fit(self.bases, member=True)
            run.failure.unlink(missing_ok=True)
        except UnfinishedError as error:
            outcome = Outcome("stopped", str(error))
        except ClaimedError as error:
            outcome = Outcome("elsewhere", str(error))
        except Exception as error:
            if self.bases.loading:
                raise
            self.bases.forget()
            outcome = Outcome("failed", _in_words(error))
            note_failure(run, outcome.text)
        else:
            if "cost" in found:
                self.costs[member.name] = found["cost"]
            outcome = Outcome("done", seconds=time.perf_counter() - started_s)
        end_tracking()  # but not after a signal: the job may have seconds left, and wandb ends with the process
        return outcome

    def _elsewhere(self, run: RunFolder, patient: bool) -> str | None:
        """Why this clip is another command's: it works on it, or has failed with it since this command began."""
        claim = None if patient else read_claim(run.claim)
        if claim is not None and not claim[1]:
            return f"{run.path} is being worked on by {claim[0]}"
        if (error := failure_of(run)) is not None and run.failure.stat().st_mtime > self.started_s:
            return f"another command has just failed with it: {error}"
        return None


def _in_words(error: Exception) -> str:
    """``error`` in a line; what is not ours also leaves its traceback on standard error."""
    own = own_error(error)
    if isinstance(error, torch.OutOfMemoryError):
        return out_of_memory(error)
    if own is None:
        traceback.print_exc()
    return f"{type(own or error).__name__}: {' '.join(str(own or error).split())}"


def fit_set(cli: "FitCLI", args: list[str]) -> int:
    """Fit the members of ``set`` in turn, each by a command line like ``args``.

    Returns:
        The exit status: 1 if one failed, `UNFINISHED` if one stopped early.
    """
    clips = ClipSet.of(cli.config)
    dry_run = cli.config.dry_run
    fitter = Fitter(type(cli), args, clips.name, clips.folder, dry_run)
    outcomes: dict[str, Outcome] = {}
    for number, member in enumerate(clips.part, start=1):
        print(f"[{number}/{len(clips.part)}] {member.name}", flush=True)
        outcomes[member.name] = fit_member(fitter, clips, member, patient=False)
    left = {clips.run(member).claim: member for member in clips.part if outcomes[member.name].state == "elsewhere"}
    alive = living(left)
    for claim, member in left.items():  # owners may have died in the meantime
        if claim in alive:
            tell(member, outcomes[member.name])
        else:
            outcomes[member.name] = fit_member(fitter, clips, member, patient=True)
    if dry_run:
        return end_dry_run(cli.config, clips, outcomes, fitter.costs)
    return end_set(clips, outcomes)


def fit_member(fitter: Fitter, clips: ClipSet, member: Member, patient: bool) -> Outcome:
    """Fit ``member`` and say what came of it, unless it is left for later; a signal says where it came."""
    try:
        outcome = fitter.fit(member, patient)
    except Interrupted as stop:
        number, where = clips.part.index(member) + 1, stop.where or "before its first iteration"
        stop.where = f"at clip {number} of {len(clips.part)}, {member.name}, {where}"
        summarize(clips.folder, clips.members)
        raise
    if patient or outcome.state != "elsewhere":
        tell(member, outcome)
    return outcome


def tell(member: Member, outcome: Outcome) -> None:
    """A line on a clip that was not fitted to its end."""
    if outcome.state != "done":
        words = {"failed": "failed: ", "stopped": "", "elsewhere": "skipped: "}[outcome.state]
        print(f"{member.name} {words}{outcome.text}", file=sys.stderr, flush=True)


def end_set(clips: ClipSet, outcomes: dict[str, Outcome]) -> int:
    """Write and print the table; the exit status."""
    print(f"{format_summary(summarize(clips.folder, clips.members))}\n{'files':<8} {clips.folder}")
    return status_of(outcomes)


def status_of(outcomes: dict[str, Outcome]) -> int:
    """Exit status: 1 if a clip failed, `UNFINISHED` if one stopped early."""
    states = {outcome.state for outcome in outcomes.values()}
    return 1 if "failed" in states else UNFINISHED if "stopped" in states else 0


def end_dry_run(config: Namespace, clips: ClipSet, outcomes: dict[str, Outcome], costs: dict[str, ClipCost]) -> int:
    """Say what the set would cost, and whether it could begin; the exit status."""
    if costs:
        print(format_costs(costs))
    failed = sum(outcome.state == "failed" for outcome in outcomes.values())
    total, said = len(clips.part), "failed" if failed else "passed"
    disk = check_disk(Path(config.runs), sum(cost.disk_bytes for cost in costs.values()))
    print(f"dry run {said}: {total - failed} of {total} clips, {disk}")
    return status_of(outcomes)


def show_status(config: Namespace) -> int:
    """Print where every clip of a set is.

    Raises:
        SettingError: If no set is given.
    """
    if config.set is None:
        raise SettingError("--status is of a set; give --set FOLDER, and --name and --runs as the set has them")
    source = Path(config.set)
    folder = Path(config.runs) / (config.name or source.resolve().name)
    print(format_states(states_of(folder, read_set(source))))
    return 0


def member_arguments(member: Member, set_name: str) -> list[str]:
    """What the command line of a set becomes for ``member``."""
    arguments = ["--set=null", f"--data.path={member.path}", f"--name={set_name}/{member.name}"]
    if member.caption is not None:
        arguments += ["--data.caption=null", "--data.captioner=null", f"--data.caption_file={member.caption}"]
    return arguments
