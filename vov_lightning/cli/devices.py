"""Lightning's devices, tried before anything is loaded for them."""

from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from vov_lightning.errors import SettingError


def check_accelerator(accelerator: Any, devices: Any, group: str = "") -> None:
    """Refuse an accelerator or a number of devices that Lightning does not find.

    Args:
        accelerator: As of Lightning's `Trainer`.
        devices: Likewise.
        group: What stands before the names of the options, such as ``trainer.``.

    Raises:
        SettingError: If Lightning cannot use them.
    """
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    try:
        L.Trainer(accelerator=accelerator, devices=devices, **quiet, enable_checkpointing=False, logger=False)
    except (MisconfigurationException, ValueError, TypeError) as error:
        said = " ".join(str(error).split()).rstrip(".!")
        raise SettingError(
            f"--{group}accelerator {accelerator} with --{group}devices {devices} cannot be used here ({said}); "
            "give cpu, or auto"
        ) from error
