"""Which settings of a run its result depends on.

A run goes on, or counts as finished, only under the same settings. Those that
merely limit the fit, log it, show it or watch it do not count: a fit that was
stopped by ``trainer.max_time`` goes on without it.
"""

from collections.abc import Iterable
from typing import Any

TRAINER = (
    "max_time", "max_steps", "min_steps", "max_epochs", "min_epochs", "fast_dev_run", "overfit_batches",
    "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches",
    "val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps", "reload_dataloaders_every_n_epochs",
    "logger", "log_every_n_steps", "enable_autolog_hparams", "default_root_dir", "enable_checkpointing",
    "enable_progress_bar", "enable_model_summary", "profiler", "detect_anomaly", "barebones",
    "use_distributed_sampler",
)  # fmt: skip
"""Settings of Lightning's trainer that do not change what is fitted."""
CALLBACKS = (
    "Timer", "EarlyStopping", "ModelCheckpoint", "OnExceptionCheckpoint", "ModelSummary", "RichModelSummary",
    "ProgressBar", "TQDMProgressBar", "RichProgressBar", "LearningRateMonitor", "DeviceStatsMonitor",
    "ThroughputMonitor", "GarbageCollectionCallback",
)  # fmt: skip
"""Callbacks of Lightning's that do not."""
LIGHTNING = ("lightning.", "pytorch_lightning.")


def counting(settings: dict[str, Any], harmless: Iterable[str] = ()) -> dict[str, Any]:
    """``settings`` without those that the result does not depend on.

    Args:
        settings: Every setting of a run, as its ``config.yaml`` holds them.
        harmless: Names of further classes of callbacks that do not count: those that stopped the run.

    Example:
        >>> counting({"trainer": {"max_steps": 5, "precision": "32-true"}})
        {'trainer': {'precision': '32-true', 'callbacks': []}}
    """
    trainer = settings.get("trainer")
    if not isinstance(trainer, dict):
        return settings
    callbacks = trainer.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    counted = [one for one in callbacks if not _watches(one, set(harmless))]
    kept = {name: value for name, value in trainer.items() if name not in TRAINER}
    return settings | {"trainer": kept | {"callbacks": counted}}


def _watches(callback: Any, harmless: set[str]) -> bool:
    path = str(callback.get("class_path") if isinstance(callback, dict) else callback)
    name = path.rpartition(".")[2]
    return name in harmless or (path.startswith(LIGHTNING) and name in CALLBACKS)
