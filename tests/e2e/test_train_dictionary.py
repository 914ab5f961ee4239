"""The dictionary's trainer, on two clips and for three steps, by the command of the card."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from support import random_frames

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import DICTIONARY, Nano
from vov_lightning.vector.adapter import HashedLoRA
from vov_lightning.vector.dictionary import Dictionary
from vov_lightning.video import Signal, write_signal

pytestmark = pytest.mark.slow

TRAINER = Path(__file__).parents[2] / "tools" / "train_dictionary.py"


def test_a_dictionary_is_trained_and_goes_on(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(2):
        frames = random_frames(ClipSize(27, 64, 72), seed=number)
        write_signal(Signal(frames, Fraction(25), "noise"), clips / f"{number}.mp4")
    command = [sys.executable, str(TRAINER), f"--source={clips}", f"--out={tmp_path / 'out'}", "--rank=2"]
    command += ["--clips=2", "--clips_a_step=2", "--windows=1"]
    for steps in (2, 3):
        subprocess.run([*command, f"--steps={steps}"], check=True)
    assert torch.load(tmp_path / "out" / "last.pt", weights_only=True)["step"] == 3
    dictionary, base = Dictionary.load(tmp_path / "out" / DICTIONARY), Nano()
    layers = base.adapted_layers(base.default_targets)
    assert (dictionary.rank, dictionary.longest) == (2, 2 * len(layers))
    adapter = HashedLoRA(layers, 1, None, 0, "dictionary", dictionary)
    assert all(matrix.isfinite().all() for pair in adapter.matrices(torch.zeros(4)).values() for matrix in pair)
