"""A whole fit: train, write the file, decode it, measure what the decoder shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from vov_lightning.bases.memory import check_gpu_memory
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import SettingError
from vov_lightning.fitting.checkpoints import Checkpoints
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.history import History
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.stages import Stage, stages_of
from vov_lightning.runs.encode import encode
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.joint import format_joint, joint_metrics
from vov_lightning.sampling.config import ScalingConfig, check_scaling
from vov_lightning.video import Signal

CHECKPOINT_EVERY = 25
"""Optimizer steps between checkpoints: what a crash can cost."""


@dataclass(frozen=True)
class FitResult:
    """What a fit leaves behind."""

    file: VovFile
    """The compressed signal; of a joint fit, the first source's."""
    decoded: Signal | None
    """The decoder's frames, likewise; None for a clip of several segments, which are on the disk only."""
    metrics: dict[str, Any]
    """The content of ``metrics.json``."""
    path: Path
    """Where the file lies, in the folder with everything else."""
    parts: "tuple[FitResult, ...]" = ()
    """Of a joint fit, the result of each source."""


def fit(
    data: SignalData,
    module: VOVModule,
    stages: list[Stage],
    folder: str | Path,
    scaling: ScalingConfig = ScalingConfig(),
    **trainer_options: Any,
) -> FitResult:
    """Fit ``module`` to ``data`` and leave file, clips, metrics, history and checkpoint in ``folder``.

    Args:
        data: The signal, or several (`SignalData.joint`, or its ``paths``) that share the vector.
        module: Base model, adapter, quantiser and sampler.
        stages: The schedule, in order.
        folder: Where everything goes; a fit from Python always starts from the beginning, only ``vov-fit`` resumes.
        scaling: Index bits that steer the decoder, added once the vector is fitted.
        **trainer_options: For Lightning's `Trainer`. The README has an example.
    """
    run = RunFolder(Path(folder), data.source_name)
    options = {"logger": False, **fit_defaults(), **trainer_options}
    callbacks = [*stages, checkpoint_callback(run), History(run.history), *options.pop("callbacks", [])]
    trainer = L.Trainer(default_root_dir=folder, callbacks=callbacks, **options)
    return train_and_finish(trainer, module, data, run, scaling)


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
    }


def checkpoint_callback(run: RunFolder) -> Checkpoints:
    """Keeps ``last.ckpt`` up to date."""
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

    ``metrics.json`` is written last: without it the run counts as unfinished.
    """
    check_scaling(module.sampler, scaling)
    check_gpu_memory(module.base, trainer.strategy.root_device, module.base.name)
    run.metrics.unlink(missing_ok=True)
    seconds: dict[str, float] = {}
    more: dict[str, Any] = {}
    if module.adapter_config.k:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=False)
        trainer.save_checkpoint(run.last_checkpoint, weights_only=False)
        seconds = {stage.title: stage.elapsed_s for stage in stages_of(trainer)}
        if (monitor := DriftMonitor.of(trainer)) is not None:
            seconds["drift"] = monitor.elapsed_s
            more["drift"] = monitor.report(trainer)
    else:  # nothing to fit: the file holds caption and indices
        if DriftMonitor.of(trainer) is not None:
            raise SettingError("drift is of a fitted vector and there is none with k = 0; leave --drift out")
        module.prepare(data)
    module.to(trainer.strategy.root_device)  # Lightning moves it to the CPU when a fit ends
    shown = trainer.progress_bar_callback is not None
    parts = run.parts([source.name for source in module.sources])
    for number, part in enumerate(parts):
        module.to_file(number).save(part.file)  # nothing is lost if a target turns out to be beyond reach
    if len(parts) == 1:
        return finish(module, 0, run, scaling, seconds, more, shown)
    results = [finish(module, number, part, scaling, {}, {}, shown) for number, part in enumerate(parts)]
    metrics = joint_metrics(run.name, {part.name: result.metrics for part, result in zip(parts, results, strict=True)})
    metrics |= more | {"seconds": rounded(seconds)}
    run.write_metrics(metrics)
    return FitResult(results[0].file, results[0].decoded, metrics, results[0].path, tuple(results))


def finish(
    module: VOVModule,
    number: int,
    run: RunFolder,
    scaling: ScalingConfig,
    seconds: dict[str, float],
    more: dict[str, Any],
    shown: bool,
) -> FitResult:
    """Code a source with the vector, then write and measure everything that is its own in ``run``.

    Args:
        module: With its vector fitted, on the device that decodes.
        number: Of the source.
        run: The source's folder.
        scaling: Index bits.
        seconds: What the fit took, by part.
        more: Further figures.
        shown: Whether progress is.
    """
    file = module.to_file(number)
    encoded = encode(file, module.base, module.sources[number], run, scaling, shown)
    metrics = encoded.metrics | more
    sections, indices_bits = file.section_bytes(), 8 * (metrics["bytes"] - len(file.to_bytes()))
    others_bits = 8 * (len(file.to_bytes()) - sections["vector"] - sections["count_table"]) + indices_bits
    metrics["bpp_estimated"] = (module.estimated_bits() + others_bits) / module.sources[number].clip.num_pixels
    metrics["bits_per_entry"] = 8 * sections["vector"] / max(1, file.header.k)
    metrics["seconds"] = rounded(seconds | metrics["seconds"])
    metrics["versions"]["lightning"] = L.__version__
    run.write_metrics(metrics)
    return FitResult(encoded.file, encoded.decoded, metrics, run.file)


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """``seconds`` to milliseconds."""
    return {name: round(value, 3) for name, value in seconds.items()}


def format_metrics(metrics: dict[str, Any]) -> str:
    """The table that ends a fit."""
    stopped = (metrics.get("drift") or {}).get("stopped")
    last = [f"{'stopped':<8} {stopped}"] if stopped else []
    if "sources" in metrics:
        return "\n".join([format_joint(metrics), *last])
    sections = ", ".join(f"{name} {size}" for name, size in metrics["section_bytes"].items())
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in metrics["seconds"].items())
    rows = [
        ("file", f"{metrics['bytes']} bytes ({sections})"),
        ("rate", f"{metrics['bpp']:.4f} bpp from the file, {metrics['bpp_estimated']:.4f} by the learned density"),
        ("vector", f"{metrics['bits_per_entry']:.3f} bits per entry"),
        ("PSNR", f"{metrics['psnr_db']:.2f} dB decoded, {metrics['autoencoder_psnr_db']:.2f} dB the autoencoder alone"),
        ("seconds", seconds),
    ]
    return "\n".join([*(f"{name:<8} {value}" for name, value in rows), *last])
