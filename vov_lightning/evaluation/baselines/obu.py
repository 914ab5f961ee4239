"""Open bitstream units, the parts of an AV1 stream (AV1 specification, sections 5.3 and 5.4)."""

from collections.abc import Iterator

from vov_lightning.evaluation.baselines.base import BaselineError

TEMPORAL_DELIMITER = 2


def units(stream: bytes) -> Iterator[tuple[int, int]]:
    """Type and bytes, header included, of each unit of a low-overhead stream.

    Raises:
        BaselineError: If the stream is cut short, or a unit does not say how long it is.

    Example:
        >>> list(units(bytes([0x12, 0x00, 0x0A, 0x01, 0xFF])))
        [(2, 2), (1, 3)]
    """
    start = 0
    while start < len(stream):
        header = stream[start]
        position = start + 1 + (header >> 2 & 1)  # the extension's byte
        if not header >> 1 & 1:
            raise BaselineError(f"the AV1 unit at byte {start} does not say how long it is; wanted obu_has_size_field")
        size = shift = 0
        while True:
            if position >= len(stream):
                raise BaselineError(f"the AV1 stream of {len(stream)} bytes is cut short")
            byte = stream[position]
            size |= (byte & 0x7F) << shift
            shift, position = shift + 7, position + 1
            if not byte & 0x80:
                break
        end = position + size
        if end > len(stream):
            raise BaselineError(f"the AV1 stream of {len(stream)} bytes is cut short")
        yield header >> 3 & 15, end - start
        start = end
