"""How far the clips of a set are."""

import json
from pathlib import Path

from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.status import state_of


def test_a_stopped_clip_has_iterations_or_segments(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a", "a")
    assert (state_of(run).state, state_of(run).text) == ("waiting", "")
    for key, count in (("trial", 1), ("clip", 3)):
        folder = run.kept_segments / key
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:05d}.vov").touch()
            (folder / f"{number:05d}.safetensors").touch()
    assert (state_of(run).state, state_of(run).text) == ("stopped", "segment 3")
    run.history.write_text(json.dumps({"step": 70}) + "\n")
    assert state_of(run).text == "iteration 70, segment 3"
    run.clear_segments()
    assert state_of(run).text == "iteration 70"
