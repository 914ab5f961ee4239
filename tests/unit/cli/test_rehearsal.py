"""What a dry run counts: draws of all processes, and every evaluation that a draw keeps."""

import pytest
from jsonargparse import Namespace

from vov_lightning.cli.rehearsal import work_of
from vov_lightning.vector.adapter import AdapterConfig


def settings(objective: dict, trainer: dict, sampler: dict | None = None, base: dict | None = None) -> Namespace:
    model = Namespace(
        adapter=Namespace(**vars(AdapterConfig(k=8))),
        objective=Namespace(init_args=Namespace(**objective)),
        sampler=Namespace(**(sampler or {"steps": 4})),
        base=Namespace(init_args=Namespace(**(base or {}))),
    )
    stage = Namespace(iterations=10)
    every = {"devices": 1, "accumulate_grad_batches": 1} | trainer
    return Namespace(model=model, stage1=stage, stage2=stage, trainer=Namespace(**every))


@pytest.mark.parametrize(
    ("devices", "processes"), [(1, 1), ("auto", 1), ("4", 4), (4, 4), ([0, 2], 2), ("-1", 1)], ids=str
)
def test_every_process_draws(devices, processes):
    work = work_of(settings({"batch_size": 3}, {"devices": devices, "accumulate_grad_batches": 2}))
    assert (work.draws, work.draws_at_once) == (20 * 3 * 2 * processes, 3)


def test_processes_that_share_a_draw_count_once():
    work = work_of(settings({"batch_size": 3}, {"devices": 4}, base={"context_parallel": 2}))
    assert work.draws == 20 * 3 * 2


def test_reconstruction_keeps_every_evaluation():
    work = work_of(settings({}, {}, {"steps": 4, "guidance": 2.0}))
    assert (work.draws, work.draws_at_once, work.evaluations_per_step) == (20 * 8, 8, 2)
