"""Which files are evaluated, under which names, against which sources."""

import hashlib
from pathlib import Path

import pytest
import yaml

from vov_lightning.errors import SettingError
from vov_lightning.evaluation.entries import SourceOptions, find_entries
from vov_lightning.runs.joint import contents_of


def make_run(folder: Path, clip: str, **data: object) -> Path:
    """A run folder with an empty file; ``data`` becomes its configuration, where there is any."""
    folder.mkdir(parents=True)
    (folder / f"{clip}.vov").touch()
    if data:
        (folder / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("bus.mp4", "kodim01.png"):
        (folder / name).touch()
    (folder / "foreman").mkdir()
    (folder / "foreman" / "frame_00000.png").touch()
    return folder


class TestFiles:
    def test_run_folders_belong_to_the_set_above_them(self, tmp_path: Path, sources: Path) -> None:
        for rate in ("low", "high"):
            for clip in ("bus", "foreman"):
                make_run(tmp_path / "runs" / rate / clip, clip)
        entries, failures = find_entries([tmp_path / "runs"], SourceOptions(sources))
        assert [(entry.rate, entry.clip) for entry in entries] == [
            ("high", "bus"), ("high", "foreman"), ("low", "bus"), ("low", "foreman"),
        ]  # fmt: skip
        assert entries[0].source == sources / "bus.mp4"
        assert entries[1].source == sources / "foreman"
        assert not failures

    def test_a_file_of_an_unfinished_fit_is_no_result(self, tmp_path: Path, sources: Path) -> None:
        run = make_run(tmp_path / "low" / "bus", "bus")
        (run / "unfinished.json").write_text("{}")
        entries, failures = find_entries([tmp_path / "low"], SourceOptions(sources))
        assert not entries
        assert "its fit is not finished" in failures[str(run / "bus.vov")]

    def test_loose_files_belong_to_their_folder(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "scaled", "bus")
        entries, _ = find_entries([tmp_path / "scaled" / "bus.vov"], SourceOptions(sources))
        assert entries[0].rate == "scaled"

    def test_sets_of_one_name_are_told_apart(self, tmp_path: Path, sources: Path) -> None:
        for above in ("a", "b"):
            make_run(tmp_path / above / "low" / "bus", "bus")
        entries, _ = find_entries([tmp_path], SourceOptions(sources))
        assert [entry.rate for entry in entries] == ["a/low", "b/low"]

    def test_a_file_named_twice_counts_once(self, tmp_path: Path, sources: Path) -> None:
        run = make_run(tmp_path / "low" / "bus", "bus")
        entries, _ = find_entries([run, run / "bus.vov", tmp_path / "low"], SourceOptions(sources))
        assert len(entries) == 1

    def test_two_files_of_one_clip_in_one_set_are_refused(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus")
        (tmp_path / "low" / "bus.vov").touch()
        with pytest.raises(SettingError, match=r"low holds more than one file of bus"):
            find_entries([tmp_path], SourceOptions(sources))

    def test_nothing_to_evaluate_is_refused(self, tmp_path: Path) -> None:
        for paths in ([], [tmp_path]):
            with pytest.raises(SettingError, match=r"there is no \.vov file"):
                find_entries(paths)
        with pytest.raises(SettingError, match=r"nowhere does not exist"):
            find_entries([tmp_path / "nowhere"])


class TestSources:
    def test_a_runs_configuration_says_what_was_compressed(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus", path=str(sources / "bus.mp4"), start=30, fit="crop")
        (entry,), _ = find_entries([tmp_path / "low"])
        assert (entry.source, entry.start, entry.fit) == (sources / "bus.mp4", 30, "crop")

    def test_sources_of_a_joint_fit_are_found_above(self, tmp_path: Path, sources: Path) -> None:
        paths = [str(sources / "bus.mp4"), str(sources / "foreman")]
        for clip in ("bus", "foreman"):
            make_run(tmp_path / "bus+1" / clip, clip)
        (tmp_path / "bus+1" / "config.yaml").write_text(yaml.safe_dump({"data": {"paths": paths, "start": 3}}))
        entries, failures = find_entries([tmp_path / "bus+1"])
        assert not failures
        assert [(entry.rate, str(entry.source), entry.start) for entry in entries] == [
            ("bus+1", path, 3) for path in paths
        ]

    def test_a_source_of_a_joint_fit_that_has_changed_is_refused(self, tmp_path: Path, sources: Path) -> None:
        paths = [str(sources / "bus.mp4"), str(sources / "foreman")]
        for clip in ("bus", "foreman"):
            make_run(tmp_path / "bus+1" / clip, clip)
        settings = {"data": {"paths": paths}, **contents_of(paths, ["red", "blue"])}
        (tmp_path / "bus+1" / "config.yaml").write_text(yaml.safe_dump(settings))
        assert find_entries([tmp_path / "bus+1"])[1] == {}
        (sources / "bus.mp4").write_bytes(b"after")
        entries, failures = find_entries([tmp_path / "bus+1"])
        assert [entry.clip for entry in entries] == ["foreman"]
        assert "is not what was compressed" in next(iter(failures.values()))

    def test_given_options_are_for_files_without_one(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus")
        make_run(tmp_path / "low" / "foreman", "foreman", path="elsewhere.mp4", start=5, fit="pad")
        entries, _ = find_entries([tmp_path / "low"], SourceOptions(sources, 7, "crop"))
        assert [(entry.start, entry.fit) for entry in entries] == [(7, "crop"), (5, "crop")]

    def test_a_missing_source_is_one_failure(self, tmp_path: Path, sources: Path) -> None:
        for clip in ("bus", "gone"):
            make_run(tmp_path / "low" / clip, clip)
        entries, failures = find_entries([tmp_path / "low"], SourceOptions(sources))
        assert [entry.clip for entry in entries] == ["bus"]
        assert list(failures.values()) == [f"--sources {sources} holds no source called gone"]

    def test_without_sources_and_configuration_the_remedy_is_named(self, tmp_path: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus")
        make_run(tmp_path / "low" / "foreman", "foreman", path="elsewhere.mp4")
        _, failures = find_entries([tmp_path / "low"])
        assert [failure.split(";")[0] for failure in failures.values()] == [
            "no config.yaml of its fit lies beside it",
            f"its source {Path.cwd() / 'elsewhere.mp4'} is not there",
        ]

    def test_two_of_one_name_are_refused(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus")
        (sources / "bus.png").touch()
        with pytest.raises(SettingError, match=r"bus\.mp4 and .*bus\.png would both be bus"):
            find_entries([tmp_path / "low"], SourceOptions(sources))

    def test_a_file_is_no_folder(self, tmp_path: Path, sources: Path) -> None:
        make_run(tmp_path / "low" / "bus", "bus")
        with pytest.raises(SettingError, match="is not a folder"):
            find_entries([tmp_path / "low"], SourceOptions(sources / "bus.mp4"))

    def test_a_source_that_has_changed_is_refused(self, tmp_path: Path, sources: Path) -> None:
        run = make_run(tmp_path / "low" / "bus", "bus", path=str(sources / "bus.mp4"))
        config = run / "config.yaml"
        config.write_text(config.read_text() + f"source_sha256: {hashlib.sha256(b'before').hexdigest()}\n")
        entries, failures = find_entries([tmp_path / "low"])
        assert not entries
        assert "is not what was compressed" in next(iter(failures.values()))
        assert "is not what was compressed" in next(
            iter(find_entries([tmp_path / "low"], SourceOptions(sources))[1].values())
        )
        (sources / "bus.mp4").write_bytes(b"before")
        for options in (SourceOptions(), SourceOptions(sources)):
            assert find_entries([tmp_path / "low"], options)[1] == {}

    def test_a_configuration_that_cannot_be_read_is_one_failure(self, tmp_path: Path, sources: Path) -> None:
        run = make_run(tmp_path / "low" / "bus", "bus", path=str(sources / "bus.mp4"))
        (run / "config.yaml").write_text("data: [")
        entries, failures = find_entries([tmp_path / "low"])
        assert not entries
        assert "config.yaml cannot be read" in next(iter(failures.values()))
