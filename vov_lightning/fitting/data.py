"""The sources of a fit as a LightningDataModule."""

from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from vov_lightning.fitting.stages import total_iterations
from vov_lightning.runs.source import ClipData


class SignalData(ClipData, L.LightningDataModule):
    # Help of the settings: jsonargparse reads the docstring of the class that it instantiates.
    __doc__ = ClipData.__doc__

    def train_dataloader(self) -> DataLoader:
        """One item a batch of draws; the module makes them from the number alone."""
        assert self.trainer is not None
        batches = total_iterations(self.trainer) * self.trainer.accumulate_grad_batches
        return _count(batches)

    def val_dataloader(self) -> DataLoader:
        """The number of each source."""
        return _count(len(self.members))


def _count(batches: int) -> DataLoader:
    numbers: Any = range(batches)  # a sequence serves as a dataset
    return DataLoader(numbers, batch_size=None)
