"""Learning rate of the training stages."""

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup


def warmup_cosine(optimizer: torch.optim.Optimizer, total_steps: int) -> dict:
    """Lightning's optimizer dictionary: linear warm-up, then half a cosine to zero at ``total_steps``.

    The warm-up takes a tenth of the steps, at most 100.
    """
    scheduler = get_cosine_schedule_with_warmup(optimizer, min(100, total_steps // 10), total_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
