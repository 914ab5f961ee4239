"""What every command does with errors and with a reader that has gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vov_lightning.cli import decode, fit
from vov_lightning.cli import eval as evaluation
from vov_lightning.cli.common import command
from vov_lightning.errors import SettingError

GOLDEN = Path(__file__).parents[2] / "golden" / "v1" / "image.vov"


@command
def run_wrapping(error):
    try:
        raise error
    except type(error) as cause:
        raise ValueError("Does not validate\nagainst any") from cause


def test_our_own_error_is_one_line_also_where_another_wraps_it(capsys):
    assert run_wrapping(SettingError("k=0 is below 1")) == 1
    assert capsys.readouterr().err.strip().endswith("SettingError: k=0 is below 1")


def test_other_errors_are_raised():
    with pytest.raises(ValueError, match="Does not validate"):
        run_wrapping(KeyError("a fault of ours"))


def test_a_base_model_that_cannot_be_loaded_is_one_line(tmp_path, capsys):
    weights = tmp_path / "nothing"
    assert decode.main([str(GOLDEN), "--base=nano", f"--base.weights={weights}", f"-o={tmp_path / 'x.png'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"BaseModelError: nano's weights cannot be read from {weights}" in line


def test_a_pipe_that_is_not_standard_output_is_an_error():
    @command
    def run(_):
        raise BrokenPipeError("an encoder died")

    with pytest.raises(BrokenPipeError, match="an encoder died"):
        run([])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_in_silence(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    code = f"import sys; from vov_lightning.cli.info import main; sys.exit(main([{str(GOLDEN)!r}]))"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(writer, "wb") as pipe:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert result.stderr == b""
    assert result.returncode == 141


@pytest.mark.parametrize(
    ("main", "setting"), [(fit.main, "dry_run"), (fit.main, "overwrite"), (evaluation.main, "diagnostics")]
)
@pytest.mark.parametrize(
    ("words", "wanted"),
    [([], False), (["--{}"], True), (["--{}", "true"], True), (["--{}=true"], True), (["--{}=false"], False)],
)
def test_flags_need_no_value(main, setting, words, wanted, capsys):
    with pytest.raises(SystemExit) as stop:
        main(
            ["--config=nano.yaml"] * (main is fit.main) + [word.format(setting) for word in words] + ["--print_config"]
        )
    assert stop.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)[setting] is wanted


def test_a_configuration_sets_flags(tmp_path):
    (tmp_path / "dry.yaml").write_text("dry_run: true\n")
    arguments = [f"--config={fit.find_configs(['--config=nano.yaml'])[0].removeprefix('--config=')}"]
    assert fit.FitCLI([*arguments, f"--config={tmp_path / 'dry.yaml'}"]).config.dry_run is True
