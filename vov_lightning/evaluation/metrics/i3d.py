"""I3D, the network that FVD looks at videos with: Inception v1 inflated to three dimensions.

Carreira and Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017). Modules are named as in the usual PyTorch state
dicts (``Mixed_3b.b1a.conv3d.weight``), so these load as they are. Paddings are TensorFlow's "same": what is odd goes to
the end, so a layer's padding depends on the size of what it gets.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov_lightning.errors import MetricError

SIDE = 224
"""Height and width in pixels that the last pooling wants."""
MIN_FRAMES = 9
"""Fewest frames: time is halved three times, rounding up, and the last pooling takes two steps."""
NUM_FEATURES = 400
"""Kinetics-400's classes."""


def pad_same(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """``x [N, C, T, H, W]`` with zeros around it, so that a layer gives ``ceil(size / stride)`` in each dimension."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):  # W, H, T as F.pad wants them
        total = max(k - (size % s or s), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, epsilon: float, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """Maximum over a window; the zeros of the padding never win, since ReLU came before."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Inception's block: 1x1, two 3x3 behind 1x1 reductions, and pooling, side by side."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int], epsilon: float) -> None:
        super().__init__()
        self.b0 = Unit(inputs, widths[0], epsilon)
        self.b1a = Unit(inputs, widths[1], epsilon)
        self.b1b = Unit(widths[1], widths[2], epsilon, 3)
        self.b2a = Unit(inputs, widths[3], epsilon)
        self.b2b = Unit(widths[3], widths[4], epsilon, 3)
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(inputs, widths[5], epsilon)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, dim=1)


class Logits(nn.Module):
    """The classifier, at every place of the pooled features."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, NUM_FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3D(nn.Module):
    """Class scores before the softmax, the features of FVD. Never trains: normalisation keeps to its statistics.

    Args:
        epsilon: Of the normalisation; it belongs to the weights (see `weights.EPSILON`).
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, epsilon, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, epsilon)
        self.Conv3d_2c_3x3 = Unit(64, 192, epsilon, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32), epsilon)
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64), epsilon)
        self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64), epsilon)
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64), epsilon)
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64), epsilon)
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64), epsilon)
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128), epsilon)
        self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128), epsilon)
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128), epsilon)
        self.avg_pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.logits = Logits(1024)
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> "I3D":
        """Stay in evaluation mode whatever a parent module is set to."""
        return super().train(False)

    def forward(self, videos: Tensor) -> Tensor:
        """Features ``[N, 400]``, means over time.

        Args:
            videos: ``[N, 3, T, 224, 224]`` float; the network was trained on values in [-1, 1]. ``T`` at least 9.

        Raises:
            MetricError: If the videos have another size or fewer frames.
        """
        channels, num_frames, height, width = videos.shape[1:]
        if channels != 3 or num_frames < MIN_FRAMES or (height, width) != (SIDE, SIDE):
            raise MetricError(
                f"I3D got videos of shape {list(videos.shape)}, wanted [N, 3, T, {SIDE}, {SIDE}] with T at least "
                f"{MIN_FRAMES}; cut or resize the clips first"
            )
        x = videos
        for layer in self.children():  # in the order of definition
            x = layer(x)
        return x.mean(dim=(2, 3, 4))
