"""Wire types of version 2 that say a common value in one byte: names of base models and frame rates.

Both tables are part of the format: entries may be added, never changed.
"""

from dataclasses import dataclass
from fractions import Fraction

from vov_lightning.bitstream.wire import Ratio, Reader, Text, write_varint
from vov_lightning.errors import BitstreamError

KNOWN_NAMES = (
    *("nano", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "qwen-image", "ltx-video", "wan2.2-ti2v-5b", "hunyuan-video-1.5"),
    *("z-image", "z-image-turbo", "flux2-klein-base-4b", "flux2-klein-4b"),
)
"""Names with a code: 128 for the first, and so on."""
FIRST_NAME = 128

WHOLE_RATES = 120
"""Codes 1 to 120 are that many frames per second."""
BROADCAST_RATES = tuple(Fraction(1000 * rate, 1001) for rate in (24, 30, 60, 120))
"""Codes 121 to 124."""


@dataclass(frozen=True)
class Name(Text):
    """Name of a base model: a code, or its length and its characters."""

    pattern: str = r"[a-z0-9._-]{1,64}"
    wanted: str = "1 to 64 characters of a-z 0-9 . _ -"

    def write(self, value: str) -> bytes:
        if value in KNOWN_NAMES:
            return bytes([FIRST_NAME + KNOWN_NAMES.index(value)])
        return super().write(value)

    def read(self, reader: Reader) -> str:
        (code,) = reader.data[reader.position : reader.position + 1] or b"\0"
        if code < FIRST_NAME:
            return super().read(reader)
        reader.take(1)
        if code - FIRST_NAME >= len(KNOWN_NAMES):
            raise BitstreamError(f"base model number {code} is unknown to this version of vov_lightning; upgrade it")
        return KNOWN_NAMES[code - FIRST_NAME]


@dataclass(frozen=True)
class Rate(Ratio):
    """Frames per second: a code, or a zero byte and the fraction."""

    def write(self, value: Fraction) -> bytes:
        if value.denominator == 1 and value <= WHOLE_RATES:
            return bytes([value.numerator])
        if value in BROADCAST_RATES:
            return bytes([WHOLE_RATES + 1 + BROADCAST_RATES.index(value)])
        return b"\0" + super().write(value)

    def read(self, reader: Reader) -> Fraction:
        (code,) = reader.take(1)
        if code == 0:
            return super().read(reader)
        if code <= WHOLE_RATES:
            return Fraction(code)
        if code - WHOLE_RATES > len(BROADCAST_RATES):
            raise BitstreamError(f"frame rate number {code} is unknown to this version of vov_lightning; upgrade it")
        return BROADCAST_RATES[code - WHOLE_RATES - 1]


@dataclass(frozen=True)
class Window:
    """Windows in which the model is evaluated: five numbers, or none.

    Frames, rows and columns of a window in latent entries, 1 to 65535; then the overlap of neighbours in time and in
    space, below the window's own size.
    """

    def check(self, value: object) -> tuple[int, ...]:
        if value == ():
            return ()
        numbers = tuple(value) if isinstance(value, (tuple, list)) else ()
        if len(numbers) != 5 or any(type(number) is not int for number in numbers):
            raise BitstreamError(f"{value!r} is not 5 whole numbers: frames, rows, columns, overlap in time, in space")
        frames, rows, columns, overlap_t, overlap_s = numbers
        if not all(1 <= size < 2**16 for size in (frames, rows, columns)):
            raise BitstreamError(f"{value!r}: frames, rows and columns of a window are 1 to 65535")
        if not 0 <= overlap_t < frames or not 0 <= overlap_s < min(rows, columns):
            raise BitstreamError(f"{value!r}: an overlap is at least 0 and below the window's own size")
        return numbers

    def write(self, value: tuple[int, ...]) -> bytes:
        return b"".join(write_varint(number) for number in value)

    def read(self, reader: Reader) -> tuple[int, ...]:
        return tuple(reader.varint() for _ in range(5))
