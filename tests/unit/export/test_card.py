"""A card says what the files and their own figures say, and nothing else."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bitstream import VovFile
from vov_lightning.errors import BitstreamError, ExportError
from vov_lightning.export.card import escaped, find_entries, model_card


@pytest.fixture
def nano_file(make_base, make_file) -> VovFile:
    return make_file(make_base(Nano))


def save_run(
    folder: Path, file: VovFile, psnr_db: float = 24.5, preview: str = "preview.mp4", sha256: str = ""
) -> None:
    """A run folder as vov-fit leaves it, as far as a card looks at it."""
    folder.mkdir(parents=True)
    file.save(folder / f"{folder.name}.vov")
    sha256 = sha256 or hashlib.sha256(file.to_bytes()).hexdigest()
    metrics = {"sha256": sha256, "psnr_db": psnr_db, "autoencoder_psnr_db": 26.53}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / preview).write_bytes(b"picture")


def card_of(folder: Path, licence: str = "unknown") -> str:
    return model_card(find_entries(folder), "my clips", licence)


def front_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def row_of(card: str, name: str) -> list[str]:
    (line,) = [line for line in card.splitlines() if line.startswith(f"| [{name}]")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_it_says_what_from_which_base_how_big_how_good(nano_file, tmp_path):
    save_run(tmp_path / "ball", nano_file)
    card, size = card_of(tmp_path), len(nano_file.to_bytes())
    assert row_of(card, "ball/ball.vov") == [
        "[ball/ball.vov](ball/ball.vov)",
        "nano",
        "2 x 96 x 64",
        str(size),
        f"{8 * size / (2 * 96 * 64):.4f}",
        "24.50",
        "26.53",
        "red, moving left",
        "[preview](ball/preview.mp4)",
    ]
    assert "# my clips\n" in card
    assert "One clip or image in the `.vov` format" in card
    assert f"| nano | untrained | `{nano_file.header.base_fingerprint.hex()}` | registered under this name |" in card
    assert "vov-decode ./ball/ball.vov -o decoded.mp4" in card


def test_front_matter_is_what_the_hub_reads(make_base, make_file, nano_file, tmp_path):
    save_run(tmp_path / "a", nano_file)
    assert front_of(card_of(tmp_path)) == {
        "license": "unknown",
        "library_name": "vov_lightning",
        "tags": ["vov", "lora", "video-compression", "nano"],
    }
    save_run(tmp_path / "b", make_file(make_base(Wan13B)))
    card = card_of(tmp_path, "CC-BY-4.0")
    assert front_of(card)["license"] == "cc-by-4.0"
    assert front_of(card)["base_model"] == ["Wan-AI/Wan2.1-T2V-1.3B-Diffusers"]
    assert front_of(card)["base_model_relation"] == "adapter"
    assert "The files: cc-by-4.0." in card


def test_without_a_licence_it_says_so(nano_file, tmp_path):
    save_run(tmp_path / "a", nano_file)
    assert "No licence was stated for these files." in card_of(tmp_path)
    with pytest.raises(ExportError, match="licence 'all mine' is not an identifier"):
        card_of(tmp_path, "all mine")


def test_figures_of_other_bytes_are_not_shown(nano_file, tmp_path):
    save_run(tmp_path / "good", nano_file, psnr_db=20.0)
    save_run(tmp_path / "stale", nano_file, sha256=64 * "0")
    (tmp_path / "alone").mkdir()
    nano_file.save(tmp_path / "alone" / "alone.vov")
    card = card_of(tmp_path)
    for name in ("stale/stale.vov", "alone/alone.vov"):
        assert row_of(card, name)[5:7] == ["not measured", "not measured"]
        assert row_of(card, name)[8] == ""  # the preview shows other bytes too
    assert "mean PSNR 20.00 dB over 1 of 3" in card


def test_nothing_measured_is_no_mean(nano_file, tmp_path):
    nano_file.save(tmp_path / "x.vov")
    assert "mean PSNR not measured" in card_of(tmp_path)


def test_previews_in_matroska_are_linked(nano_file, tmp_path):
    save_run(tmp_path / "ball", nano_file, preview="preview.mkv")
    assert "[preview](ball/preview.mkv)" in model_card(find_entries(tmp_path), "Clips")


def test_previews_of_images_are_shown(nano_file, tmp_path):
    for folder in ("a", "b"):  # of one name, in two sets
        save_run(tmp_path / folder / "photo", nano_file, preview="preview.png")
    card = card_of(tmp_path)
    for folder in ("a", "b"):
        assert f"![{folder}/photo/photo.vov: source and decoded]({folder}/photo/preview.png)" in card


def test_text_from_a_file_cannot_write_the_card(nano_file, tmp_path):
    evil = "a | b\n# heading <script>alert(1)</script> [x](http://x) `code`"
    save_run(tmp_path / "a [1]", replace(nano_file, caption=evil))
    card = card_of(tmp_path)
    assert "<script>" not in card
    assert "\n# heading" not in card
    assert row_of(card, r"a \[1\]/a \[1\].vov")[7] == escaped(evil)
    assert "](a%20%5B1%5D/a%20%5B1%5D.vov)" in card


def test_hidden_folders_are_left_out(nano_file, tmp_path):
    save_run(tmp_path / ".run-discarded-7", nano_file)
    with pytest.raises(ExportError, match=r"holds no \.vov file"):
        find_entries(tmp_path)


def test_what_is_no_folder_is_refused(nano_file, tmp_path):
    nano_file.save(tmp_path / "x.vov")
    with pytest.raises(ExportError, match=r"x\.vov is not a folder"):
        find_entries(tmp_path / "x.vov")


def test_a_damaged_file_is_named(nano_file, tmp_path):
    (tmp_path / "x.vov").write_bytes(nano_file.to_bytes()[:-3])
    with pytest.raises(BitstreamError, match=r"x\.vov: .* truncated"):
        find_entries(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sha256": 1, "psnr_db": 1.0, "autoencoder_psnr_db": 1.0}'])
def test_figures_that_no_fit_wrote_are_refused(nano_file, tmp_path, text):
    nano_file.save(tmp_path / "x.vov")
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(ExportError, match=r"metrics\.json is not what vov-fit writes"):
        find_entries(tmp_path)
