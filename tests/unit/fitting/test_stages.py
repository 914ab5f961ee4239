"""Learning rate, lambda and stage boundaries as functions of the step."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from vov_lightning.errors import RunError, SettingError
from vov_lightning.fitting.stages import (
    RateConstrained,
    RateControlled,
    Unconstrained,
    check_same_stages,
    total_iterations,
)


class Recorder(RateControlled):
    begun = 0

    def begin_rate_constraint(self):
        self.begun += 1


def trainer_at(step, stages):
    group = {"lr": -1.0, "lr_factor": 2.0}
    return SimpleNamespace(global_step=step, callbacks=list(stages), optimizers=[SimpleNamespace(param_groups=[group])])


def run_to(step, stages, module):
    trainer = trainer_at(step, stages)
    for stage in stages:
        stage.on_train_batch_start(trainer, module, None, 0)
    return trainer.optimizers[0].param_groups[0]["lr"]


def test_stages_follow_each_other():
    stages = [Unconstrained(3, 0.1), RateConstrained(4, 0.2, lmbda=1.0, lmbda_warmup=3)]
    module = Recorder()
    assert total_iterations(trainer_at(0, stages)) == 7
    seen = []
    for step in range(7):
        rate = run_to(step, stages, module)
        seen.append((rate, module.lmbda, module.rate_constrained, module.begun))
    assert seen[:3] == [(0.2, 0.0, False, 0)] * 3
    assert [lmbda for _, lmbda, _, _ in seen[3:]] == [0.25, 0.5, 0.75, 1.0]
    assert all(rate == 0.4 and constrained and begun == 1 for rate, _, constrained, begun in seen[3:])


def test_only_the_boundary_begins_the_rate_constraint():
    """A fit that resumes inside stage 2 must keep the step that it had learned."""
    stages = [Unconstrained(3), RateConstrained(4)]
    module = Recorder()
    run_to(4, stages, module)
    assert module.rate_constrained
    assert module.begun == 0


def test_a_stage_of_no_iterations_is_left_out():
    stages = [Unconstrained(0), RateConstrained(2)]
    module = Recorder()
    run_to(0, stages, module)
    assert (module.rate_constrained, module.begun) == (True, 1)


def test_warmup_and_cosine():
    stage = Unconstrained(iterations=10, learning_rate=1.0, decay="cosine", warmup=1)
    rates = [stage.rate_at(step) for step in range(10)]
    assert rates[0] == 0.5
    assert rates[5] == pytest.approx(0.5)
    assert all(after < before for before, after in pairwise(rates[1:]))
    assert 0 < rates[-1] < 0.03


def test_bad_settings_are_refused():
    with pytest.raises(SettingError, match="iterations=-1"):
        Unconstrained(-1)
    with pytest.raises(SettingError, match=r"lmbda=-0\.1"):
        RateConstrained(lmbda=-0.1)


def test_elapsed_time_survives_a_checkpoint():
    stage = Unconstrained()
    stage.elapsed_s = 12.5
    other = Unconstrained()
    other.load_state_dict(stage.state_dict())
    assert other.elapsed_s == 12.5
    assert Unconstrained().state_key != RateConstrained().state_key


def states_of(*stages):
    return {"another callback": {}} | {stage.state_key: stage.state_dict() for stage in stages}


def test_the_stages_of_a_checkpoint_are_those_that_go_on():
    check_same_stages(states_of(Unconstrained(3), RateConstrained(4)), [Unconstrained(3), RateConstrained(4)])


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Unconstrained(3, warmup=1), RateConstrained(4)], "warmup=1 of stage 1 differs from 0"),
        ([Unconstrained(3), RateConstrained(4, lmbda=1.0)], r"lmbda=1\.0 of stage 2 differs from 0\.003"),
        ([Unconstrained(3)], r"\['Unconstrained'\] differ from \['Unconstrained', 'RateConstrained'\]"),
        ([RateConstrained(4), Unconstrained(3)], r"\['RateConstrained', 'Unconstrained'\] differ"),
    ],
)
def test_other_stages_than_those_of_the_checkpoint_are_refused(stages, message):
    with pytest.raises(RunError, match=message):
        check_same_stages(states_of(Unconstrained(3), RateConstrained(4)), stages)
