"""A fit without Lightning's chatter: tips, devices that it found, seeds that it set, advice that is not for us."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = {
    **dict.fromkeys(("lightning", "lightning.pytorch", "lightning.fabric"), logging.WARNING),
    "diffusers.hooks.context_parallel": logging.ERROR,  # a single time is not split among processes
}
ADVICE = (
    ".*in eval mode at the start of training",  # the base model is frozen
    ".*does not have many workers",  # there is nothing to load
    "Checkpoint directory .* exists and is not empty",  # a run that goes on
    "The dirpath has changed",
    "You're resuming from a checkpoint that ended before the epoch ended",  # batches are functions of their number
    "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint",  # a limit that is gone
    "The `srun` command is available",  # one process is all there is
    "`torch.jit.script` is deprecated",  # CompressAI's and torchmetrics' own code
    ".*LeafSpec",  # Lightning's
    "Mismatch dtype between input and weight",  # autocast's own doing
    ".*all_gather_tensor` is deprecated",  # diffusers' own code
)


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hide, within the block, what is below the level of each logger in `LOGGERS`, and warnings that match `ADVICE`."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger, level in zip(loggers, LOGGERS.values(), strict=True):
            logger.setLevel(level)
        with warnings.catch_warnings():
            for message in ADVICE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
