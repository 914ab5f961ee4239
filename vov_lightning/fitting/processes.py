"""One clip on several GPUs: every process takes its share of the draws, and the first one writes.

Lightning's ``ddp`` averages the gradients. Draw ``n`` of a fit is the same
whatever process takes it, so the same number of draws an iteration (devices
times ``accumulate_grad_batches`` times ``batch_size``) gives the same vector, up
to the order of sums.

A signal to any process stops all of them. Between the first step and the last,
each notes its signals, and all agree at the end of a step. Before, and within a
validation, the first process answers at once and ends the others; a signal to
one of the others waits for the next agreement.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from signal import SIGTERM, Signals
from tempfile import TemporaryDirectory

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from vov_lightning.errors import RunError
from vov_lightning.fitting.interruption import SIGNALS, Interrupted

MEETING = "VOV_MEETING"
"""Variable of the environment: folder in which the processes that the first one starts say that they are ready."""
POLL_S = 0.05


FROZEN = ("base.", "fit_base.")
"""How names of a module's parameters that are never trained begin."""


def starts_first() -> bool:
    """Whether this process is the first of its fit, as far as Lightning's launcher or torchrun has said."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))


def share_draws(trainer: L.Trainer, module: L.LightningModule) -> None:
    """Prepare Lightning's ``ddp``, if ``trainer`` has it, before it wraps ``module``."""
    if not isinstance(trainer.strategy, DDPStrategy):
        return
    # Stage 1 has no gradient of the density; the base model is the same everywhere, and the processes leave it alone.
    trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
    named = [*module.named_parameters(), *module.named_buffers()]
    frozen = [name for name, _ in named if name.startswith(FROZEN)]
    module._ddp_params_and_buffers_to_ignore = frozen  # type: ignore[assignment]  # DistributedDataParallel's own name


def answer_signals_alone(trainer: L.Trainer) -> None:
    """Keep Lightning's handlers away, where this package takes SIGTERM or there are several processes.

    Lightning's handler of SIGTERM broadcasts, wherever the program is. Then the collectives of two processes come in
    different orders, and both wait for ever. Its handler of SIGUSR1, which requeues a SLURM job, goes with it:
    ``--launcher slurm`` has its own.
    """
    if SIGNALS.takes(SIGTERM) or trainer.world_size > 1:
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]  # of this trainer alone


def agreed_signal(trainer: L.Trainer) -> int | None:
    """Signal that stops the fit here, the same in all processes; None where it goes on.

    A signal that comes later is of the next call.
    """
    pending = SIGNALS.pending
    if trainer.world_size > 1:
        mine = torch.tensor(pending or 0, device=trainer.strategy.root_device)
        pending = int(trainer.strategy.reduce(mine, reduce_op="max"))
    return pending or None


def hold_if_started() -> None:
    """Leave signals to the first process's agreement, if this is a process that it has started."""
    if MEETING in os.environ:
        SIGNALS.hold(firmly=True)


@contextmanager
def first_process_goes_on(trainer: L.Trainer) -> Iterator[None]:
    """Within the block, processes start and end together; behind it every one but the first ends, with status 0.

    The first one says what stopped the fit.
    """
    launcher = launcher_of(trainer)
    if launcher is None and MEETING in os.environ:
        (Path(os.environ[MEETING]) / str(trainer.local_rank)).touch()
    try:
        with others_start(trainer.strategy, launcher) if launcher is not None else nullcontext():
            yield
    except BaseException as error:
        if launcher is not None:
            end_others(launcher)
        if trainer.is_global_zero or not isinstance(error, Interrupted):
            raise
    if not trainer.is_global_zero:
        sys.exit(0)


def launcher_of(trainer: L.Trainer) -> _SubprocessScriptLauncher | None:
    """What starts the other processes of this fit; None where this process starts none."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return None
    return None if launcher.cluster_environment.creates_processes_externally else launcher


@contextmanager
def others_start(strategy: Strategy, launcher: _SubprocessScriptLauncher) -> Iterator[None]:
    """Within the block, Lightning starts the other processes, and a signal can stop the wait for them.

    PyTorch's own wait lets no signal through, and the others may take minutes to load a base model.
    """
    connect = strategy.setup_environment

    def meet() -> None:
        SIGNALS.release()
        while len(list(Path(folder).iterdir())) < len(launcher.procs):
            check_alive(launcher)
            time.sleep(POLL_S)
        connect()

    with TemporaryDirectory() as folder:
        os.environ[MEETING] = folder
        strategy.setup_environment = meet  # type: ignore[method-assign]  # of this fit alone
        SIGNALS.hold()  # a signal between the start of a process and its entry in the list would leave it behind
        try:
            yield
        finally:
            strategy.setup_environment = connect  # type: ignore[method-assign]  # as it was
            del os.environ[MEETING]


def check_alive(launcher: _SubprocessScriptLauncher) -> None:
    """Raise if one of the other processes has ended before they met.

    Raises:
        Interrupted: If a signal ended it.
        RunError: If something else did.
    """
    for number, process in enumerate(launcher.procs, start=1):
        status = process.poll()
        if status is None:
            continue
        signum = -status if status < 0 else status - 128
        if signum in set(Signals):
            raise Interrupted(signum)
        raise RunError(f"process {number} of the fit ended with status {status} before it began; see its message above")


def end_others(launcher: _SubprocessScriptLauncher) -> None:
    """Kill the processes that this one has started; nothing of theirs is needed."""
    others, launcher.procs[:] = launcher.procs[:], []  # else Lightning's observer kills this process as well
    for process in others:
        process.kill()
        process.wait()
