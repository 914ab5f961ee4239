"""Two bundled revisions of `nano`: files of each decode without a word from the user, and a fit can choose."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vov_lightning as vov
from vov_lightning.bases import _kept, shared_base
from vov_lightning.bases.nano import model as nano
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode, fit
from vov_lightning.errors import BaseModelError, BaseModelMismatchError
from vov_lightning.video import read_signal

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def bundled(tmp_path, monkeypatch, tiny_nano_config: NanoConfig) -> Iterator[dict[str, Nano]]:
    """Tiny weights as revision 3, which has context, and as revision 2, in place of the bundled ones."""
    found = {}
    for number, (revision, context) in enumerate((("3", 2), ("2", 0))):
        with torch.random.fork_rng():
            torch.manual_seed(number)
            model = Nano.untrained(dataclasses.replace(tiny_nano_config, context=context), revision=revision)
        model.autoencoder.transform.synthesis.weight.mul_(6)
        model.save(tmp_path / f"weights{revision}")
        found[revision] = Nano(str(tmp_path / f"weights{revision}"))
    monkeypatch.setattr(nano, "FOLDERS", tuple(str(tmp_path / f"weights{revision}") for revision in found))
    _kept.cache_clear()
    yield found
    _kept.cache_clear()


def coded(clip: Path, folder: Path, *more: str) -> Path:
    arguments = [
        str(clip), "--config=instant.yaml", "--data.height=32", "--data.width=32", "--model.sampler.steps=3",
        "--scaling.target_bpp=0.5", f"--runs={folder}", "--trainer.logger=false", "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert fit.main([*arguments, *more]) == 0
    return folder / "ramp" / "ramp.vov"


@pytest.mark.parametrize(("revision", "more"), [("3", []), ("2", ["--model.base.revision=2"])])
def test_a_file_decodes_with_the_revision_that_it_names(bundled, clip, tmp_path, revision, more):
    path = coded(clip, tmp_path, *more)
    assert VovFile.open(path).header.base_revision == revision
    expected = vov.decode(path, base=bundled[revision]).frames
    assert decode.main([str(path), "-o", str(tmp_path / "frames")]) == 0
    assert torch.equal(read_signal(tmp_path / "frames").frames, expected)
    assert torch.equal(vov.decode(path).frames, expected)


def test_the_default_is_the_newest_and_names_are_checked(bundled):
    assert (vov.load_base("nano").revision, vov.load_base("nano", revision="2").revision) == ("3", "2")
    with pytest.raises(BaseModelError, match="revision=4 of nano is not bundled, but 3, 2; leave it out"):
        Nano(revision="4")
    with pytest.raises(BaseModelError, match="revision=2 is of bundled weights, and weights=x are given; name one"):
        Nano("x", revision="2")


def test_a_revision_that_is_not_bundled_names_both(bundled, clip, tmp_path):
    path = coded(clip, tmp_path)
    file = VovFile.open(path)
    header = dataclasses.replace(file.header, base_revision="4", base_fingerprint=bytes(4))
    with pytest.raises(BaseModelMismatchError, match=r"nano@4 .*, loaded is nano@3 .*carries nano@4"):
        vov.decode(dataclasses.replace(file, header=header))


def test_the_last_model_is_kept_for_its_revision(bundled):
    newest = shared_base("nano")
    assert shared_base("nano", "3") is newest
    assert shared_base("nano", "2").revision == "2"
