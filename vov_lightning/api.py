"""The ways through a file as Python calls them: paths or objects go in, base models are found by name.

`vov_lightning.codec` does the work and takes opened files and loaded models only. A base model that is not given is
loaded by the name in the file, on the CPU, and kept for the next call (`vov_lightning.bases.shared_base`). For a large
model give one that lies on a GPU.
"""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from vov_lightning.bases import BaseModel, shared_base
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file, for_clip
from vov_lightning.codec.edit import EditConfig, check_request
from vov_lightning.codec.edit import edit as edit_files
from vov_lightning.codec.play import play
from vov_lightning.codec.scale import scale as scale_file
from vov_lightning.codec.steer import keep_steps
from vov_lightning.errors import RunError, SettingError
from vov_lightning.progress import ClipBar, step_bar
from vov_lightning.runs.encode import encode
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.result import FitResult
from vov_lightning.runs.source import ClipData, source_of
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig, check_scaling
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal
from vov_lightning.video.source import Fit

File = VovFile | str | PathLike[str]
"""An opened file, or the path of one."""
DEFAULT_BPP = 0.03
"""Bits per pixel of `compress`, those of ``instant.yaml``."""


def decode(file: File, base: BaseModel | None = None, *, stop_at: float = 0.0, progress: bool = True) -> Signal:
    """The clip that ``file`` holds, all in memory, without its sound (``vov-decode`` writes both).

    Args:
        file: A ``.vov`` file.
        base: The model that it was fitted on; found by name when left out.
        stop_at: Time in [0, 1) at which sampling stops early (paper, appendix B.1); 0 never.
        progress: Whether a bar with the time left is shown.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        BitstreamError, BaseModelError: If the file is damaged, or asks for what the base model does not have.
    """
    opened = _opened(file)
    frames = range(opened.header.frames)
    parts = play(opened, _base_of(opened, base), frames, stop_at=stop_at, shown=progress)
    return Signal(torch.cat(list(parts)), opened.header.fps, _name_of(file))


def edit(
    files: File | Sequence[File],
    prompt: str,
    config: EditConfig = EditConfig(),
    base: BaseModel | None = None,
    *,
    weights: Sequence[float] | None = None,
    progress: bool = True,
) -> Signal:
    """The clip that the file's adapted model generates under ``prompt``.

    Args:
        files: A ``.vov`` file, or several whose vectors act together; sampler, size, frame rate and index bits are the
            first one's.
        prompt: Text in place of the caption.
        config: Strength, seed, steps, guidance, size, index bits.
        base: The model that they were fitted on; found by name when left out.
        weights: Factor of each file's low-rank updates; 1 each when left out.
        progress: Whether a bar with the time left is shown.

    Raises:
        BaseModelMismatchError: If a file was fitted on another model than ``base``.
        BaseModelError: If the model cannot take the prompt or the size.
        SettingError: If settings contradict the file, or each other.
    """
    opened = [_opened(file) for file in ([files] if isinstance(files, VovFile | str | PathLike) else files)]
    given = [1.0] * len(opened) if weights is None else list(weights)
    check_request(opened, config, given)
    chosen = _base_of(opened[0], base)
    return edit_files(opened, chosen, prompt, config, weights=given, progress=step_bar("edit", progress))


