"""Networks that measure run in plain float32, whatever precision the surrounding run is set to."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast and no TF32 convolutions, which are the default on GPUs and cost three digits."""
    cudnn = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with torch.inference_mode(), torch.autocast(device.type, enabled=False), cudnn:
        yield
