"""What killed processes leave behind."""

import os
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from vov_lightning.errors import VovError
from vov_lightning.files import atomic_folder, atomic_path, clear_fragments
from vov_lightning.runs.folder import RunFolder


def test_a_run_that_goes_on_removes_fragments_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", "a")
    run.checkpoints.mkdir(parents=True)
    kept = [run.last_checkpoint, run.checkpoints / ".vov-young.ckpt"]
    left = [run.checkpoints / ".vov-0123456789ab.ckpt", run.path / ".vov-0123456789ab"]
    left[1].mkdir()
    for path in (*kept, left[0], left[1] / "0.png"):
        path.write_bytes(b"half")
    for path in (kept[0], *left):
        os.utime(path, (time.time() - 7200,) * 2)
    run.begin({}, {"a": "dim"})
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)


def test_a_run_that_begins_anew_is_removed_even_where_a_kill_stopped_that(tmp_path: Path) -> None:
    run, killed = RunFolder(tmp_path / "run[1]", "a"), tmp_path / ".run[1]-discarded-7"
    for folder in (run.path, killed):
        folder.mkdir()
        (folder / "old").touch()
    run.begin({}, {"a": "dim"}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run[1]"]
    assert not (run.path / "old").exists()


def test_what_atomic_path_leaves_is_a_fragment(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        clear_fragments(tmp_path)
        assert temporary.exists()
        clear_fragments(tmp_path, age_s=-1)
        assert not temporary.exists()
        temporary.write_text("whole")
    clear_fragments(tmp_path / "missing")


def test_a_kill_while_a_folder_is_replaced_loses_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").write_text("old")
    rename, calls = os.rename, []

    def killed_second(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed_second)
    with (
        pytest.raises(KeyboardInterrupt),
        atomic_folder(tmp_path / "run", replaceable=lambda _: True) as temporary,
    ):
        (temporary / "a").write_text("new")
    clear_fragments(tmp_path, age_s=-1)
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith(".run-before-")
    assert (aside / "a").read_text() == "old"


def test_a_full_disk_is_one_of_our_errors_whoever_meets_it(tmp_path: Path) -> None:
    message = r"a\.safetensors cannot be written \(.*No space left"
    with pytest.raises(VovError, match=message), atomic_path(tmp_path / "a.safetensors"):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".", "../run"])
def test_the_folder_of_the_command_is_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    message = "cannot replace the one that this command runs in"
    with pytest.raises(VovError, match=message), atomic_folder(name, replaceable=lambda _: True):
        pass
    (tmp_path / "run" / "still").touch()
