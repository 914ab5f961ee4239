"""``vov-info --check``: a sound base model passes, and each broken promise is found and said."""

import re

import pytest
import torch

from vov_lightning.bases.contract import check_contract
from vov_lightning.bases.nano.model import Nano
from vov_lightning.cli import info

pytestmark = pytest.mark.usefixtures("one_thread")


def broken(base: Nano) -> list[str]:
    return [finding.promise.split()[0] + " " + finding.problem for finding in check_contract(base) if finding.problem]


def twice(base: Nano, monkeypatch) -> None:
    encode = base.encode
    monkeypatch.setattr(base, "encode", lambda frames: encode(frames) + torch.randn(()))


def half(base: Nano, monkeypatch) -> None:
    predict = base.predict_velocity
    monkeypatch.setattr(base, "predict_velocity", lambda *inputs: predict(*inputs).half())


def mixed(base: Nano, monkeypatch) -> None:
    predict = base.predict_velocity
    monkeypatch.setattr(base, "predict_velocity", lambda x_t, t, words: predict(x_t - x_t.mean(0), t, words))


def deaf(base: Nano, monkeypatch) -> None:
    embed = base.embed
    monkeypatch.setattr(base, "embed", lambda caption: embed(""))


def cut_off(base: Nano, monkeypatch) -> None:
    monkeypatch.setattr(base, "predict_velocity", torch.no_grad()(base.predict_velocity))


def floats(base: Nano, monkeypatch) -> None:
    monkeypatch.setattr(base, "decode", lambda latents, num_frames: torch.zeros(num_frames, 3, 16, 16))


def looking_ahead(base: Nano, monkeypatch) -> None:
    decode = base.decode
    monkeypatch.setattr(base, "context", 1)
    monkeypatch.setattr(base, "decode", lambda latents, num_frames: decode(latents.flip(2), num_frames))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (twice, "encode two calls differ; take the posterior's mean"),
        (half, "predict_velocity .* torch.float16, wanted"),
        (mixed, "A they differ by"),
        (deaf, "Captions two captions give one velocity"),
        (cut_off, "Gradients "),
        (looking_ahead, "With the first frame changes with the second latent frame"),
        (floats, "decode .* torch.float32 on cpu, wanted .* torch.uint8 on cpu"),
        (lambda base, patch: patch.setattr(base, "fingerprint", lambda: b"1234"), "The .* is not eight bytes"),
        (lambda base, patch: base.transformer.train(), "No training mode"),
        (lambda base, patch: base.transformer.requires_grad_(True), "No .*requires_grad=True"),
        (lambda base, patch: patch.setattr(base, "name", "ñ"), "The name='ñ' is not 1 to 255 ASCII"),
        (lambda base, patch: patch.setattr(type(base), "target_kinds", ("attn9",)), "BaseModelError"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_promise_is_found(fault, message: str, tiny_nano: Nano, monkeypatch) -> None:
    monkeypatch.setattr(Nano, "stand_in", classmethod(lambda cls: tiny_nano))
    assert broken(tiny_nano) == []
    fault(tiny_nano, monkeypatch)
    found = broken(tiny_nano)
    assert any(re.search(message, line) for line in found), found


def test_the_command_says_what_is_kept_and_what_is_not(tiny_nano: Nano, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Nano, "stand_in", classmethod(lambda cls: tiny_nano))
    assert info.main(["--check=nano"]) == 0
    assert capsys.readouterr().out.count("ok ") == 11
    monkeypatch.setattr(tiny_nano, "fingerprint", lambda: b"")
    assert info.main(["--check=vov_lightning.bases.nano.Nano"]) == 1
    shown = capsys.readouterr()
    assert "FAILS The fingerprint has eight bytes" in shown.out
    assert "breaks 1 of 11 promises" in shown.err


def test_check_stands_alone(capsys) -> None:
    assert info.main(["--check=nano", "--base=nano"]) == 1
    assert "give a .vov file, or --base or --check" in capsys.readouterr().err
