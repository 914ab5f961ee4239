"""Draws of several processes, of which some share one; and two base models that share alike."""

from typing import NoReturn
from unittest.mock import Mock

import pytest

from vov_lightning.bases.nano import Nano
from vov_lightning.errors import SettingError
from vov_lightning.fitting.module import VOVModule
from vov_lightning.vector.adapter import AdapterConfig


class DrawnError(Exception):
    """Stops a step behind the number of its draw."""


@pytest.mark.parametrize(("degree", "expected"), [(1, [0, 1, 2, 3]), (2, [0, 0, 1, 1]), (4, [0, 0, 0, 0])])
def test_processes_of_a_group_take_one_draw(tiny_nano: Nano, monkeypatch, degree: int, expected: list[int]) -> None:
    def note(self: VOVModule, number: int) -> NoReturn:
        drawn.append(number)
        raise DrawnError

    drawn: list[int] = []
    monkeypatch.setattr(VOVModule, "_generator", note)
    module = VOVModule(tiny_nano, AdapterConfig(k=64))
    module.base.context_parallel = degree
    for batch in range(2):
        for rank in range(4):
            module._trainer = Mock(world_size=4, global_rank=rank)
            with pytest.raises(DrawnError):
                module.training_step(None, batch)
    groups = 4 // degree
    assert drawn == expected + [groups + number for number in expected]


def test_base_models_that_share_differently_are_refused(tiny_nano: Nano, tiny_nano_config) -> None:
    other = Nano.untrained(tiny_nano_config)
    other.context_parallel = 2
    with pytest.raises(SettingError, match=r"fit_base\.context_parallel=2 differs from base\.context_parallel=1; give"):
        VOVModule(tiny_nano, AdapterConfig(k=64), fit_base=other)
