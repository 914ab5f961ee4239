"""Adapters of neural codecs, on a script with the interface of the authors' repositories."""

import sys
from pathlib import Path

import pytest

from vov_lightning.evaluation.baselines import BaselineError, UnreachableError
from vov_lightning.evaluation.baselines.external import ExternalCodec
from vov_lightning.evaluation.baselines.neural import DcvcDC, DcvcFM, DcvcRT, GlcVideo
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

pytestmark = pytest.mark.usefixtures("one_thread")
NEAR_THE_MIDDLE = 323
"""Bytes of two small frames at the quality that is tried first: every try is a process."""
ALL = [DcvcDC, DcvcFM, DcvcRT, GlcVideo]


@pytest.fixture
def settings(tmp_path: Path) -> dict:
    (tmp_path / "test_video.py").write_text(Path(__file__).with_name("fake_repository.py").read_text())
    for kind in ("image", "video"):
        (tmp_path / kind).write_text(kind)
    weights = {f"{kind}_weights": tmp_path / kind for kind in ("image", "video")}
    return {"repository": tmp_path, **weights, "python": sys.executable, "cuda": False}


@pytest.mark.parametrize("kind", ALL)
def test_finds_the_quality_and_reads_bytes_and_frames_back(kind: type[ExternalCodec], settings, make_task):
    task = make_task(NEAR_THE_MIDDLE, frames=2, height=16, width=24)
    coded = kind(**settings).code(task)
    assert abs(coded.num_bytes - NEAR_THE_MIDDLE) <= 0.05 * NEAR_THE_MIDDLE
    assert coded.frames.shape == task.source.frames.shape
    assert psnr_db(Signal(coded.frames, task.source.fps, "decoded"), task.source) > 20
    assert coded.settings.startswith("test_video.py --")
    assert str(settings["repository"]) not in coded.settings
    assert coded.decode_s is None


def test_an_index_that_runs_the_other_way_is_noticed(settings, make_task, monkeypatch):
    monkeypatch.setenv("FAULT", "reversed")
    coded = DcvcFM(**settings).code(make_task(900, frames=2, height=16, width=24))
    assert abs(coded.num_bytes - 900) <= 45


def test_a_target_below_the_coarsest_quality_is_unreachable(settings, make_task):
    with pytest.raises(UnreachableError, match="GLC-Video: 20 bytes are out of reach"):
        GlcVideo(**settings).code(make_task(20, frames=1, height=16, width=24))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("crash", r"dcvc-rt: test_video\.py failed: RuntimeError: CUDA out of memory"),
        ("frames", "dcvc-rt decoded 1 frames of 2"),
        ("figures", "dcvc-rt: test_video.py wrote no figures of the known form"),
    ],
)
def test_faults_of_the_other_side_are_told(fault, said, settings, make_task, monkeypatch):
    monkeypatch.setenv("FAULT", fault)
    with pytest.raises(BaselineError, match=said):
        DcvcRT(**settings).code(make_task(NEAR_THE_MIDDLE, frames=2, height=16, width=24))


@pytest.mark.parametrize("kind", ALL)
def test_missing_weights_are_named_with_their_source(kind: type[ExternalCodec], settings):
    settings["video_weights"].unlink()
    with pytest.raises(BaselineError, match=rf"baseline {kind.key} lacks \S+video; clone https://github.com/"):
        kind(**settings)


def test_another_interpreter_that_is_missing(settings, make_task):
    with pytest.raises(BaselineError, match="python=no-such-python cannot be run"):
        DcvcFM(**(settings | {"python": "no-such-python"})).code(make_task(900, frames=1))


def test_a_run_that_takes_too_long_is_ended(settings, make_task):
    with pytest.raises(BaselineError, match=r"timeout_s=0\.001 passed"):
        DcvcFM(**(settings | {"timeout_s": 0.001})).code(make_task(900, frames=1))
