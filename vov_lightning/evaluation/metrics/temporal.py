"""tLP: whether decoded frames change as much as the source's do, seen through LPIPS.

Chu et al., "Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation" (TecoGAN, ACM TOG 2020),
section 5: ``|LP(g_{t-1}, g_t) - LP(b_{t-1}, b_t)|``. It sees flicker (decoded frames that change more than the source)
and frozen detail (less) without optical flow, whose own errors a warping error would count. Times 100, as there.
"""

from collections.abc import Callable

from torch import Tensor

SCALE = 100.0


def temporal_lpips(distance: Callable[[Tensor, Tensor], Tensor], decoded: Tensor, source: Tensor) -> Tensor:
    """tLP times 100 of every pair of successive frames, ``[T - 1]``.

    Args:
        distance: LPIPS (AlexNet) between frames ``[T - 1, 3, H, W]``, as ``[T - 1]``.
        decoded: ``[T, 3, H, W]``, ``T`` at least 2.
        source: Likewise.
    """
    change = distance(decoded[:-1], decoded[1:])
    return SCALE * (change - distance(source[:-1], source[1:])).abs()
