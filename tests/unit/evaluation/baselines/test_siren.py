"""The stand-alone representation: coded bytes are what its coder gives, frames are what they decode to."""

import pytest
import torch

from vov_lightning.bitstream import encode_symbols
from vov_lightning.bitstream.coder import decode_symbols
from vov_lightning.evaluation.baselines import UnreachableError, siren
from vov_lightning.evaluation.baselines.siren import Fit, SirenBaseline, best_fit, fit_siren
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

pytestmark = pytest.mark.usefixtures("one_thread")


def test_shows_the_clip_in_at_most_the_bytes(make_task):
    task = make_task(300, frames=3, height=16, width=16)
    coded = SirenBaseline(iterations=150).code(task)
    assert 285 <= coded.num_bytes <= 300
    black = Signal(torch.full_like(coded.frames, 128), task.source.fps, "grey")
    shown = Signal(coded.frames, task.source.fps, "decoded")
    assert psnr_db(shown, task.source) > psnr_db(black, task.source) + 3
    assert "3 hidden layers" in coded.settings


def test_decodes_from_the_coded_symbols_alone(make_task):
    fit = best_fit(make_task(200, frames=2, height=8, width=8).source.frames, 200, iterations=20)
    data = b"".join(encode_symbols(fit.symbols.numpy()))
    assert fit.num_bytes == len(data) + 4
    symbols, _ = decode_symbols(data, fit.network.num_weights)
    again = Fit(fit.network, torch.from_numpy(symbols), fit.step, fit.shape)
    assert torch.equal(again.decode(), fit.decode())


def test_repeats_and_leaves_the_global_generator_alone(make_task):
    frames = make_task(200, frames=2, height=8, width=8).source.frames
    state = torch.get_rng_state()
    first, second = fit_siren(frames, 200, 20), fit_siren(frames, 200, 20)
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    assert torch.equal(state, torch.get_rng_state())


def test_large_clips_show_some_of_their_points_at_a_time(make_task, monkeypatch):
    monkeypatch.setattr(siren, "MOST_POINTS", 100)
    task = make_task(300, frames=3, height=16, width=16)
    coded = SirenBaseline(iterations=150).code(task)
    assert coded.frames.shape == task.source.frames.shape
    assert psnr_db(Signal(coded.frames, task.source.fps, "decoded"), task.source) > 15


def test_too_few_bytes_for_any_network(make_task):
    with pytest.raises(UnreachableError, match=r"SIREN: 3 bytes are out of reach: the smallest network has \d+"):
        SirenBaseline(iterations=4).code(make_task(3, frames=1, height=8, width=8))
