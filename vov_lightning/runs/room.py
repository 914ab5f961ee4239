"""Whether the segments of a clip find room: in this machine's memory, and in what decoders take by default."""

import psutil

from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.errors import SettingError
from vov_lightning.video.source import Clip

BYTES_PER_SAMPLE = 8
"""Memory of an encoder for each number in the frames of a segment, counted in 8-bit copies: this segment and the first,
the decoded one twice while it is put together, the preview, which is twice as wide, and the autoencoder's own twice."""


def check_room(clip: Clip) -> None:
    """Refuse segments that do not fit into memory, or that decoders would refuse.

    Raises:
        SettingError: If the longest segment is too long.
    """
    shape = clip.shape
    rows, columns = (
        own if side is None or side == "source" else side
        for own, side in zip(clip.source_size, (shape.height, shape.width), strict=True)
    )
    frames = min(shape.longest, clip.num_frames)
    memory = memory_bytes()
    needed = 3 * frames * rows * columns
    most = min(DEFAULT_LIMITS.output_samples, memory // BYTES_PER_SAMPLE) // (3 * rows * columns)
    if frames <= most:
        return
    why = (
        f"take {BYTES_PER_SAMPLE * needed / 1e9:.0f} GB of memory, and this machine has {memory / 1e9:.0f}"
        if BYTES_PER_SAMPLE * needed > memory
        else "are more than decoders take by default"
    )
    fewer = most - most % shape.block
    if shape.temporal_factor:
        fewer -= (fewer - 1) % shape.temporal_factor
    remedy = f"use --data.segment {fewer}, or fewer rows" if fewer > 0 else "use fewer rows"
    raise SettingError(f"segment={frames} frames of {columns}x{rows} {why}; {remedy} (--data.height)")


def memory_bytes() -> int:
    """Memory that this machine has."""
    return int(psutil.virtual_memory().total)
