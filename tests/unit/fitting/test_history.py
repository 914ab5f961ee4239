"""Reading the history of a fit."""

import json

import pytest

from vov_lightning.errors import RunError
from vov_lightning.runs.history import read_history


def test_rows_come_back(tmp_path):
    rows = [{"step": 2, "train/distortion": 0.5}, {"step": 4, "val/psnr_db": 20.0}]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_history(tmp_path) == rows


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"none is no run folder; name one that `vov-fit` has left"):
        read_history(tmp_path / "none")


@pytest.mark.parametrize(
    "text", ['{"step": 2', '{"psnr": 2}\n', "[]\n", '{"step": 4}\n{"step": 4}\n', '{"step": "a"}\n3\n']
)
def test_a_damaged_history_is_refused(text, tmp_path):
    (tmp_path / "history.jsonl").write_text(text)
    with pytest.raises(RunError, match=r"history\.jsonl is damaged"):
        read_history(tmp_path)
