"""The head of a version 2 file: fields, the table of its parts, caption and vector (FORMAT.md, "Head").

    base model, size, rate | flags | fields that the flags announce | frames and lengths | caption | vector

What files have most often stands first among the flags, so that a usual file needs one byte of them or two. There is
exactly one byte string for each head: the reader writes what it has read and compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vov_lightning.bitstream.flags import DEFAULTS, KINDS, read_flags, write_flags
from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.limits import Limits
from vov_lightning.bitstream.wire import Choice, Reader, write_varint
from vov_lightning.errors import BitstreamError

REQUIRED = ("base_name", "base_revision", "base_fingerprint", "frames", "height", "width", "fps")
PARTS = ("caption", "segments", "sound", "times", "pads")
"""Flags that announce a part of the head or of the file, and no field."""
_FLAGS = (
    *("caption", "kernel", "steps", "k", "segments", "window"),
    *("sound", "step", "pads", "pad_height", "pad_width", "times", "seed"),
    *("compute_dtype", "guidance", "shift", "rank", "targets", "vae_tiling"),
    *("eta", "index_bits", "codebook", "hash_scheme", "sample_aspect_ratio"),
    *("hash_seed", "scheduler", "grid", "context", "deblock"),
)
LAYOUT = {name: Choice(1) if name in PARTS else KINDS[name] for name in _FLAGS}
"""Fields and parts in the order of their bits; FORMAT.md numbers them."""


@dataclass(frozen=True)
class Head:
    """What the head says, its caption and vector still coded.

    ``frames`` and ``pad_frames`` are those of each segment; ``lengths`` the bytes of each further part of the file but
    the last: times, then the segments where the kernel is not ode, then sound.
    """

    header: Header
    frames: tuple[int, ...]
    pad_frames: tuple[int, ...]
    times: bool = False
    sound: bool = False
    lengths: tuple[int, ...] = ()
    caption: bytes = b""
    vector: bytes = b""

    @property
    def part_names(self) -> list[str]:
        """Names of the parts behind the head, in the order of the file: times, segments, sound."""
        segments = [f"segment {n}" for n in range(len(self.frames))] if self.header.kernel != "ode" else []
        return ["times"] * self.times + segments + ["sound"] * self.sound

    def field_bytes(self) -> bytes:
        """Fields and flags."""
        parts = {"caption": bool(self.caption), "segments": len(self.frames) > 1, "pads": any(self.pad_frames)}
        parts |= {"times": self.times, "sound": self.sound}
        required = b"".join(KINDS[name].write(getattr(self.header, name)) for name in REQUIRED)
        return required + write_flags(LAYOUT, {**vars(self.header), **parts}, _default)

    def table_bytes(self) -> bytes:
        """Frames of all segments but the last, their padding, and the lengths of all parts but the last."""
        several = len(self.frames) > 1
        numbers = [len(self.frames), *self.frames[:-1]] if several else []
        numbers += self.pad_frames if any(self.pad_frames) else ()
        return b"".join(map(write_varint, (*numbers, *self.lengths)))

    def to_bytes(self) -> bytes:
        """The content of the head."""
        caption = write_varint(len(self.caption)) if self.caption and self.header.k else b""
        return self.field_bytes() + self.table_bytes() + caption + self.caption + self.vector


def read_head(data: bytes, limits: Limits) -> Head:
    """The head behind its content.

    Raises:
        BitstreamError: If ``data`` is not what ``Head.to_bytes`` writes, or asks for more than ``limits`` allow.
    """
    reader = Reader(data, "the head")
    values = {name: KINDS[name].read(reader) for name in REQUIRED} | read_flags(reader, LAYOUT, _default)
    present = {name: values.pop(name) for name in PARTS}
    header = Header(**values)
    frames, pad_frames = _read_table(reader, header, present, limits)
    if len(frames) == 1 and pad_frames[0]:
        header = replace(header, pad_frames=pad_frames[0])
    limits.check_header(header, max(map(sum, zip(frames, pad_frames, strict=True))))
    if present["times"]:
        limits.check("times", header.frames)
        if header.frames == 1:
            raise BitstreamError("the head announces times of a single frame; the file is damaged")
    head = Head(header, frames, pad_frames, present["times"], present["sound"])
    lengths = tuple(reader.varint() for _ in head.part_names[:-1])
    caption = b""
    if present["caption"]:
        caption = reader.take(reader.varint()) if header.k else reader.rest()
        if not caption:
            raise BitstreamError("the head announces a caption and has none; the file is damaged")
    head = replace(head, lengths=lengths, caption=caption, vector=reader.rest())
    if head.to_bytes() != data:
        raise BitstreamError("the head is not in its canonical form; the file was not written by this format")
    return head


def _read_table(
    reader: Reader, header: Header, present: dict[str, bool], limits: Limits
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Frames and padding of each segment."""
    count = reader.varint() if present["segments"] else 1
    if present["segments"] and count < 2:
        raise BitstreamError(f"the head announces {count} segments, wanted 2 or more; the file is damaged")
    limits.check("segments", count)
    frames = [reader.varint() for _ in range(count - 1)]
    frames.append(header.frames - sum(frames))
    if min(frames) < 1:
        raise BitstreamError(f"the head announces a segment of {min(frames)} frames; the file is damaged")
    pad_frames = [reader.varint() if present["pads"] else 0 for _ in range(count)]
    return tuple(frames), tuple(pad_frames)


def _default(name: str, values: Mapping[str, Any]) -> Any:
    return 1.0 if name == "eta" and values["kernel"] == "ancestral" else DEFAULTS[name]
