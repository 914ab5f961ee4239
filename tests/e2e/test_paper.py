"""Every command of docs/paper.md parses, at full size and on the bundled model; those of editing run there.

Dry runs of the configurations themselves are in tests/unit/cli/test_configs.py.
"""

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vov_lightning.cli import edit, fit
from vov_lightning.cli.bases import with_class_paths
from vov_lightning.cli.configs import find_configs
from vov_lightning.video import Signal, write_signal

PAGE = Path(__file__).parents[2] / "docs" / "paper.md"
IMAGES = ("kodim01.png", "kodim07.png", "kodim23.png")


def commands() -> list[list[str]]:
    """Words of every command."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line) for line in "".join(blocks).splitlines()]


FITS = [words[1:] for words in commands() if words[0] == "vov-fit"]
EDITS = [words[1:] for words in commands() if words[0] == "vov-edit"]


def on_nano(words: list[str]) -> list[str]:
    return [*words[:2], "--config", "paper/on_nano.yaml", *words[2:]]


def parsed(words: list[str]):
    return fit.FitCLI(find_configs(with_class_paths(words))).config


@pytest.mark.parametrize("words", FITS, ids=" ".join)
def test_fits_as_the_tables_say(words):
    config = parsed(words)
    iterations, rate, batch = {
        "qwen_image.QwenImage": (1000, 1.5e-3, 64),
        "wan.Wan13B": (1000, 1.5e-3, 64) if "uvg.yaml" in words else (700, 2.0e-3, 32),
    }[config.model.base.class_path.removeprefix("vov_lightning.bases.")]
    assert config.stage1.iterations == (2000 if "memory" in words else iterations)
    assert config.stage1.learning_rate == rate
    assert config.model.objective.init_args.batch_size * config.trainer.accumulate_grad_batches == batch
    assert (config.model.weight_decay, config.model.sampler.guidance) == (1e-4, 1.0)
    assert config.model.sampler.steps in ((100, 1000) if "uvg.yaml" in words else (50,))
    assert words[0] == "--config"
    small = parsed(on_nano(words))
    assert small.model.base.class_path == "vov_lightning.bases.nano.Nano"
    assert small.stage1 == config.stage1
    assert small.model.adapter.rank == config.model.adapter.rank


@pytest.mark.parametrize(("name", "steps", "candidates"), [("scaling-100", 100, 18), ("scaling-1000", 1000, 10)])
def test_scaling_sends_one_index_a_step(name, steps, candidates):
    config = parsed(["--config=uvg.yaml", f"--config=paper/{name}.yaml"])
    assert (config.model.sampler.steps, config.scaling.index_bits) == (steps, candidates)
    assert config.scaling.bits == (steps - 1) * candidates


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_editing_runs_on_nano(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for number, name in enumerate(IMAGES):
        write_signal(Signal(frames.roll(number, 1), Fraction(25), name), tmp_path / name)
    short = ["--trainer.logger=false", "--stage1.iterations=2", "--trainer.val_check_interval=2"]
    for words in FITS:
        if "paper/editing.yaml" in words:
            assert fit.main([*on_nano(words), *short, "--model.sampler.steps=2"]) == 0
    assert len(EDITS) == 4
    for words in EDITS:
        given = [word.replace("runs/paper/image", "runs/nano").replace("512x512", "96x64") for word in words]
        assert edit.main(given) == 0
        assert Path(given[given.index("-o") + 1]).stat().st_size > 100
