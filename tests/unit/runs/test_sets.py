"""Who belongs to a set, and what its table says."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from vov_lightning.errors import RunError, SettingError, SignalError, SignalWarning
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.joint import caption_beside, source_name
from vov_lightning.runs.sets import (
    Member,
    check_set_folder,
    format_summary,
    note_failure,
    part_of_array,
    read_set,
    summarize,
    take_part,
)


def names(folder):
    return [member.name for member in read_set(folder)]


@pytest.fixture
def folder(tmp_path):
    """A set of a clip, an image and a folder of frames, with what does not belong to it."""
    for name in ("b.mp4", "a.PNG", "a.txt", ".hidden.mp4", "notes.md"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "c" / "0.png")
    (tmp_path / "empty").mkdir()
    return tmp_path


def prepared(folder, *files):
    """A manifest like that of tools/prepare_dataset.py over ``files``."""
    entries = {
        file: {"file": file, "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()} for file in files
    }
    (folder / "manifest.json").write_text(json.dumps({"set": "x", "members": entries}))


def test_clips_images_and_folders_are_members(folder):
    assert names(folder) == ["a", "b", "c"]


def test_what_is_left_out_is_named(tmp_path):
    for name in ("a.MTS", "b.wmv", "c.gif", "notes.txt", "d.heic", ".hidden", "old.vov"):
        (tmp_path / name).touch()
    with pytest.warns(SignalWarning, match=r"left out, as their endings are of no video or image: d\.heic; rename"):
        members = read_set(tmp_path)
    assert [member.name for member in members] == ["a", "b", "c"]


def test_caption_is_the_text_file_beside_the_clip(folder):
    captions = [member.caption for member in read_set(folder)]
    assert captions == [folder / "a.txt", None, None]


def test_manifest_decides_who_belongs_and_in_which_order(folder):
    prepared(folder, "b.mp4", "a.PNG")
    assert names(folder) == ["b.mp4", "a.PNG"]


def test_file_that_is_not_the_manifests_is_refused(folder):
    prepared(folder, "b.mp4")
    (folder / "b.mp4").write_bytes(b"y")
    with pytest.raises(SignalError, match=r"b\.mp4 is missing, or not what .*manifest\.json says"):
        read_set(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"members": {"a": {}}}', '{"members": []}'])
def test_damaged_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(SignalError, match=r"manifest\.json cannot be read"):
        read_set(folder)


def test_no_folder_nothing_in_it_and_two_of_a_name_are_refused(folder):
    with pytest.raises(SignalError, match=r"is not a folder.*prepare_dataset\.py"):
        read_set(folder / "missing")
    with pytest.raises(SignalError, match="holds no videos"):
        read_set(folder / "empty")
    (folder / "a.mkv").touch()
    with pytest.raises(SignalError, match="would both be a"):
        read_set(folder)


def test_parts_share_the_set(folder):
    members = read_set(folder)
    parts = [take_part(members, f"{number}/2") for number in (1, 2)]
    assert [[member.name for member in part] for part in parts] == [["a", "c"], ["b"]]
    assert take_part(members, "5/5") == []


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b", "1/2/3", "-1/2"])
def test_bad_part_is_refused(part):
    with pytest.raises(SettingError, match=f"--part {part} is not a part"):
        take_part([], part)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        ({}, None),
        ({"ID": "3", "COUNT": "8"}, "3/8"),
        ({"ID": "0", "COUNT": "4", "MIN": "0"}, "1/4"),
        ({"ID": "9", "COUNT": "5", "MIN": "1", "STEP": "2"}, "5/5"),
    ],
)
def test_task_of_an_array_takes_its_part(array, part, monkeypatch):
    set_array(monkeypatch, array)
    assert part_of_array() == part


def test_array_with_gaps_is_refused(monkeypatch):
    set_array(monkeypatch, {"ID": "7", "COUNT": "3", "MIN": "1"})  # --array 1,3,7
    with pytest.raises(SettingError, match=r"SLURM_ARRAY_TASK_ID=7 is not one of 3 numbers from 1 on; .*--part"):
        part_of_array()


def set_array(monkeypatch, array):
    for name in ("ID", "COUNT", "MIN", "STEP"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    for name, value in array.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)


def test_summary_holds_finished_failed_and_missing(folder, tmp_path):
    runs = tmp_path / "runs" / "x"
    for name, size in (("a", 100), ("b", 300)):
        (runs / name).mkdir(parents=True)
        metrics = {"bytes": size, "bpp": size / 1000, "psnr_db": 20.0 + size / 100, "frames": 9}
        (runs / name / "metrics.json").write_text(json.dumps(metrics))
    members = read_set(folder)
    summary = summarize(runs, members)
    assert summary["mean"] == {"bytes": 200, "bpp": 0.2, "psnr_db": 22.0}
    assert summary["unfinished"] == ["c"]
    assert json.loads((runs / "summary.json").read_text()) == summary
    note_failure(RunFolder(runs / "b", "b"), "RunError: other settings")
    failed = summarize(runs, members)
    assert [clip["name"] for clip in failed["clips"]] == ["a"]
    table = format_summary(failed)
    assert table.splitlines()[2].split() == ["mean", "100", "0.1000", "21.00"]
    assert "b failed: RunError: other settings" in table
    assert "not finished: c" in table
    assert summarize(runs / "none", members)["mean"] == {}


def test_a_folder_holds_the_runs_of_one_set(tmp_path):
    members = [Member("a", Path("x/a.mp4")), Member("b", Path("x/b.mp4"))]
    check_set_folder(tmp_path / "missing", members)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").touch()
    check_set_folder(tmp_path, members)
    with pytest.raises(RunError, match=r"holds runs of another set \(a\); choose another --name"):
        check_set_folder(tmp_path, [Member("c", Path("y/c.mp4"))])
    (tmp_path / "config.yaml").touch()
    with pytest.raises(RunError, match="is the folder of one run and cannot hold a set; choose another --name"):
        check_set_folder(tmp_path, members)


def test_links_are_called_as_they_are(tmp_path):
    """Clips of data stores are links to files whose names are hashes."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "0f3c9a.mp4").touch()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "holiday.mp4").symlink_to(tmp_path / "store" / "0f3c9a.mp4")
    (tmp_path / "set" / "holiday.txt").write_text("dark")
    (member,) = read_set(tmp_path / "set")
    assert (member.name, member.caption) == ("holiday", tmp_path / "set" / "holiday.txt")
    assert source_name(str(tmp_path / "set" / "holiday.mp4")) == "holiday"
    assert caption_beside(str(tmp_path / "set" / "holiday.mp4")) == str(tmp_path / "set" / "holiday.txt")
    assert source_name(f"{tmp_path / 'set'}/") == "set"
