"""A clip into its file: segment by segment coded, written to look at, and measured."""

import hashlib
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from typing import Any

import torch

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import tiling
from vov_lightning.codec.scale import assemble, code_clip
from vov_lightning.progress import ClipBar
from vov_lightning.runs.figures import finite
from vov_lightning.runs.folder import RunFolder
from vov_lightning.runs.source import Source
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video import ClipWriter, Fitted, Signal, remove_padding, side_by_side, viewing_ending
from vov_lightning.video.compare import SquaredError


@dataclass(frozen=True)
class Encoded:
    """Result of an encoder."""

    file: VovFile
    """The compressed clip."""
    decoded: Signal | None
    """The decoder's frames, of a clip of one segment; more are on the disk only."""
    metrics: dict[str, Any]
    """Figures of the clip; rates count every byte of the file, but ``bpp_without_sound``."""


@torch.no_grad()
def encode(
    file: VovFile, base: BaseModel, source: Source, run: RunFolder, scaling: ScalingConfig, shown: bool
) -> Encoded:
    """Code ``source`` and leave its file, ``decoded`` and ``preview`` in the folder of ``run``.

    A call that was stopped goes on behind the last segment that was done, until `RunFolder.clear_segments`.

    Args:
        file: Header, caption and vector, without segments (`vov_lightning.codec.build.for_clip`).
        base: The model that the vector was fitted on, on the device that decodes.
        source: The clip.
        run: Where everything goes.
        scaling: Index bits.
        shown: Whether progress is shown.

    Raises:
        SettingError: If a target is out of reach.
    """
    clip, started_s = source.clip, time.perf_counter()
    file = replace(file, sound=source.sound)
    store = run.segments(_key(file, source, scaling))
    error, bound, segments = SquaredError(), SquaredError(), []
    parts: list[VovFile] = []
    last: Signal | None = None
    with ExitStack() as stack:
        bar = stack.enter_context(ClipBar("encode", clip.num_frames, shown))
        sources = bar.over(clip.segments(), lambda segment: segment.num_frames)
        coded = code_clip(file, base, sources, scaling, longest=clip.shape.longest, store=store, progress=bar)
        writers: list[ClipWriter] = []
        for one in coded:
            target = remove_padding(one.source.signal, one.source.padding)
            pictures = one.decoded, side_by_side(target, one.decoded)
            writers = writers or [
                stack.enter_context(_writer(run, name, picture, source))
                for name, picture in zip(("decoded", "preview"), pictures, strict=True)
            ]
            for writer, picture in zip(writers, pictures, strict=True):
                writer.write(picture.frames)
            own = SquaredError()
            for each in (own, error):
                each.add(one.decoded, target)
            bound.add(autoencoded(base, one.source, one.part.header.vae_tiling), target)
            own_bytes = one.part.section_bytes()["indices"]
            segments.append({"frames": target.num_frames, "bytes": own_bytes, "psnr_db": finite(own.psnr_db)})
            parts.append(one.part)
            last = one.decoded if target.num_frames == clip.num_frames else None
            del one, target, pictures, picture  # the next segment is made in their memory
    file = assemble(file, parts)
    file.save(run.file)
    data = file.to_bytes()
    metrics = {
        "name": source.name,
        "base": f"{file.header.base_name}@{file.header.base_revision}",
        "caption": file.caption,
        "frames": clip.num_frames,
        "height": clip.height,
        "width": clip.width,
        "bytes": len(data),
        "section_bytes": file.section_bytes(),
        "bpp": 8 * len(data) / clip.num_pixels,
        "bpp_without_sound": 8 * file.bytes_without_sound / clip.num_pixels,
        "psnr_db": finite(error.psnr_db),
        "autoencoder_psnr_db": finite(bound.psnr_db),
        "segments": segments,
        "sha256": hashlib.sha256(data).hexdigest(),
        "versions": {"vov_lightning": version("vov_lightning"), "torch": torch.__version__},
        "seconds": {"encode": time.perf_counter() - started_s},
    }
    return Encoded(file, last, metrics)


@torch.no_grad()
def try_first_segment(
    file: VovFile, base: BaseModel, source: Source, run: RunFolder, scaling: ScalingConfig, shown: bool
) -> tuple[Signal, Signal]:
    """What the decoder would show of the first segment, and its source; `encode` of the same goes on behind it.

    Raises:
        SettingError: If a target is out of reach.
    """
    file, clip = replace(file, sound=source.sound), source.clip
    with ClipBar("try", clip.first.num_frames, shown) as bar:
        sources = bar.over(islice(clip.segments(), 1), lambda segment: segment.num_frames)
        store = run.segments(_key(file, source, scaling))
        (one,) = code_clip(file, base, sources, scaling, longest=clip.shape.longest, store=store, progress=bar)
    return one.decoded, remove_padding(one.source.signal, one.source.padding)


def _key(file: VovFile, source: Source, scaling: ScalingConfig) -> str:
    """Hash of everything that the segments of a clip depend on."""
    return hashlib.sha256(file.to_bytes() + source.clip.digest + repr(scaling).encode()).hexdigest()


def _writer(run: RunFolder, name: str, picture: Signal, source: Source) -> ClipWriter:
    """Writer of decoded pictures into the folder of ``run``, with the source's times and sound."""
    clip = source.clip
    whole = Signal(picture.frames[:1].expand(clip.num_frames, -1, -1, -1), clip.fps, name)
    return ClipWriter(
        run.path / f"{name}{viewing_ending(whole, source.sound)}",
        picture.height,
        picture.width,
        clip.fps,
        times=clip.times,
        sample_aspect_ratio=clip.sample_aspect_ratio,
        sound=source.sound,
    )


def autoencoded(base: BaseModel, source: Fitted, tiled: bool) -> Signal:
    """Segment ``source`` after the autoencoder alone: the bound for every file of this base model."""
    signal = source.signal
    with torch.no_grad(), tiling(base, tiled):
        frames = base.decode(base.encode(signal.frames), signal.num_frames)
    return remove_padding(Signal(frames, signal.fps, "autoencoded"), source.padding)
