"""Times of frames: a clip of variable rate keeps the ticks of its source (FORMAT.md, "Times").

Ticks are coded as second differences, which are zero wherever the rate holds, and deflated.
"""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from vov_lightning.bitstream.wire import Ratio, Reader, fold, unfold, write_varint
from vov_lightning.errors import BitstreamError

_VARINT_BYTES = 10


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """Frame i is shown ``ticks[i] * time_base`` seconds after the first, int64 ``[frames]``; ``ticks[0]`` is 0.

    Example:
        >>> times = FrameTimes(Fraction(1, 600), np.array([0, 20, 40, 80]))
        >>> times.seconds.round(3).tolist()
        [0.0, 0.033, 0.067, 0.133]
    """

    time_base: Fraction
    ticks: np.ndarray

    def __post_init__(self) -> None:
        ticks = np.array(self.ticks)
        if ticks.ndim != 1 or ticks.dtype.kind not in "iu" or len(ticks) < 2:
            raise BitstreamError(
                f"times are {ticks.dtype} {list(ticks.shape)}, wanted whole numbers of 2 frames or more"
            )
        ticks = ticks.astype(np.int64)
        if ticks[0] != 0 or not (ticks[1:] > ticks[:-1]).all():
            raise BitstreamError("times do not rise strictly from 0; shift them, or drop frames that share a time")
        ticks.setflags(write=False)
        object.__setattr__(self, "ticks", ticks)
        object.__setattr__(self, "time_base", Ratio().check(self.time_base))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameTimes):
            return NotImplemented
        return self.time_base == other.time_base and np.array_equal(self.ticks, other.ticks)

    def __hash__(self) -> int:
        return hash((self.time_base, self.ticks.tobytes()))

    @property
    def seconds(self) -> np.ndarray:
        """Time of each frame in seconds, float64 ``[frames]``."""
        return self.ticks * float(self.time_base)

    def between(self, start: int, stop: int) -> "FrameTimes | None":
        """Times of the frames from ``start`` to before ``stop``, from 0 on; None for a single frame."""
        if stop - start < 2:
            return None
        return FrameTimes(self.time_base, self.ticks[start:stop] - self.ticks[start])


def encode_times(times: FrameTimes) -> bytes:
    """Time base, then the deflated second differences of the ticks (as if a first difference of 0 came before)."""
    ticks = times.ticks.tolist()
    steps = [0, *(after - before for before, after in pairwise(ticks))]
    changes = [after - before for before, after in pairwise(steps)]
    varints = b"".join(write_varint(fold(change)) for change in changes)
    compressor = zlib.compressobj(level=9, wbits=-15)
    return Ratio().write(times.time_base) + compressor.compress(varints) + compressor.flush()


def decode_times(data: bytes, frames: int) -> FrameTimes:
    """The times of ``frames`` frames behind ``data``; check their number against a limit first.

    Raises:
        BitstreamError: If ``data`` is not what `encode_times` writes.
    """
    reader = Reader(data, "the part of times")
    time_base = Ratio().read(reader)
    decompressor = zlib.decompressobj(wbits=-15)
    try:
        varints = decompressor.decompress(reader.rest(), _VARINT_BYTES * frames)
    except zlib.error as error:
        raise BitstreamError(f"times do not inflate ({error}); the file is damaged") from None
    if not decompressor.eof or decompressor.unused_data:
        raise BitstreamError("the deflate stream of times does not end where it should; the file is damaged")
    reader, ticks, step = Reader(varints, "the part of times"), [0], 0
    for _ in range(frames - 1):
        step += unfold(reader.varint())
        ticks.append(ticks[-1] + step)
        if step <= 0 or ticks[-1] >> 63:
            raise BitstreamError("times do not rise strictly, or pass 2^63 ticks; the file is damaged")
    reader.finish()
    return FrameTimes(time_base, np.array(ticks, np.int64))
