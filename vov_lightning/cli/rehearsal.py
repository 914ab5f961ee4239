"""The settings of a fit for its dry run: the work that they describe, and the same settings at the smallest sizes."""

from jsonargparse import Namespace

from vov_lightning.fitting.objectives import Reconstruction
from vov_lightning.runs.costs import Work
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig

LARGEST_K = 64
STEPS = 2


def work_of(config: Namespace) -> Work:
    """What the fit that ``config`` describes does."""
    adapter, draws = config.model.adapter, config.model.objective.get("init_args") or Namespace()
    base = config.model.base.get("init_args") or Namespace()
    sampler = SamplerConfig(**config.model.sampler)
    # A process draws a batch; Reconstruction keeps every evaluation of the sampler.
    at_once = draws.get("batch_size") or Reconstruction().evaluations(sampler)
    iterations = config.stage1.iterations + config.stage2.iterations
    batches = iterations * config.trainer.accumulate_grad_batches * _processes(config.trainer)
    return Work(
        rank=adapter.rank,
        targets=tuple(adapter.targets or ()),
        draws=0 if adapter.k == 0 else batches * at_once // base.get("context_parallel", 1),
        draws_at_once=0 if adapter.k == 0 else at_once,
        steps=sampler.steps,
        evaluations_per_step=1 if sampler.guidance == 1 else 2,
        checkpointing=base.get("checkpointing", "none"),
    )


def _processes(trainer: Namespace) -> int:
    """Of Lightning: one a device, as far as the settings say how many ("auto", a name of a group: one)."""
    devices = trainer.devices
    if isinstance(devices, list):
        return len(devices)
    return max(1, int(devices)) if str(devices).isdecimal() else 1


def shortest(config: Namespace) -> Namespace:
    """``config`` of a fit as short as possible; values out of range stay, so that they are refused.

    `check_clips` checks the settings that do not survive.
    """
    config = config.clone()
    for stage in (config.stage1, config.stage2):
        stage.iterations = min(stage.iterations, 1)
    model = config.model
    k = LARGEST_K if model.adapter.k is None else min(model.adapter.k, LARGEST_K)
    if model.adapter.scheme not in ("lora", "dictionary") or not k:  # whose length is the stand-in's own
        model.adapter.k = k
    model.sampler.steps, model.sampler.compute_dtype = min(model.sampler.steps, STEPS), "float32"
    draws = model.objective.get("init_args") or Namespace()
    if "batch_size" in draws:
        draws.batch_size = min(draws.batch_size, 1)
    if ScalingConfig(**config.scaling).enabled:
        config.scaling.update(Namespace(bits=STEPS * config.scaling.index_bits, target_bpp=None, target_psnr=None))
    if config.drift.every_n_iterations is not None:
        config.drift.update(Namespace(every_n_iterations=1, steps=min(config.drift.steps, STEPS)))
    config.trainer.update(Namespace(logger=False, enable_progress_bar=False))
    config.trainer.update(Namespace(max_steps=-1, max_epochs=1, max_time=None, limit_train_batches=None))
    config.trainer.update(Namespace(fast_dev_run=False, overfit_batches=0.0))  # no limit ends what is this short
    config.trainer.update(Namespace(accelerator="cpu", devices=1, precision="32-true", accumulate_grad_batches=1))
    return config
