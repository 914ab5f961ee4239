"""Learning rate of the training stages."""

import math

import torch


def warmup_cosine(optimizer: torch.optim.Optimizer, total_steps: int) -> dict:
    """Lightning's optimizer dictionary: linear warm-up, then half a cosine to zero at ``total_steps``.

    The warm-up takes a tenth of the steps, at most 100.
    """
    warmup_steps = min(100, total_steps // 10)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
