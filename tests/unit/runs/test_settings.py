"""Which settings count when a run goes on."""

import pytest

from vov_lightning.runs.settings import counting

SETTINGS = {"model": {"seed": 0}, "trainer": {"precision": "32-true", "max_steps": -1, "callbacks": None}}


def with_trainer(**more):
    return SETTINGS | {"trainer": SETTINGS["trainer"] | more}


@pytest.mark.parametrize(
    "more",
    [
        {"max_steps": 5},
        {"max_time": "00:01:00:00", "logger": True, "val_check_interval": 7},
        {"callbacks": [{"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "a"}}]},
        {"callbacks": "lightning.pytorch.callbacks.RichProgressBar"},
        {"fast_dev_run": True, "overfit_batches": 0.5},
    ],
)
def test_limits_and_watchers_do_not(more):
    assert counting(with_trainer(**more)) == counting(SETTINGS)


@pytest.mark.parametrize(
    "more",
    [
        {"precision": "bf16-mixed"},
        {"accumulate_grad_batches": 2},
        {"callbacks": ["lightning.pytorch.callbacks.StochasticWeightAveraging"]},
        {"callbacks": [{"class_path": "mine.EarlyStopping"}]},
    ],
)
def test_what_changes_the_result_does(more):
    assert counting(with_trainer(**more)) != counting(SETTINGS)


def test_a_callback_that_stopped_the_run_does_not():
    assert counting(with_trainer(callbacks=["mine.Stop"]), ["Stop"]) == counting(SETTINGS)
