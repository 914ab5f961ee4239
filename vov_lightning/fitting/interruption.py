"""Signals that ask a command to stop, taken where nothing is lost.

Python's default for SIGTERM and SIGHUP is to die at once, and Lightning answers
Ctrl-C with its own exit. Here a signal raises `Interrupted` wherever the
program is, with one exception: while signals are held (`SIGNALS.hold` to
`SIGNALS.release`) it waits for the end of an optimizer step, where a checkpoint
is written first. A second signal does not wait.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that stop a command, where the system has them. SLURM sends one of the last two before a requeue."""


class Interrupted(BaseException):
    """A signal stopped the command. No `Exception`: nobody who handles errors may swallow it.

    Args:
        signum: Number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.where = ""
        """How far the work is, such as "at iteration 161 of 240"; empty before it began."""

    @property
    def status(self) -> int:
        """Exit status that shells give to the signal: 128 and its number."""
        return 128 + self.signum

    @property
    def line(self) -> str:
        """One line for a person."""
        return f"{signal.Signals(self.signum).name}: stopped {self.where or 'before the first iteration'}"


class Signals:
    """Whether a signal has come, and whether it has to wait. There is one, as a process has one set of handlers."""

    def __init__(self) -> None:
        self.pending: int | None = None
        """Number of the signal that waits, or that was raised already."""
        self._held = self._firmly = False

    def handle(self, signum: int, frame: FrameType | None = None) -> None:
        """Answer a signal: note the first one while held, raise otherwise."""
        first, self.pending = self.pending is None, signum
        if not (self._held and (first or self._firmly)):
            self._held = False
            raise Interrupted(signum)

    def hold(self, firmly: bool = False) -> None:
        """Let signals wait from here on; nothing changes where they wait already.

        Args:
            firmly: Whether a second signal waits too.

        Raises:
            Interrupted: If one came before, and whoever it was raised in has lost it.
        """
        if not self._held:
            self._raise_pending()
        self._held, self._firmly = True, self._firmly or firmly

    def release(self) -> None:
        """Let signals raise again, and raise the one that waits."""
        self._held = self._firmly = False
        self._raise_pending()

    def forget(self) -> None:
        """Forget every signal, and hold none."""
        self.pending, self._held, self._firmly = None, False, False

    def takes(self, signum: int) -> bool:
        """Whether ``signum`` is answered here."""
        return signal.getsignal(signum) == self.handle

    def _raise_pending(self) -> None:
        if self.pending is not None:
            raise Interrupted(self.pending)


SIGNALS = Signals()


@contextmanager
def stopped_by_signals(names: Sequence[str] = NAMES) -> Iterator[None]:
    """Within the block, signals of ``names`` raise `Interrupted`; those that are ignored (nohup) stay so.

    Nothing changes in a thread other than the main one, which Python gives no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {signum: signal.getsignal(signum) for signum in found}
    taken = [signum for signum, handler in before.items() if handler is not signal.SIG_IGN]
    SIGNALS.forget()
    try:
        for signum in taken:
            signal.signal(signum, SIGNALS.handle)
        yield
    finally:
        for signum in taken:
            signal.signal(signum, before[signum])
        SIGNALS.forget()


@contextmanager
def locating(where: Callable[[], str] | str) -> Iterator[None]:
    """Note in an `Interrupted` that leaves the block how far the work is, unless an inner block has."""
    try:
        yield
    except Interrupted as stop:
        stop.where = stop.where or (where if isinstance(where, str) else where())
        raise
