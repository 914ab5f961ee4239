"""Symbols to file and back: the ``.vov`` format (FORMAT.md) in pure NumPy, without torch and Lightning."""

from vov_lightning.bitstream.coder import decode_symbols, encode_symbols
from vov_lightning.bitstream.container import VovFile
from vov_lightning.bitstream.counts import CountTable, entropy_bits
from vov_lightning.bitstream.describe import describe, format_description
from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.limits import Limits
from vov_lightning.bitstream.segments import Segment, without_indices
from vov_lightning.bitstream.times import FrameTimes
from vov_lightning.bitstream.wire import short_float32
from vov_lightning.errors import BitstreamError

__all__ = [
    "BitstreamError",
    "CountTable",
    "FrameTimes",
    "Header",
    "Limits",
    "Segment",
    "VovFile",
    "decode_symbols",
    "describe",
    "encode_symbols",
    "entropy_bits",
    "format_description",
    "short_float32",
    "without_indices",
]
