"""One clip on several GPUs: every process takes its share of the draws, and the first one writes.

Lightning's ``ddp`` averages the gradients. Draw ``n`` of a fit is the same
whatever process takes it, so the same number of draws an iteration (devices
times ``accumulate_grad_batches`` times ``batch_size``) gives the same vector, up
to the order of sums.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
from lightning.pytorch.strategies import DDPStrategy

from vov_lightning.fitting.interruption import SIGNALS, Interrupted


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
    frozen = [name for name, _ in named if name.startswith("base.")]
    module._ddp_params_and_buffers_to_ignore = frozen  # type: ignore[assignment]  # DistributedDataParallel's own name


def agree_on_signals(trainer: L.Trainer) -> None:
    """Let a signal that came to one process stop all of them behind the same optimizer step."""
    if trainer.world_size > 1:
        stop = trainer.strategy.reduce_boolean_decision(SIGNALS.pending is not None, all=False)
        if stop and SIGNALS.pending is None:
            SIGNALS.pending = signal.SIGTERM


@contextmanager
def first_process_goes_on(trainer: L.Trainer) -> Iterator[None]:
    """Behind the block every process but the first ends, with status 0: the first one says what stopped the fit."""
    try:
        yield
    except Interrupted:
        if trainer.is_global_zero:
            raise
    if not trainer.is_global_zero:
        sys.exit(0)
