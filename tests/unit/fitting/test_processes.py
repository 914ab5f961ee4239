"""What Lightning's ``ddp`` is told before it wraps the module."""

from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy

from vov_lightning.fitting.processes import share_draws


def test_no_base_model_is_shared_between_processes():
    """The many-step model of ``fit_base`` is as large as the other one, and stays where it is."""
    module: Any = torch.nn.Module()
    module.base, module.fit_base, module.vector = torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(1, 1)
    trainer: Any = SimpleNamespace(strategy=DDPStrategy())
    share_draws(trainer, module)
    left = set(dict([*module.named_parameters(), *module.named_buffers()]))
    assert left - set(module._ddp_params_and_buffers_to_ignore) == {"vector.weight", "vector.bias"}
