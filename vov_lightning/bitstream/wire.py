"""Wire types: how one value becomes bytes and comes back.

The header (``header.py``) is a list of fields, each with one of these types; the count table and the container borrow
the varint. A type has three verbs: ``check`` returns the value in its one canonical form or says what was wanted,
``write`` gives the bytes, ``read`` takes them from a ``Reader``. What a value may be is said in ``check`` alone:
reading ends there too, because a ``Header`` checks itself whenever one is made.
"""

import operator
import re
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from vov_lightning.errors import BitstreamError


class Reader:
    """A cursor over bytes; running past the end is a ``BitstreamError``, never an ``IndexError``."""

    def __init__(self, data: bytes, what: str):
        self.data, self.what, self.position = data, what, 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self.position + size
        if end > len(self.data):
            raise BitstreamError(f"{self.what} ends after {len(self.data)} bytes, wanted {end}; the file is damaged")
        self.position, start = end, self.position
        return self.data[start:end]

    def varint(self) -> int:
        """The next LEB128 number: at most 64 bits, in the fewest bytes."""
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >> 64:
                    break
                return value
        raise BitstreamError(f"{self.what} holds a varint that is over-long or above 64 bits; the file is damaged")

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self.data) - self.position)

    def finish(self) -> None:
        """Refuse bytes that nothing has read."""
        left_over = len(self.data) - self.position
        if left_over:
            raise BitstreamError(f"{self.what} holds {left_over} bytes more than it needs; the file is damaged")


def write_varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the high bit set on all but the last byte.

    Example:
        >>> write_varint(300).hex()
        'ac02'
    """
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fold(value: int) -> int:
    """A signed number as an unsigned one that is small where its size is (zigzag): 0, -1, 1, -2 ... as 0, 1, 2, 3 ...

    Example:
        >>> [fold(value) for value in (0, -1, 1, -2)]
        [0, 1, 2, 3]
    """
    return 2 * value if value >= 0 else -2 * value - 1


def unfold(folded: int) -> int:
    """The inverse of `fold`."""
    return -(folded + 1) // 2 if folded % 2 else folded // 2


@dataclass(frozen=True)
class Text:
    """Short ASCII text behind its length byte."""

    pattern: str
    wanted: str

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise BitstreamError(f"{value!r} is not {self.wanted}")
        return value

    def write(self, value: str) -> bytes:
        return bytes([len(value)]) + value.encode("ascii")

    def read(self, reader: Reader) -> str:
        (size,) = reader.take(1)
        return reader.take(size).decode("latin-1")  # total; `check` refuses what is not ASCII


@dataclass(frozen=True)
class Revision(Text):
    """Text of 0 to 64 characters; a git hash (40 hexadecimal digits) is packed into 20 bytes behind ``GIT_HASH``."""

    pattern: str = r"[!-~]{0,64}"
    wanted: str = "a revision: 0 to 64 printable ASCII characters without spaces"
    GIT_HASH = 65

    def write(self, value: str) -> bytes:
        if re.fullmatch(r"[0-9a-f]{40}", value):
            return bytes([self.GIT_HASH]) + bytes.fromhex(value)
        return super().write(value)

    def read(self, reader: Reader) -> str:
        if reader.data[reader.position : reader.position + 1] == bytes([self.GIT_HASH]):
            return reader.take(21)[1:].hex()
        return super().read(reader)


@dataclass(frozen=True)
class Prefix:
    """The first ``size`` bytes of a longer value; the rest is dropped when a header is made."""

    size: int

    def check(self, value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) < self.size:
            raise BitstreamError(f"{value!r} is not {self.size} bytes or more")
        return value[: self.size]

    def write(self, value: bytes) -> bytes:
        return value

    def read(self, reader: Reader) -> bytes:
        return reader.take(self.size)


@dataclass(frozen=True)
class Unsigned:
    """A whole number in ``[low, high]``, as a varint."""

    low: int
    high: int

    def check(self, value: Any) -> int:
        try:
            number = operator.index(value)  # takes NumPy integers, refuses 3.0
        except TypeError:
            number = -1
        if isinstance(value, bool) or not self.low <= number <= self.high:
            raise BitstreamError(f"{value!r} is not a whole number from {self.low} to {self.high}")
        return number

    def write(self, value: int) -> bytes:
        return write_varint(value)

    def read(self, reader: Reader) -> int:
        return reader.varint()


@dataclass(frozen=True)
class Ratio:
    """A positive fraction in lowest terms: numerator and denominator as varints below 2^32."""

    def check(self, value: Any) -> Fraction:
        if not isinstance(value, (int, Fraction)) or isinstance(value, bool):
            raise BitstreamError(f"{value!r} is not a Fraction; write Fraction(30000, 1001) for 29.97")
        value = Fraction(value)
        if not 0 < value.numerator < 2**32 or not value.denominator < 2**32:
            raise BitstreamError(f"{value} is not a positive fraction of 32-bit numbers")
        return value

    def write(self, value: Fraction) -> bytes:
        return write_varint(value.numerator) + write_varint(value.denominator)

    def read(self, reader: Reader) -> Fraction:
        numerator, denominator = reader.varint(), reader.varint()
        if denominator == 0:
            raise BitstreamError(f"{reader.what} holds the fraction {numerator}/0; the file is damaged")
        return Fraction(numerator, denominator)


@dataclass(frozen=True)
class Float32:
    """A finite float32 that is positive (or zero, if ``zero``): its 32 bits *in reverse order* as a varint.

    Round numbers have few mantissa bits, so 3.0 and 7.5 take two bytes and 22 leading bits three. Values are rounded
    to float32 when a header is made; the rounded one is what encoder and decoder use.
    """

    zero: bool = False

    def check(self, value: Any) -> float:
        try:
            rounded = struct.unpack("<f", struct.pack("<f", value))[0] + 0.0  # + 0.0: no negative zero
        except (struct.error, OverflowError, TypeError):
            rounded = -1.0
        if isinstance(value, bool) or not (0.0 < rounded < float("inf") or (self.zero and rounded == 0.0)):
            raise BitstreamError(f"{value!r} is not a finite float32 {'>=' if self.zero else '>'} 0")
        return rounded

    def write(self, value: float) -> bytes:
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        return write_varint(_reverse_32_bits(bits))

    def read(self, reader: Reader) -> float:
        bits = reader.varint()
        if bits >> 32:
            raise BitstreamError(f"{reader.what} holds a float of more than 32 bits; the file is damaged")
        return struct.unpack("<f", struct.pack("<I", _reverse_32_bits(bits)))[0]


@dataclass(frozen=True)
class Choice:
    """One of a few named values, written as an index of ``flag_bits`` bits into the header's flags."""

    flag_bits: int
    values: tuple[Any, ...] = field(default=(False, True))

    def check(self, value: Any) -> Any:
        if not any(type(value) is type(known) and value == known for known in self.values):
            raise BitstreamError(f"{value!r} is not one of {', '.join(map(repr, self.values))}")
        return value


def short_float32(value: float, mantissa_bits: int = 12) -> float:
    """``value`` rounded to ``mantissa_bits`` bits after the leading one, so that it takes three bytes in a header.

    A quantiser's step is learned, and moving it by at most 2^-13 of itself before the last rounding of the vector
    costs nothing; two bytes are saved.

    Example:
        >>> short_float32(0.1), len(Float32().write(short_float32(0.1)))
        (0.100006103515625, 3)
    """
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    drop = 23 - mantissa_bits
    bits = (bits + (1 << drop >> 1)) >> drop << drop
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def _reverse_32_bits(bits: int) -> int:
    return int(f"{bits:032b}"[::-1], 2)
