"""Commands that share a run or a set: one owner a clip, the state of a set from its folder, and its cost."""

import json
import shutil

import pytest

from vov_lightning.cli import fit
from vov_lightning.runs.claims import Claim
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.sets import note_failure


@pytest.fixture
def arguments(set_arguments):
    """Arguments for a set of two clips, ``a`` and ``b``, into ``tmp_path / "runs" / "pair"``."""
    return [given for given in set_arguments("pair", "ab") if not given.startswith("--scaling.bits")]


def run_of(tmp_path, name):
    return RunFolder(tmp_path / "runs" / "pair" / name, name)


def test_the_second_command_on_a_run_says_who_has_it(run_fit, tmp_path, capsys):
    run = RunFolder(tmp_path / "runs" / "ramp", "ramp")
    with Claim(run.claim, str(run.path)):
        assert run_fit() == 1
    assert "ClaimedError: " in (said := capsys.readouterr().err)
    assert "ramp is being worked on by process" in said
    assert not run.path.exists()
    assert run_fit() == 0
    assert not run.claim.parent.exists()
    with Claim(run.claim, str(run.path)):  # what is finished needs no claim
        assert run_fit() == 0


def test_a_set_leaves_out_what_another_command_has(arguments, tmp_path, capsys, monkeypatch):
    run = run_of(tmp_path, "a")
    with Claim(run.claim, str(run.path)):
        assert fit.main(arguments) == 0
        said = capsys.readouterr()
        assert "a skipped: " in said.err
        assert "pair/a is being worked on by process" in said.err
        assert "not finished: a" in said.out
        assert fit.main([f"--set={tmp_path / 'data' / 'pair'}", f"--runs={tmp_path / 'runs'}", "--status"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].split()[:2] == ["a", "running"]
        assert shown[1].split()[:2] == ["b", "done"]
        assert shown[2].startswith("1 done, 1 running; about ")
    monkeypatch.setattr(fit.FitCLI, "_work", lambda cli, bases, member: cli.finished or pytest.fail("b again"))
    run.path.mkdir()  # and a was finished in the meantime by who had it
    for name in ("metrics.json", "config.yaml", "b.vov"):
        shutil.copyfile(run_of(tmp_path, "b").path / name, run.path / name.replace("b.", "a."))
    config = run.config.read_text().replace("b.mp4", "a.mp4")
    run.config.write_text(config)
    assert fit.main(arguments) == 0


def test_status_of_what_failed_stopped_and_waits(arguments, tmp_path, capsys):
    note_failure(run_of(tmp_path, "a"), "SignalError: broken")
    history = run_of(tmp_path, "b").history
    history.parent.mkdir()
    history.write_text(json.dumps({"step": 7}) + "\n")
    assert fit.main([*arguments, "--status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a  failed   SignalError: broken",
        "b  stopped  iteration 7",
        "1 failed, 1 stopped",
    ]


def test_a_clip_that_another_command_has_failed_with_is_not_tried_again(arguments, tmp_path, capsys, monkeypatch):
    work = fit.FitCLI._work

    def other_fails(cli, bases, member):
        note_failure(run_of(tmp_path, "b"), "SignalError: broken")
        return work(cli, bases, member)

    with monkeypatch.context() as patch:
        patch.setattr(fit.FitCLI, "_work", other_fails)
        assert fit.main([*arguments, "--part=1/1"]) == 0
    assert "b skipped: another command has just failed with it: SignalError: broken" in capsys.readouterr().err
    assert fit.main(arguments) == 0  # a later command tries
    assert not run_of(tmp_path, "b").failure.exists()


def test_a_task_of_an_array_takes_its_part(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    assert fit.main(arguments) == 0
    assert "part 2/2 of the set, by SLURM_ARRAY_TASK_ID" in capsys.readouterr().out
    assert run_of(tmp_path, "b").metrics.exists()
    assert not run_of(tmp_path, "a").path.exists()


def test_a_dry_run_says_what_it_will_cost(arguments, tmp_path, capsys):
    assert fit.main([*arguments, "--dry_run"]) == 0
    table = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert table["a"][1:3] == ["9", "32x32"]
    assert table["all"][1] == "18"
    one, both = float(table["a"][3]), float(table["all"][2])
    assert both == pytest.approx(2 * one, rel=0.01)
    assert table["longest:"][1] in ("a,", "b,")
    more = [argument for argument in arguments if not argument.startswith("--stage1")]
    assert fit.main([*more, "--stage1.iterations=600", "--dry_run"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("a "))
    assert float(line.split()[3]) > 40 * one  # 6 + 6 iterations become 606
