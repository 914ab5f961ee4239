"""Values of a fit's settings, checked before any folder is looked at and before a base model is loaded."""

from jsonargparse import Namespace

from vov_lightning.cli.common import check_source, made
from vov_lightning.cli.devices import check_accelerator
from vov_lightning.errors import SettingError
from vov_lightning.fitting.drift import DriftMonitor
from vov_lightning.fitting.stages import RateConstrained, Unconstrained
from vov_lightning.fitting.worth import check_budget
from vov_lightning.runs.source import SAMPLE
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig, check_scaling
from vov_lightning.vector.adapter import AdapterConfig


def check_values(config: Namespace) -> None:
    """Make everything that ``config`` describes except data, base model and what holds them, and forget it again.

    Raises:
        VovError: If a value is out of range, a source is missing, or there is no such accelerator.
    """
    model, data = config.model, config.data
    for name in ("model.adapter", "model.sampler", "scaling", "drift", "stage1", "stage2"):
        if not isinstance(config[name], Namespace | dict):
            raise SettingError(f"{name}={config[name]}, wanted settings by name below it, such as {name}: {{...}}")
    AdapterConfig(**model.adapter)
    check_scaling(SamplerConfig(**model.sampler), ScalingConfig(**config.scaling))
    DriftMonitor(**config.drift)
    Unconstrained(**config.stage1)
    if RateConstrained(**config.stage2).lmbda == "budget" and model.adapter.k != 0:
        check_budget(ScalingConfig(**config.scaling))
    for part in (model.quantizer, model.objective):
        made(part)
    if config.set is None:
        for path in data.paths or ([] if data.path == SAMPLE else [data.path]):
            check_source("--data.path", path)
    if not config.dry_run:
        check_accelerator(config.trainer.accelerator, config.trainer.devices, "trainer.")
