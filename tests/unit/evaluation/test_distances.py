"""Features of clips are kept for as long as the network is the same."""

from pathlib import Path

import pytest
import torch

from vov_lightning.evaluation import distances
from vov_lightning.evaluation.cache import Cache


class Constant(torch.nn.Module):
    """Stands in for I3D: every feature is ``value``."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, videos):
        return torch.full((len(videos), 400), self.value, dtype=torch.float64)


def test_other_weights_have_features_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(distances, "load_i3d", lambda folder: Constant(float(folder.name)))
    frames = torch.zeros(16, 3, 224, 224, dtype=torch.uint8)
    found = []
    for weights in ("1", "2", "1"):
        one = distances.SetDistances(["fvd"], ["vov"], ["rate"], Cache(tmp_path), Path(weights))
        metric = one._distance("fvd", "vov", "rate")
        found.append(float(one._features("clip", frames, metric).mean()))
    assert found == [pytest.approx(1), pytest.approx(2), pytest.approx(1)]
    assert len(list(tmp_path.glob("*.json"))) == 2
