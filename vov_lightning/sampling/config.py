"""Times that a sampler visits, from 1 (noise) to 0 (clean)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vov_lightning.errors import SettingError
from vov_lightning.flow import shift_time


@dataclass(frozen=True)
class SamplerConfig:
    """How the decoder samples; stored in the file.

    Raises:
        SettingError: If a setting is out of range.
    """

    steps: int = 25
    """Number of steps, one network evaluation each (two with guidance); at least 1."""
    grid: Literal["linear", "shifted"] = "shifted"
    """Even steps of t, or even steps of r under ``t = c r / (1 + (c - 1) r)``."""
    shift: float = 3.0
    """``c`` of the shifted grid; above 1 spends more steps near noise (Wan at 480p: 3)."""
    guidance: float = 1.0
    """Classifier-free guidance; 1 is off, as in the paper."""
    seed: int = 0
    """Seed of the initial noise."""
    compute_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network; float32 repeats best across machines."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"steps={self.steps} is below 1; a sampler takes at least one step")
        if self.shift <= 0:
            raise SettingError(f"shift={self.shift} is not above 0; use 1 for an even grid, 3 as Wan does")
        if self.guidance < 0:
            raise SettingError(f"guidance={self.guidance} is below 0; use 1 for none, about 5 for text-to-video")

    def times(self) -> Tensor:
        """Times [steps + 1] float32, from 1 down to 0.

        Example:
            >>> SamplerConfig(steps=2, grid="linear").times().tolist()
            [1.0, 0.5, 0.0]
        """
        r = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        return (r if self.grid == "linear" else shift_time(r, self.shift)).float()
