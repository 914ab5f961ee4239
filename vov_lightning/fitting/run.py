"""A whole fit: train, write the file, decode it, measure what the decoder shows."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar

from vov_lightning.bases.memory import check_gpu_memory
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import SettingError, UnfinishedError
from vov_lightning.fitting.checkpoints import Checkpoints, check_checkpoint
from vov_lightning.fitting.checks import check_arithmetic, check_trainer
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.ending import Ending, format_early
from vov_lightning.fitting.figures import measure, rounded
from vov_lightning.fitting.history import History
from vov_lightning.fitting.interruption import SIGNALS, Interrupted, locating, stopped_by_signals
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.objectives import FlowMatching
from vov_lightning.fitting.processes import answer_signals_alone, first_process_goes_on
from vov_lightning.fitting.progress import FitProgress
from vov_lightning.fitting.quiet import without_chatter
from vov_lightning.fitting.stages import RateConstrained, Stage, check_same_stages, stages_of, total_iterations
from vov_lightning.fitting.trial import choose_vector
from vov_lightning.fitting.worth import check_budget
from vov_lightning.runs.encode import encode
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.history import FitHistory, read_history
from vov_lightning.runs.joint import joint_metrics
from vov_lightning.runs.result import FitResult
from vov_lightning.sampling.config import ScalingConfig, check_scaling

CHECKPOINT_EVERY = 25
"""Optimizer steps between checkpoints: what a crash can cost."""


def fit(
    data: SignalData,
    module: VOVModule,
    stages: list[Stage],
    folder: str | Path,
    scaling: ScalingConfig = ScalingConfig(),
    *,
    resume: bool = False,
    **trainer_options: Any,
) -> FitResult:
    """Fit ``module`` to ``data`` and leave file, clips, metrics, history and checkpoint in ``folder``.

    Args:
        data: The signal, or several (`SignalData.joint`, or its ``paths``) that share the vector.
        module: Base model, adapter, quantiser and sampler.
        stages: The schedule, in order.
        folder: Where everything goes; what an earlier fit left there is replaced.
        scaling: Index bits that steer the decoder, added once the vector is fitted.
        resume: Go on from the last checkpoint in ``folder``, where there is one. Give the same settings: source,
            caption, base model and stages are compared, the others are not.
        **trainer_options: For Lightning's `Trainer`. The documentation ("Compress", "From Python") has an example.

    Raises:
        UnfinishedError: If a limit of the trainer or a callback has stopped the fit before the end of its stages.
        KeyboardInterrupt: If Ctrl-C (a notebook's stop button) stopped it; its iterations are in the checkpoint.
        RunError: If the checkpoint to go on from is damaged, or of another source, caption, base model or stages.
    """
    run = RunFolder(Path(folder), data.source_name)
    options = {"logger": False, **fit_defaults(), **trainer_options}
    callbacks = [*stages, checkpoint_callback(run), History(run.history), *options.pop("callbacks", [])]
    if options.get("enable_progress_bar") is not False and not any(isinstance(one, ProgressBar) for one in callbacks):
        callbacks.append(FitProgress())
    checkpoint = run.last_checkpoint if resume and run.last_checkpoint.exists() else None
    if checkpoint is not None:
        check_same_stages(check_checkpoint(checkpoint)["callbacks"], stages)
    try:
        with stopped_by_signals(["SIGINT"]), without_chatter():
            trainer = L.Trainer(default_root_dir=folder, callbacks=callbacks, **options)
            return train_and_finish(trainer, module, data, run, scaling, checkpoint)
    except Interrupted as stop:  # Lightning would end Python, and ignore Ctrl-C from then on
        raise KeyboardInterrupt(f"{stop.line}; fit(..., resume=True) goes on") from None


def fit_defaults() -> dict[str, Any]:
    """Options of Lightning's `Trainer` that suit a fit: one epoch is the whole of it."""
    return {
        "max_epochs": 1,
        "num_sanity_val_steps": 0,
        "val_check_interval": 250,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        "devices": 1,
        "use_distributed_sampler": False,  # the numbers of the draws say whose they are
    }


def checkpoint_callback(run: RunFolder) -> Checkpoints:
    """Callback that keeps ``last.ckpt`` up to date."""
    return Checkpoints(
        dirpath=run.checkpoints,
        filename=run.last_checkpoint.stem,
        every_n_train_steps=CHECKPOINT_EVERY,
        enable_version_counter=False,
    )


def train_and_finish(
    trainer: L.Trainer,
    module: VOVModule,
    data: SignalData,
    run: RunFolder,
    scaling: ScalingConfig,
    checkpoint: Path | None = None,
) -> FitResult:
    """Train from ``checkpoint`` or from the start, add indices, then write and measure everything in ``run``.

    ``metrics.json`` is written last: without it the run counts as unfinished. Of several processes the first one
    writes, and the others end with the training.

    Raises:
        UnfinishedError: If the fit stopped before its end.
        SystemExit: In the other processes, with status 0.
    """
    check_scaling(module.sampler, scaling)
    module.scaling = scaling
    if module.adapter_config.k and is_priced_by_budget(trainer):
        check_budget(scaling)
        if not isinstance(module.objective, FlowMatching):
            raise SettingError(
                f"lmbda=budget is the price of the error that FlowMatching measures, and model.objective is "
                f"{type(module.objective).__name__}; give a price of your own, e.g. --stage2.lmbda 0.02"
            )
    check_arithmetic(module.sampler.compute_dtype, module.base.dtype, trainer.strategy.root_device)
    for base in module.bases:
        base.text_device = trainer.strategy.root_device
        check_gpu_memory(base, trainer.strategy.root_device, base.name)
    if module.adapter_config.k:
        check_trainer(trainer)
        if checkpoint is not None:
            check_checkpoint(checkpoint)
    if trainer.is_global_zero:
        run.metrics.unlink(missing_ok=True)
    if module.adapter_config.k:
        with first_process_goes_on(trainer):
            seconds, more = train(trainer, module, data, run, checkpoint)
    else:  # nothing to fit: the file holds caption and indices
        if DriftMonitor.of(trainer) is not None:
            raise SettingError("drift measures a fitted vector, and k = 0 fits none; leave --drift out")
        module.prepare(data)
        seconds, more = {}, {}
    module.to(trainer.strategy.root_device)  # Lightning moves it to the CPU when a fit ends
    shown = trainer.progress_bar_callback is not None
    parts = run.parts([source.name for source in module.sources])
    files = [module.to_file(number) for number in range(len(module.sources))]
    if scaling.seeks:  # nothing is lost if a target turns out to be beyond reach
        save_unfinished(files, parts, {"stopped": "index bits are not added yet"})
    if module.adapter_config.k and module.index_budget_bits and isinstance(module.objective, FlowMatching):
        if is_priced_by_budget(trainer):
            started_s = time.perf_counter()
            with locating("while the vector was tried"):
                files, more["vector"] = choose_vector(module, files, parts, scaling, shown)
            seconds["trial"] = time.perf_counter() - started_s
        else:
            more["vector"] = module.worth(files).figures(written=True)
    history = read_history(run.path) if module.adapter_config.k else FitHistory()
    if len(parts) == 1:
        result = finish(module, 0, files[0], run, scaling, seconds, more, shown)
        run.clear_segments()
        return replace(result, history=history)
    results = [finish(module, number, files[number], part, scaling, {}, {}, shown) for number, part in enumerate(parts)]
    metrics = joint_metrics(run.name, {part.name: result.metrics for part, result in zip(parts, results, strict=True)})
    metrics |= more | {"seconds": rounded(seconds)}
    run.write_metrics(metrics)
    for part in parts:
        part.clear_segments()
    return FitResult(results[0].file, results[0].decoded, metrics, results[0].path, history, tuple(results))


def is_priced_by_budget(trainer: L.Trainer) -> bool:
    """Whether the vector's bits have the price of the index bits that they save."""
    return any(isinstance(stage, RateConstrained) and stage.lmbda == "budget" for stage in stages_of(trainer))


def train(
    trainer: L.Trainer, module: VOVModule, data: SignalData, run: RunFolder, checkpoint: Path | None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Fit the vector from ``checkpoint`` or from the start.

    Returns:
        Seconds by part, and further figures for ``metrics.json``.

    Raises:
        UnfinishedError: If the fit stopped before its end; checkpoint, file and ``unfinished.json`` are there.
        Interrupted: If a signal stopped it; the checkpoint is there.
    """
    ending, checkpoints = Ending(trainer), Checkpoints.of(trainer)
    total = total_iterations(trainer)
    answer_signals_alone(trainer)
    with locating(lambda: f"at iteration {checkpoints.saved_step} of {total}" if checkpoints.saved_step else ""):
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        SIGNALS.release()
    if (early := ending.early(trainer)) is not None and trainer.is_global_zero:
        parts = run.parts([source.name for source in module.sources])
        files = [module.to_file(number) for number in range(len(module.sources))]
        save_unfinished(files, parts if parts == [run] else [*parts, run], early)
        raise UnfinishedError(format_early(early, run.path))
    if early is None:
        trainer.save_checkpoint(run.last_checkpoint, weights_only=False)  # of the fit, not the vector alone
    seconds, more = {stage.title: stage.elapsed_s for stage in stages_of(trainer)}, {}
    if (monitor := DriftMonitor.of(trainer)) is not None:
        seconds["drift"] = monitor.elapsed_s
        more["drift"] = monitor.report(trainer)
    return seconds, more


def save_unfinished(files: list[VovFile], folders: list[RunFolder], why: dict[str, Any]) -> None:
    """Write the file of each source, without indices, and mark ``folders`` as unfinished.

    Args:
        files: With the vector as it is now.
        folders: Of the sources, in their order, and of the run if that is another one.
        why: What ``unfinished.json`` holds.
    """
    for run in folders:
        run.mark_unfinished(why)
    for file, folder in zip(files, folders, strict=False):
        file.save(folder.file)


def finish(
    module: VOVModule,
    number: int,
    file: VovFile,
    run: RunFolder,
    scaling: ScalingConfig,
    seconds: dict[str, float],
    more: dict[str, Any],
    shown: bool,
) -> FitResult:
    """Code a source with the vector; write and measure its files in ``run``.

    Args:
        module: With its vector fitted, on the device that decodes.
        number: Of the source.
        file: Of the source, without indices.
        run: The source's folder.
        scaling: Index bits.
        seconds: What the fit took, by part.
        more: Further figures.
        shown: Whether progress is.
    """
    with locating("while the clip was coded"):
        encoded = encode(file, module.base, module.sources[number], run, scaling, shown)
    metrics = measure(module, encoded) | more
    metrics["seconds"] = rounded(seconds | metrics["seconds"])
    run.write_metrics(metrics)
    return FitResult(encoded.file, encoded.decoded, metrics, run.file)
