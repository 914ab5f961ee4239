"""What was measured is kept whole, under everything that it depends on."""

from pathlib import Path

import pytest
import torch

from vov_lightning.errors import RunError
from vov_lightning.evaluation.cache import Cache


def test_records_and_frames_come_back(tmp_path: Path) -> None:
    cache, frames = Cache(tmp_path / "cache"), torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    key = cache.key(method="x265", source="abc")
    assert cache.load(key) is None
    cache.save(key, {"num_bytes": 7, "encode_s": None}, frames)
    assert cache.load(key) == {"num_bytes": 7, "encode_s": None}
    assert torch.equal(cache.frames(key), frames)


def test_every_part_of_the_identity_counts(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.key(a=1, b=2) == cache.key(b=2, a=1)
    assert len({cache.key(a=1, b=2), cache.key(a=2, b=1), cache.key(a=1), cache.key(a="1", b=2)}) == 4


def test_a_crash_while_frames_are_written_leaves_no_record(tmp_path: Path, monkeypatch) -> None:
    cache = Cache(tmp_path)

    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vov_lightning.evaluation.cache.np.savez_compressed", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.save("key", {"num_bytes": 7}, torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    assert cache.load("key") is None
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save("key", {"psnr_db": 20.0})
    (tmp_path / "key.json").write_text('{"psnr_db": 2')
    with pytest.raises(RunError, match=r"key\.json is damaged .*; delete it"):
        cache.load("key")
