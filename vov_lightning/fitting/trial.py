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


def choose_vector(
    module: VOVModule, files: list[VovFile], runs: Sequence[RunFolder], scaling: ScalingConfig, shown: bool
) -> tuple[list[VovFile], dict[str, Any]]:
    """``files`` with the vector, or without it if it does not pay; and the entry for ``metrics.json``.

    Args:
        module: With its vector fitted, on the device that decodes.
        files: Of all sources, with the vector and without indices.
        runs: Folders of the sources; what the trial has coded is kept there and not coded again.
        scaling: Index bits.
        shown: Whether progress is shown.
    """
    worth = module.worth(files)
    gain_db = trial_gain_db(module, files, runs, scaling, worth, shown) if worth.pays else None
    written = gain_db is not None and gain_db > 0
    figures = worth.figures(written) | {"trial_gain_db": None if gain_db is None else finite(gain_db)}
    return (files if written else [without_vector(file) for file in files]), figures


def trial_gain_db(
    module: VOVModule,
    files: Sequence[VovFile],
    runs: Sequence[RunFolder],
    scaling: ScalingConfig,
    worth: Worth,
    shown: bool,
) -> float:
    """PSNR in dB of the first segments with the vector, minus that without it at the same bytes; as `choose_vector`."""
    plain = scaling  # target_bpp counts the vector's bytes, bits does not
    if scaling.target_bpp is None:
        plain = replace(scaling, bits=scaling.bits + 8 * worth.vector_bytes // len(files))
    errors = SquaredError(), SquaredError()
    for source, file, run in zip(module.sources, files, runs, strict=True):
        for error, candidate, bits in zip(errors, (file, without_vector(file)), (scaling, plain), strict=True):
            error.add(*try_first_segment(candidate, module.base, source, run, bits, shown))
    return errors[0].psnr_db - errors[1].psnr_db