def scale(
    file: File,
    clip: str | PathLike[str] | Signal,
    target_bpp: float | None = None,
    base: BaseModel | None = None,
    *,
    scaling: ScalingConfig = ScalingConfig(),
    start: int = 0,
    fit: Fit | None = None,
    progress: bool = True,
) -> VovFile:
    """``file`` with index bits that lead its decoder towards ``clip``; vector, caption and sound stay as they are.

    Args:
        file: A ``.vov`` file; indices that it holds are replaced.
        clip: The clip that was compressed: the source's path, or a signal of the source's size or of the file's.
        target_bpp: Bits per pixel of the whole file without its sound, such as 0.1.
        base: The model that the file was fitted on; found by name when left out.
        scaling: What indices choose from; without ``target_bpp`` also their number, or a PSNR to reach.
        start: First frame of the clip.
        fit: How the clip was brought to size; found from the sizes when left out.
        progress: Whether a bar with the time left is shown.

    Raises:
        BaseModelMismatchError: If ``base`` is another model than the file was fitted on.
        SettingError: If the clip cannot be brought to the file's size, or a target is out of reach.
    """
    opened, wanted = _opened(file), _with_target(scaling, target_bpp)
    if not wanted.enabled:
        raise SettingError(
            "target_bpp=None asks for no index bits; give target_bpp=0.1 or scaling=ScalingConfig(target_psnr=30), or "
            "drop some with vov.keep_steps"
        )
    chosen = _base_of(opened, base)
    source = source_of(opened, chosen, clip, start, fit)
    with ClipBar("scale", source.num_frames, progress) as bar:
        segments = bar.over(source.segments(), lambda segment: segment.num_frames)
        longest = source.shape.longest
        return scale_file(keep_steps(opened, 0), chosen, segments, wanted, longest=longest, progress=bar)


def compress(
    clip: str | PathLike[str] | Signal,
    folder: str | PathLike[str],
    target_bpp: float | None = None,
    base: BaseModel | str = "nano",
    *,
    scaling: ScalingConfig = ScalingConfig(),
    sampler: SamplerConfig = SamplerConfig(),
    progress: bool = True,
    **data: Any,
) -> FitResult:
    """Compress a whole clip without a fit: caption, index bits, and the sound. ``instant.yaml`` does the same.

    Args:
        clip: Video, image or folder of frames; or a signal, which has no sound.
        folder: Where ``<name>.vov``, ``decoded``, ``preview`` and ``metrics.json`` go. A call that was stopped goes on
            behind the last segment that was done.
        target_bpp: Bits per pixel of the whole file without its sound; 0.03 where ``scaling`` asks for nothing else.
        base: Base model, or the registered name of one.
        scaling: What indices choose from; without ``target_bpp`` also their number, or a PSNR to reach.
        sampler: How the decoder samples.
        progress: Whether a bar with the time left is shown.
        **data: Settings of `SignalData`, such as ``height=64``, ``frames=81``, ``caption="..."`` or ``audio="none"``.

    Returns:
        File, figures, and paths.

    Raises:
        RunError: If ``folder`` holds a run of ``vov-fit``.
        SignalError: If the clip cannot be read or brought to size.
        SettingError: If a target is out of reach, or settings contradict each other.
    """
    wanted = _with_target(scaling, target_bpp if scaling.enabled or target_bpp is not None else DEFAULT_BPP)
    check_scaling(sampler, wanted)
    reader = ClipData.of(clip, **data) if isinstance(clip, Signal) else ClipData(str(clip), **data)
    run = RunFolder(Path(folder), reader.source_name)
    if run.config.exists():
        raise RunError(f"{run.path} holds a run of vov-fit, which would be lost; choose another folder")
    chosen = shared_base(base) if isinstance(base, str) else base
    source = reader.load(chosen)
    nothing = torch.zeros(0, dtype=torch.int32)
    first = build_file(chosen, source.clip.first, source.caption, nothing, 1.0, AdapterConfig(k=0), sampler)
    encoded = encode(for_clip(first, source.clip, chosen), chosen, source, run, wanted, progress)
    run.write_metrics(encoded.metrics)
    run.clear_segments()
    return FitResult(encoded.file, encoded.decoded, encoded.metrics, run.file)


def _with_target(scaling: ScalingConfig, target_bpp: float | None) -> ScalingConfig:
    return scaling if target_bpp is None else replace(scaling, target_bpp=target_bpp)


def _opened(file: File) -> VovFile:
    return file if isinstance(file, VovFile) else VovFile.open(file)


def _base_of(file: VovFile, base: BaseModel | None) -> BaseModel:
    return shared_base(file.header.base_name, file.header.base_revision) if base is None else base


def _name_of(file: File) -> str:
    return "decoded" if isinstance(file, VovFile) else Path(file).stem
