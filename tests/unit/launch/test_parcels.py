"""Clips and runs that travel: what a worker gets, what comes back, and who owns the clip meanwhile."""

import shutil

import pytest
import yaml

from vov_lightning.errors import ClaimedError
from vov_lightning.launch import parcels
from vov_lightning.launch.parcels import Keeper, Sender, marked, pack, receive, unpack
from vov_lightning.runs.claims import Claim
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.sets import Member, failure_of


@pytest.fixture
def member(tmp_path):
    """A clip with a caption, where the command runs."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"clip")
    (tmp_path / "clips" / "a.txt").write_text("blue")
    return Member("a", tmp_path / "clips" / "a.mp4")


def fill(run, member, **files):
    """Make a run folder with settings that name the clip of ``member``, and ``files``."""
    run.path.mkdir(parents=True, exist_ok=True)
    settings = {"data": {"path": str(member.path), "caption_file": str(member.caption)}, "k": 4}
    run.config.write_text(yaml.safe_dump(settings, sort_keys=False))
    for name, text in files.items():
        path = run.path / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_run_goes_on_elsewhere_and_comes_back(member, tmp_path):
    keeper, home = Keeper(tmp_path / "runs" / "set"), RunFolder(tmp_path / "runs" / "set" / "a", "a")
    fill(home, member, checkpoints__last_dot_ckpt="25", _dot_segments__key__0_dot_vov="s")
    before = home.config.read_bytes()
    (home.path / ".vov-1234.ckpt").write_text("half")  # is being written

    parcel = keeper.send(member)
    here = receive(parcel, member, tmp_path / "far" / "clips", tmp_path / "far" / "set")
    away = RunFolder(tmp_path / "far" / "set" / "a", "a")
    assert here.path.read_bytes() == b"clip"
    assert here.caption.read_text() == "blue"
    assert away.last_checkpoint.read_text() == "25"
    assert not list(away.path.glob(".vov-*"))
    settings = yaml.safe_load(away.config.read_text())
    assert settings == {"data": {"path": str(here.path), "caption_file": str(here.caption)}, "k": 4}

    with pytest.raises(ClaimedError):
        Claim(home.claim, "a").__enter__()
    away.last_checkpoint.write_text("50")
    keeper.keep(member, pack({"run": away.path}))
    assert home.last_checkpoint.read_text() == "50"
    assert keeper.send(member).run  # to the next worker, when this one has died: the claim is the keeper's
    away.metrics.write_text("{}")
    shutil.rmtree(away.path / ".segments")
    keeper.end(member, pack({"run": away.path}), None)
    assert home.metrics.read_text() == "{}"
    assert home.config.read_bytes() == before
    assert not (home.path / ".segments").exists()
    with Claim(home.claim, "a"):
        pass


def test_what_failed_elsewhere_is_noted(member, tmp_path):
    keeper, home = Keeper(tmp_path / "set"), RunFolder(tmp_path / "set" / "a", "a")
    keeper.send(member)
    keeper.end(member, pack({"run": tmp_path / "nothing"}), "SignalError: broken")
    assert failure_of(home) == "SignalError: broken"
    assert not home.claim.exists()
    keeper.send(member)
    keeper.end(member, pack({}), None)
    assert failure_of(home) is None


def test_figures_come_last(tmp_path, monkeypatch):
    """A run counts as finished once they are there."""
    (tmp_path / "run" / "z").mkdir(parents=True)
    for name in ("a.vov", "metrics.json", "z/1"):
        (tmp_path / "run" / name).write_text(name)
    written = []
    monkeypatch.setattr(parcels, "atomic_write", lambda path, data: written.append((path, data)))
    unpack(pack({"run": tmp_path / "run"}), tmp_path / "to", {"run": "x"})
    assert written[-1] == (tmp_path / "to" / "x" / "metrics.json", b"metrics.json")
    assert len(written) == 3


def test_workers_find_out_whether_they_see_the_folder(tmp_path):
    with marked(tmp_path / "set", None) as mark:
        assert mark.is_seen
    assert not mark.is_seen
    assert not (tmp_path / "set" / ".jobs").exists()
    with marked(tmp_path / "set", False) as mark:
        assert not mark.is_seen


@pytest.mark.parametrize("new", ["checkpoints/last.ckpt", ".segments/key/00001.vov"])
@pytest.mark.parametrize("before", [{}, {"checkpoints__last_dot_ckpt": "25"}], ids=["nothing yet", "a checkpoint"])
def test_a_new_checkpoint_or_segment_is_sent(new, before, member, tmp_path, monkeypatch):
    """A fit without a vector has segments and no checkpoint."""
    monkeypatch.setattr(parcels, "LOOK_S", 0.02)
    run = RunFolder(tmp_path / "set" / "a", "a")
    fill(run, member, **before)
    sent = []
    with Sender(sent.append, run):
        (run.path / new).parent.mkdir(parents=True, exist_ok=True)
        (run.path / new).write_text("50")
        for _ in range(500):
            if sent:
                break
            parcels.threading.Event().wait(0.02)
    unpack(sent[-1], tmp_path / "to", {})
    assert (tmp_path / "to" / "run" / new).read_text() == "50"


def test_a_run_that_is_finished_elsewhere_is_finished_here(member, tmp_path):
    keeper, run = Keeper(tmp_path / "set"), RunFolder(tmp_path / "set" / "a", "a")
    keeper.send(member)
    fill(run, member)
    run.mark_unfinished({"stopped": "index bits are not added yet"})
    keeper.keep(member, pack({"run": run.path}))
    keeper.end(member, pack({"run": tmp_path / "nothing"}), "SignalError: broken")
    assert not run.unfinished.exists()
    run.mark_unfinished({"stopped": "index bits are not added yet"})
    unfinished = pack({"run": run.path})
    keeper.end(member, unfinished, "SignalError: broken")
    assert run.unfinished.exists()


def test_clips_that_links_lead_to_travel(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"one")
    (tmp_path / "frames" / "2.png").hardlink_to(tmp_path / "frames" / "1.png")
    (tmp_path / "linked").symlink_to(tmp_path / "frames")
    (tmp_path / "clip.mp4").symlink_to(tmp_path / "frames" / "1.png")
    unpack(pack({"f": tmp_path / "linked", "c.mp4": tmp_path / "clip.mp4"}), tmp_path / "to", {})
    found = {str(path.relative_to(tmp_path / "to")): path.read_bytes() for path in (tmp_path / "to").rglob("*.*")}
    assert found == {"f/1.png": b"one", "f/2.png": b"one", "c.mp4": b"one"}


def test_an_archive_that_cannot_be_read_is_tried_again(member, tmp_path, monkeypatch):
    monkeypatch.setattr(parcels, "LOOK_S", 0.02)
    run = RunFolder(tmp_path / "set" / "a", "a")
    fill(run, member)
    sent, real, failed = [], pack, []

    def fails_once(paths):
        if not failed:
            failed.append(True)
            raise OSError("unexpected end of data")
        return real(paths)

    monkeypatch.setattr(parcels, "pack", fails_once)
    with Sender(sent.append, run):
        run.last_checkpoint.parent.mkdir()
        run.last_checkpoint.write_text("50")
        for _ in range(500):
            if sent:
                break
            parcels.threading.Event().wait(0.02)
    assert failed
    assert sent
