"""I3D's padding, sizes and weights."""

import pytest
import torch

from vov_lightning.errors import MetricError
from vov_lightning.evaluation.metrics.i3d import I3D, pad_same
from vov_lightning.evaluation.metrics.weights import EPSILON, I3D_FOLDED, I3D_VIDEOGPT, load_i3d


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(9, 7, 2), (10, 7, 2), (7, 2, 2), (8, 2, 2), (5, 3, 1), (5, 1, 1)]
)
def test_padding_is_tensorflows_same(size, kernel, stride):
    padded = pad_same(torch.ones(1, 1, size, 4, 4), (kernel, 1, 1), (stride, 1, 1))[0, 0, :, 0, 0]
    assert (len(padded) - kernel) // stride + 1 == -(-size // stride)
    before = padded.argmax().item()
    after = len(padded) - size - before
    assert after - before in (0, 1)


def test_other_sizes_are_refused():
    network = I3D()
    for shape in ((1, 3, 8, 224, 224), (1, 3, 9, 224, 256), (1, 1, 9, 224, 224)):
        with pytest.raises(MetricError, match=r"wanted \[N, 3, T, 224, 224\] with T at least 9"):
            network(torch.zeros(shape))


def test_it_never_trains(i3d):
    i3d.train()
    assert not any(module.training for module in i3d.modules())
    assert not any(parameter.requires_grad for parameter in i3d.parameters())


def test_both_files_give_the_same_features(i3d, tmp_path):
    """VideoGPT's has TensorFlow's variances and epsilon, ours has the difference folded in."""
    video = torch.rand(1, 3, 9, 224, 224, generator=torch.Generator().manual_seed(0))
    weights = i3d.state_dict()
    difference = EPSILON[I3D_VIDEOGPT.file] - EPSILON[I3D_FOLDED.file]
    raw = {name: x - difference if name.endswith("running_var") else x for name, x in weights.items()}
    torch.save(raw, tmp_path / I3D_VIDEOGPT.file)
    with torch.inference_mode():
        features = i3d(video)
        assert features.shape == (1, 400)
        torch.testing.assert_close(load_i3d(tmp_path)(video), features, rtol=1e-4, atol=1e-4)
