"""Every shipped configuration parses and instantiates; names are found from anywhere."""

import subprocess
import sys

import pytest
import yaml

from vov_lightning.cli import fit
from vov_lightning.cli.common import find_configs, shipped_configs

CONFIGS = sorted(path.name for path in shipped_configs().glob("*.yaml") if path.name != "train_nano.yaml")


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_configuration_instantiates(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "train_and_finish", lambda trainer, module, *_: seen.append((trainer, module)) or 1 / 0)
    seen = []
    with pytest.raises(ZeroDivisionError):
        fit.main(["--config=nano.yaml", f"--config={name}", "--data.path=sample"])
    trainer, module = seen[0]
    assert trainer.max_epochs == 1
    assert type(module.base).__name__ == "Nano"


def test_bare_name_is_found_and_a_file_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_configs(["--config", "nano.yaml"])[1] == str(shipped_configs() / "nano.yaml")
    assert find_configs(["--config=nano.yaml"]) == [f"--config={shipped_configs() / 'nano.yaml'}"]
    (tmp_path / "nano.yaml").touch()
    assert find_configs(["--config", "nano.yaml"])[1] == "nano.yaml"
    assert find_configs(["--config", "missing.yaml"])[1] == "missing.yaml"


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


def test_help_names_every_group(capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for setting in (
        "--model.adapter.k",
        "--stage2.lmbda",
        "--data.path",
        "--data.captioner.help",
        "--ckpt_path",
        "--overwrite",
        "--name",
    ):
        assert setting in text
    assert "vov-fit --config nano.yaml" in text


@pytest.mark.parametrize(
    ("captioner", "setting"), [("EndpointCaptioner", "api_key_env"), ("LocalCaptioner", "revision")]
)
def test_help_of_the_captioners(captioner, setting, capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main([f"--data.captioner.help={captioner}"])
    assert stop.value.code == 0
    assert f"--data.captioner.{setting}" in capsys.readouterr().out


def test_unknown_setting_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main(["--config=nano.yaml", "--model.adapter.kk=5"])
    assert stop.value.code == 2
    assert "kk" in capsys.readouterr().err


def test_setting_out_of_range_is_one_line(tmp_path, capsys):
    assert fit.main(["--config=nano.yaml", f"--runs={tmp_path}", "--model.sampler.steps=0"]) == 1
    assert "steps=0 is below 1" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["decode", "info"])
def test_help_of_the_other_commands(module):
    code = f"from vov_lightning.cli.{module} import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ".vov" in done.stdout
