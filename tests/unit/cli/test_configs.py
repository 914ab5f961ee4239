"""Every shipped configuration goes through a dry run; names are found from anywhere."""

import re

import pytest
import yaml

from vov_lightning.cli import eval as evaluate
from vov_lightning.cli import fit
from vov_lightning.cli.configs import find_configs, shipped_configs

CONFIGS = sorted(
    path.relative_to(shipped_configs()).as_posix()
    for path in shipped_configs().rglob("*.yaml")
    # Those of sweeps are wandb's (test_sweeps.py), those of eval vov-eval's.
    if not path.name.startswith("train_nano") and path.parent.name not in ("sweeps", "eval")
)

QUICK = ("nano.yaml", "instant.yaml", "wan.yaml")
"""Configurations whose dry run is a plain test; the others take ten seconds and more each."""


def arguments_of(name: str) -> list[str]:
    """``--config`` options by which the comments of a shipped file say that it is used: others below it, if any."""
    text = (shipped_configs() / name).read_text()
    commands = [re.findall(r"--config (\S+)", line) for line in text.splitlines() if line.startswith("#")]
    files = next((files for files in commands if files and files[-1] == name), [name])
    return [f"--config={file}" for file in files]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CONFIGS]
)
def test_shipped_configuration_passes_a_dry_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bundled_clip = ["--set=null", "--data.path=sample", "--data.frames=1", "--data.fit=resize"]
    assert fit.main([*arguments_of(name), *bundled_clip, "--dry_run=true"]) == 0
    assert "dry run passed" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_eval_nano_takes_what_its_comment_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "a.vov").touch()
    assert evaluate.main(["--config=eval/nano.yaml", "--logger=false"]) == 1
    assert "a.vov failed: no config.yaml of its fit lies beside it" in capsys.readouterr().err
    assert evaluate.main(["--config=eval/nano.yaml", "--logger=false", "elsewhere"]) == 1
    assert "elsewhere does not exist" in capsys.readouterr().err


def parsed(*args: str):
    return fit.FitCLI(find_configs(list(args))).config


@pytest.mark.parametrize("name", [name for name in CONFIGS if "/" not in name])
def test_the_last_step_is_validated(name):
    """So that the history of a fit (`vov_lightning.fitting.history`) ends with its figures."""
    config = parsed(*arguments_of(name))
    batches = config.trainer.accumulate_grad_batches * (config.stage1.iterations + config.stage2.iterations)
    assert batches % config.trainer.val_check_interval == 0


def test_uvg_is_the_papers_experiment():
    config = parsed("--config=uvg.yaml")
    assert config.set == "data/uvg"
    assert config.model.base.class_path == "vov_lightning.bases.wan.Wan13B"
    assert config.model.base.init_args.checkpointing == "auto"
    assert (config.data.frames, config.data.height, config.data.width) == (81, 480, 832)
    assert (config.model.adapter.k, config.model.adapter.rank) == (131072, 1)
    assert config.model.objective.init_args.batch_size * config.trainer.accumulate_grad_batches == 64
    assert (config.trainer.accelerator, config.trainer.precision) == ("gpu", "32-true")
    assert config.model.sampler.compute_dtype == "weights"
    assert [stage.iterations for stage in (config.stage1, config.stage2)] == [1000, 1000]


@pytest.mark.parametrize("name", ["uvg.yaml", "kodak.yaml"])
def test_recipe_says_what_the_papers_experiments_do(name):
    """But for how 64 draws are divided, and the recipe's naming of the default targets."""
    alone, under_recipe = parsed(f"--config={name}"), parsed(f"--config={name}", "--config=paper/recipe.yaml")
    for group in ("stage1", "stage2", "scaling", "data", "model.sampler", "model.quantizer"):
        assert alone[group] == under_recipe[group]
    for setting in ("weight_decay", "betas", "init_range", "rate_learning_rate"):
        assert alone.model[setting] == under_recipe.model[setting]
    objective = under_recipe.model.objective.clone()
    objective.init_args.batch_size = 1
    assert alone.model.objective == objective


@pytest.mark.parametrize("lmbda", ["1.5e-3", "3e-3", "6e-3"])
def test_rates_of_the_paper_lie_in_folders_of_their_own(lmbda):
    config = parsed("--config=uvg.yaml", f"--config=paper/lambda-{lmbda}.yaml")
    assert config.stage2.lmbda == float(lmbda)
    assert config.runs == f"runs/lambda-{lmbda}"


def test_bare_name_is_found_and_a_file_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_configs(["--config", "nano.yaml"])[1] == str(shipped_configs() / "nano.yaml")
    assert find_configs(["--config=nano.yaml"]) == [f"--config={shipped_configs() / 'nano.yaml'}"]
    (tmp_path / "nano.yaml").write_text("runs: mine\n")
    assert find_configs(["--config", "nano.yaml"])[1] == "nano.yaml"


def test_print_config_is_a_configuration_again(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        fit.main(["--config=nano.yaml", "--stage2.lmbda=0.5", "--print_config"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["stage2"]["lmbda"] == 0.5
    again = tmp_path / "again.yaml"
    again.write_text(text)
    with pytest.raises(SystemExit):
        fit.main([f"--config={again}", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("captioner", "setting"), [("EndpointCaptioner", "api_key_env"), ("LocalCaptioner", "revision")]
)
def test_help_of_the_captioners(captioner, setting, capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main([f"--data.captioner.help={captioner}"])
    assert stop.value.code == 0
    assert f"--data.captioner.{setting}" in capsys.readouterr().out


def test_setting_out_of_range_is_one_line(tmp_path, capsys):
    assert fit.main(["--config=nano.yaml", f"--runs={tmp_path}", "--model.sampler.steps=0"]) == 1
    assert "steps=0 is below 1" in capsys.readouterr().err
