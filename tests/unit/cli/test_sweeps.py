"""Every sweep that is shipped asks for settings that `vov-fit` has, in runs that do not meet in one folder."""

import os
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from vov_lightning.cli import fit
from vov_lightning.cli.configs import shipped_configs

SWEEPS = sorted((shipped_configs() / "sweeps").glob("*.yaml"))


def arguments(sweep: dict[str, Any]) -> list[list[str]]:
    """What W&B's agent puts in place of ``${args}``, run by run."""
    parameters = sweep["parameters"]
    choices = product(*(given.get("values", [given.get("value")]) for given in parameters.values()))
    runs = [{name: {"value": value} for name, value in zip(parameters, chosen, strict=True)} for chosen in choices]
    return [create_sweep_command_args({"args": run})["args"] for run in runs]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_run_of_a_sweep_is_a_command_that_parses(path: Path, tmp_path: Path, capsys):
    sweep = yaml.safe_load(path.read_text())
    assert sweep["program"] == "vov-fit"
    program = tmp_path / sweep["program"]
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "WANDB_RUN_ID": "abc"}
    for args in arguments(sweep):
        places = {"${env}": ["/usr/bin/env"], "${program}": [sweep["program"]], "${args}": args}
        command = [word for part in sweep["command"] for word in places.get(part, [part])]
        given = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split("\n")
        with pytest.raises(SystemExit) as stop:
            fit.main([*given[:-1], "--print_config"])
        shown = capsys.readouterr()
        assert stop.value.code == 0, shown.err
        settings = yaml.safe_load(shown.out)
        assert settings["name"] == "abc"
        for argument in args:
            name, value = argument.removeprefix("--").split("=")
            found = settings
            for key in name.split("."):
                found = found[key]
            assert found == yaml.safe_load(value)


def test_there_are_sweeps():
    assert {path.stem for path in SWEEPS} == {"length", "lora", "rank"}
