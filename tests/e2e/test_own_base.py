"""A base model from outside the package, exactly as the documentation adds one; and base models by name."""

import json
import re
import shlex
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, fit
from vov_lightning.video import Signal, read_signal, write_signal

PAGE = Path(__file__).parents[2] / "docs" / "base-models.md"
SHORT = ["--stage1.iterations=3", "--stage2.iterations=3", "--trainer.val_check_interval=3"]


@pytest.fixture
def commands(tmp_path, monkeypatch, one_thread):
    """Commands of the page's section as lists of words; its module, configuration and image lie in this folder."""
    section = PAGE.read_text().split("## Add a base model")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))
    (tmp_path / "my_package.py").write_text(blocks["python"])
    (tmp_path / "my.yaml").write_text(blocks["yaml"])
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(72), indexing="ij")
    picture = torch.stack([3 * columns, 3 * rows, rows + columns])[None].byte()
    write_signal(Signal(picture, Fraction(1), "photo"), tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield [shlex.split(line, comments=True) for line in blocks["bash"].splitlines() if line.startswith("vov-")]
    sys.modules.pop("my_package", None)


def test_own_base_is_fitted_written_and_decoded(commands, tmp_path, capsys):
    (fit_name, *fit_words), (decode_name, *decode_words) = commands
    assert (fit_name, decode_name) == ("vov-fit", "vov-decode")
    assert fit.main([*fit_words, *SHORT]) == 0
    run = tmp_path / "runs" / "photo"
    file = VovFile.open(run / "photo.vov")
    assert (file.header.base_name, file.header.k) == ("my-base", 256)
    assert decode.main(decode_words) == 0
    decoded = read_signal(tmp_path / "photo_decoded.png")
    assert torch.equal(decoded.frames, read_signal(run / "decoded.png").frames)
    assert decoded.frames.shape == (1, 3, 64, 72)

    # Without --base the file's own name decides, and a name that nobody registers is not imported.
    assert decode.main([word for word in decode_words if word not in ("--base", "my_package.MyBase")]) == 1
    assert "'my-base' is not registered" in capsys.readouterr().err
    assert fit.main([*fit_words, *SHORT, "--dry_run=true"]) == 0


def test_vector_adapts_the_own_base(commands, tmp_path):
    """Its layers are found by their own names: a longer fit shows another picture than none."""
    words = [*commands[0][1:], *SHORT, "--trainer.logger=false", "--scaling.bits=0", "--model.objective.batch_size=2"]
    figures = []
    for iterations in (0, 40):
        more = [f"--stage1.iterations={iterations}", f"--name={iterations}", "--model.init_range=0.001"]
        assert fit.main([*words, *more]) == 0
        figures.append(json.loads((tmp_path / "runs" / str(iterations) / "metrics.json").read_text())["psnr_db"])
    assert figures[1] > figures[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config=nano.yaml", "--model.base", "ltx-video"],
        ["--config=nano.yaml", "--model.base=ltx-video"],
        ["--config=base.yaml"],
        ["--config=class_path.yaml"],
    ],
)
def test_registered_name_serves_as_class_path(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("model: {base: ltx-video}\ndata: {caption: nano}")
    Path("class_path.yaml").write_text("model: {base: {class_path: ltx-video, init_args: {vae_tiling: true}}}")
    parsed = []
    monkeypatch.setattr(fit, "fit_clip", lambda cli: parsed.append(cli.config) or 0)
    assert fit.main(arguments) == 0
    assert parsed[0].model.base.class_path == "vov_lightning.bases.ltx_video.LTXVideo"
    assert parsed[0].data.caption == ("nano" if arguments == ["--config=base.yaml"] else None)


def test_decode_takes_a_registered_name(run_fit, tmp_path, capsys):
    assert run_fit() == 0
    file, output = tmp_path / "runs" / "ramp" / "ramp.vov", tmp_path / "out.mp4"
    assert decode.main([str(file), "-o", str(output), "--base", "nano"]) == 1
    assert "BaseModelMismatchError" in capsys.readouterr().err  # the bundled one, not the tiny one of the fit
