"""``vov-export`` from the command line, on the golden files and their tiny model."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from peft import PeftModel
from safetensors import safe_open

from vov_lightning.bases.nano.model import Nano
from vov_lightning.cli import export

GOLDEN = Path(__file__).parents[2] / "golden" / "v1"
BASE = ["--base=nano", f"--base.weights={GOLDEN / 'model'}"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["unilora.vov", "lora.vov", "video.vov"])
def test_every_format_is_written_and_described(name, tmp_path, capsys):
    size = (GOLDEN / name).stat().st_size
    for kind, output in (("peft", "a"), ("diffusers", "b.safetensors"), ("unilora", "c"), ("merged", "d")):
        arguments = [str(GOLDEN / name), f"--format={kind}", "-o", str(tmp_path / output), "--license=cc-by-4.0"]
        assert export.main([*arguments, *BASE]) == 0
        printed = capsys.readouterr().out
        path = tmp_path / output
        written = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
        assert printed.startswith(f"{path}: {written} bytes")
        assert f"the .vov file has {size}" in printed
        assert "licence" not in printed
        (weights,) = path.glob("*.safetensors") if path.is_dir() else [path]
        with safe_open(weights, framework="pt") as opened:
            assert opened.metadata()["vov_sha256"] == hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest()
    PeftModel.from_pretrained(Nano(str(GOLDEN / "model")).transformer, tmp_path / "a")


def test_index_bits_and_an_unknown_licence_are_said(tmp_path, capsys):
    assert export.main([str(GOLDEN / "steered.vov"), "--format=peft", "-o", str(tmp_path / "out"), *BASE]) == 0
    printed = capsys.readouterr().out
    assert "has index bits, which are not exported" in printed
    assert "the licence is written as unknown; --license states one" in printed


def test_an_existing_target_stays_unless_told(tmp_path, capsys):
    arguments = [str(GOLDEN / "video.vov"), "--format=peft", "-o", str(tmp_path / "out"), *BASE]
    assert export.main(arguments) == 0
    assert export.main(arguments) == 1
    assert "out exists; choose another name" in capsys.readouterr().err
    assert export.main([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_vector.vov", "--format=peft", "-o=OUT"], "holds no vector (k=0)"),
        (["video.vov", "--format=peft"], "--format peft needs -o"),
        (["video.vov", "--format=peft", "-o=OUT", "--push=me/clips"], "--push publishes a folder of .vov files"),
        (["video.vov", "--format=peft", "-o=OUT", "--private"], "--private is about the repository that --push"),
        (["video.vov", "--format=peft", "-o=OUT", "--license=all mine"], "licence 'all mine' is not an identifier"),
        (["video.vov", "--format=diffusers", "-o=OUT"], "does not end in .safetensors"),
        (["video.vov", "--format=card"], "is not a folder; a card describes"),
        ([".", "--format=merged", "-o=OUT"], "is a folder; give one .vov file, or --format card"),
        (["model/weights.safetensors", "--format=peft", "-o=OUT"], "there is no way back"),
        (["missing.vov", "--format=peft", "-o=OUT"], "missing.vov cannot be read"),
        ([".", "--format=card", "--push=clips"], "--push 'clips' is not user/name"),
    ],
)
def test_what_is_refused(arguments, said, tmp_path, capsys):
    source, *options = arguments
    options = [option.replace("OUT", str(tmp_path / "out")) for option in options]
    base = [] if "card" in options[0] else BASE
    assert export.main([str(GOLDEN / source), *options, *base]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_card_takes_no_base_model(capsys):
    assert export.main([str(GOLDEN), "--format=card", *BASE]) == 1
    assert "takes no --base" in capsys.readouterr().err


class TestCard:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        data = (GOLDEN / "video.vov").read_bytes()
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips" / "video.vov").write_bytes(data)
        metrics = {"sha256": hashlib.sha256(data).hexdigest(), "psnr_db": 21.0, "autoencoder_psnr_db": 26.0}
        (tmp_path / "clips" / "metrics.json").write_text(json.dumps(metrics))
        return tmp_path / "clips"

    def test_it_lies_in_the_folder_or_where_told(self, folder, tmp_path, capsys):
        assert export.main([str(folder), "--format=card"]) == 0
        assert capsys.readouterr().out == f"{folder / 'README.md'}: a card of 1 .vov files\n"
        card = (folder / "README.md").read_text()
        assert "# clips\n" in card
        assert "| 21.00 | 26.00 |" in card
        assert export.main([str(folder), "--format=card"]) == 1
        assert "README.md exists" in capsys.readouterr().err
        assert export.main([str(folder), "--format=card", "-o", str(tmp_path / "card.md")]) == 0
        assert (tmp_path / "card.md").read_text() == card

    def test_without_a_token_nothing_is_written(self, folder, monkeypatch, capsys):
        monkeypatch.setattr("vov_lightning.export.push.get_token", lambda: None)
        assert export.main([str(folder), "--format=card", "--push=me/clips"]) == 1
        assert "run `hf auth login`" in capsys.readouterr().err
        assert not (folder / "README.md").exists()

    def test_pushed_it_says_where(self, folder, monkeypatch, capsys):
        pushed = []
        monkeypatch.setattr("vov_lightning.cli.export.check_push", lambda name: "token")
        monkeypatch.setattr("vov_lightning.cli.export.push", lambda *given: pushed.append(given) or "https://hub/x")
        assert export.main([str(folder), "--format=card", "--push=me/clips", "--private"]) == 0
        assert capsys.readouterr().out.endswith("https://hub/x\n")
        ((where, entries, card, name, private, overwrite),) = pushed
        assert (where, name, private, overwrite) == (folder, "me/clips", True, False)
        assert [entry.path.name for entry in entries] == ["video.vov"]
        assert card == (folder / "README.md").read_text()


def test_the_golden_folder_has_a_card(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "v1")
    assert export.main([str(tmp_path / "v1"), "--format=card"]) == 0
    card = (tmp_path / "v1" / "README.md").read_text()
    assert card.count("| not measured |") >= len(list(GOLDEN.glob("*.vov")))
