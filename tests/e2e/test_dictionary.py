"""A vector over a dictionary, from the command to the frames: fitted at the budget's price, written where it pays."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file
from support import PowerCut, random_dictionary

from vov_lightning.bases.nano.model import DICTIONARY, Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.codec import scale
from vov_lightning.codec.build import without_vector
from vov_lightning.codec.decode import decode
from vov_lightning.codec.steer import steered
from vov_lightning.fitting import module as fitted
from vov_lightning.fitting import trial as tried
from vov_lightning.fitting.worth import Worth
from vov_lightning.runs.source import source_of
from vov_lightning.video.compare import psnr_db

BUDGET = ["--model.adapter.scheme=dictionary", "--model.adapter.k=null", "--stage2.lmbda=budget"]


@pytest.fixture
def weights(tiny_weights, tmp_path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_weights, folder)
    save_file(random_dictionary(Nano(str(folder))), folder / DICTIONARY)
    return folder


@pytest.fixture
def run(run_fit, weights, tmp_path):
    """``run(*more) -> (file, metrics)`` of a fit over the dictionary."""

    def fitted_file(*more: str) -> tuple[VovFile, dict]:
        assert run_fit(*BUDGET, f"--model.base.weights={weights}", *more) == 0
        folder = tmp_path / "runs" / "ramp"
        return VovFile.open(folder / "ramp.vov"), json.loads((folder / "metrics.json").read_text())

    return fitted_file


def account(saved_bytes: float):
    """Stands in for the measurement: the error falls so far that indices of that many bytes are saved."""
    return lambda self, files: Worth(1.0, 1 - saved_bytes / 1000, 1000.0, 40)


def trial(gain_db: float):
    """Stands in for the trial."""
    return lambda *_: gain_db


def test_a_vector_that_pays_is_written_and_decoded(run, weights, clip, monkeypatch, capsys):
    monkeypatch.setattr(fitted.VOVModule, "worth", account(saved_bytes=41))
    monkeypatch.setattr(tried, "trial_gain_db", trial(0.1))
    file, metrics = run()
    shown = capsys.readouterr().out
    assert "vector   40 bytes in place of about 41 of 1,000 bytes of indices" in shown
    assert "(error of the model -4.1 %; tried: +0.10 dB)" in shown
    assert metrics["vector"]["written"]
    header = file.header
    assert (header.hash_scheme, header.hash_seed) == ("dictionary", Nano(str(weights)).dictionary.digest)
    assert file.symbols[-1] != 0 or header.k == 1
    model = Nano(str(weights))
    source = source_of(file, model, str(clip)).first
    assert metrics["psnr_db"] == pytest.approx(psnr_db(decode(file, model), source.signal), abs=1e-6)


@pytest.mark.parametrize(("saved_bytes", "gain_db"), [(39, 0.1), (41, -0.1)])
def test_a_vector_that_does_not_pay_is_left_out(run, monkeypatch, capsys, saved_bytes, gain_db):
    monkeypatch.setattr(fitted.VOVModule, "worth", account(saved_bytes))
    monkeypatch.setattr(tried, "trial_gain_db", trial(gain_db))
    file, metrics = run()
    assert f"vector   left out: 40 bytes would save about {saved_bytes} of 1,000" in capsys.readouterr().out
    assert (file.header.k, file.header.hash_scheme, metrics["vector"]["written"]) == (0, "v1", False)


@pytest.mark.parametrize("budget", [["--scaling.bits=0", "--scaling.target_bpp=0.4"], ["--scaling.bits=400"]])
def test_the_trial_codes_with_and_without_the_vector_and_its_better_half_is_the_file(run, monkeypatch, budget):
    monkeypatch.setattr(fitted.VOVModule, "worth", account(saved_bytes=41))
    coded = []

    def noted(file, *args, **more):
        coded.append(file)
        return steered(file, *args, **more)

    monkeypatch.setattr(scale, "steered", noted)
    file, metrics = run(*budget)
    assert [bool(one.header.k) for one in coded[:2]] == [True, False]
    gain_db = metrics["vector"]["trial_gain_db"]
    assert gain_db != 0
    assert bool(file.header.k) == metrics["vector"]["written"] == (gain_db > 0)
    assert len(coded) <= 3
    if "--scaling.target_bpp=0.4" in budget:  # as many bytes, so the trial's file is the file
        assert len(coded) == 2


def test_a_trial_that_was_cut_off_goes_on_behind_what_it_has_coded(run, monkeypatch):
    monkeypatch.setattr(fitted.VOVModule, "worth", account(saved_bytes=41))
    coded = []

    def noted(file, *args, **more):
        coded.append(bool(file.header.k))
        if len(coded) == 2:
            raise PowerCut
        return steered(file, *args, **more)

    monkeypatch.setattr(scale, "steered", noted)
    budget = ["--scaling.bits=0", "--scaling.target_bpp=0.4"]
    with pytest.raises(PowerCut):
        run(*budget)
    run(*budget)
    assert coded == [True, False, False]


def test_a_vector_at_a_price_of_the_users_own_is_always_written(run, monkeypatch):
    monkeypatch.setattr(fitted.VOVModule, "worth", account(saved_bytes=-5))
    file, metrics = run("--stage2.lmbda=0.001")
    assert file.header.k > 0
    assert metrics["vector"]["written"]


def test_without_index_bits_there_is_no_price(run_fit, weights, capsys):
    assert run_fit(*BUDGET, f"--model.base.weights={weights}", "--scaling.bits=0") == 1
    assert "lmbda=budget wants to know how many index bits" in capsys.readouterr().err


def test_a_model_without_a_dictionary_says_so(run_fit, capsys):
    assert run_fit(*BUDGET) == 1
    assert "scheme=dictionary, and the base model has no dictionary" in capsys.readouterr().err


def test_a_quality_has_no_price_and_the_fit_does_not_begin(run_fit, weights, tmp_path, capsys):
    more = ["--scaling.bits=0", "--scaling.target_psnr=20"]
    assert run_fit(*BUDGET, f"--model.base.weights={weights}", *more) == 1
    assert "lmbda=budget wants to know how many index bits" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "ramp" / "checkpoints").exists()


def test_the_account_counts_the_bytes_of_the_file(run):
    """At a price of nearly nothing, so that the vector is written whatever it saves."""
    file, metrics = run("--stage2.lmbda=1e-9", "--scaling.index_bits=8")  # so that indices add nothing to the header
    account = metrics["vector"]
    assert account["vector_bytes"] == len(file.to_bytes()) - len(without_vector(file).to_bytes())
    assert account["index_bytes"] == 400 / 8
    assert account["saved_bytes"] == pytest.approx(50 * (1 - account["loss_with"] / account["loss_without"]))
    assert account["loss_with"] != account["loss_without"]
