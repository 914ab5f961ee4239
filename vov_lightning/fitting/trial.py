"""Whether a fitted vector goes into the files: by its account, and by a trial on the first segment of each source."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import without_vector
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.worth import Worth
from vov_lightning.runs.encode import try_first_segment
from vov_lightning.runs.figures import finite
from vov_lightning.runs.folder import RunFolder
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video.compare import SquaredError


def settle(
    module: VOVModule, files: list[VovFile], runs: Sequence[RunFolder], scaling: ScalingConfig, shown: bool
) -> tuple[list[VovFile], dict[str, Any]]:
    """``files`` with the vector, or without it where it does not pay; and what ``metrics.json`` says of that.

    Args:
        module: With its vector fitted, on the device that decodes.
        files: Of all sources, with the vector and without indices.
        runs: Folders of the sources; what the trial has coded is kept there and not coded again.
        scaling: Index bits.
        shown: Whether progress is.
    """
    worth = module.worth(files)
    gained_db = trial_gain_db(module, files, runs, scaling, worth, shown) if worth.pays else None
    written = gained_db is not None and gained_db > 0
    figures = worth.figures(written) | {"trial_gained_db": None if gained_db is None else finite(gained_db)}
    return (files if written else [without_vector(file) for file in files]), figures


def trial_gain_db(
    module: VOVModule,
    files: Sequence[VovFile],
    runs: Sequence[RunFolder],
    scaling: ScalingConfig,
    worth: Worth,
    shown: bool,
) -> float:
    """PSNR in dB of the first segments with the vector, less that without it at the same bytes; as `settle`."""
    plain = scaling  # a number of index bits does not count the vector
    if scaling.target_bpp is None:
        plain = replace(scaling, bits=scaling.bits + 8 * worth.vector_bytes // len(files))
    errors = SquaredError(), SquaredError()
    for source, file, run in zip(module.sources, files, runs, strict=True):
        for error, candidate, bits in zip(errors, (file, without_vector(file)), (scaling, plain), strict=True):
            error.add(*try_first_segment(candidate, module.base, source, run, bits, shown))
    return errors[0].psnr_db - errors[1].psnr_db
