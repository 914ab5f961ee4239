"""The settings of a fit for its dry run: the work that they describe, and the same settings at the smallest sizes."""

from jsonargparse import Namespace

from vov_lightning.runs.costs import Work
from vov_lightning.sampling.config import ScalingConfig

LARGEST_K = 64
STEPS = 2


def work_of(config: Namespace) -> Work:
    """What the fit that ``config`` describes does."""
    adapter, draws = config.model.adapter, config.model.objective.get("init_args") or Namespace()
    iterations = config.stage1.iterations + config.stage2.iterations
    at_once = draws.get("batch_size") or config.model.sampler.steps  # Reconstruction keeps every step of the sampler
    return Work(
        rank=adapter.rank,
        targets=tuple(adapter.targets or ()),
        draws=0 if adapter.k == 0 else iterations * at_once * config.trainer.accumulate_grad_batches,
        draws_at_once=0 if adapter.k == 0 else at_once,
        steps=config.model.sampler.steps,
        evaluations_per_step=1 if config.model.sampler.guidance == 1 else 2,
        checkpointing=(config.model.base.get("init_args") or Namespace()).get("checkpointing", "none"),
    )


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
