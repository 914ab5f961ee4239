"""Flags: one varint that says which fields of a header differ from their default, and then those fields.

Lowest bits first, in the order of a layout (name to wire type): a ``Choice`` lives in its flag bits whole, any other
field owns one bit that says "written, because not the default". So a file at the defaults pays a byte or two for
twenty fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from vov_lightning.bitstream.header import Header
from vov_lightning.bitstream.wire import Choice, Reader, write_varint
from vov_lightning.errors import BitstreamError

KINDS = {item.name: item.metadata["kind"] for item in fields(Header)}
DEFAULTS = {item.name: item.default for item in fields(Header)}

Default = Callable[[str, Mapping[str, Any]], Any]
"""The value of a field that is not written, from its name and the values of the fields before it."""


def write_flags(layout: Mapping[str, Any], values: Mapping[str, Any], default: Default) -> bytes:
    """The flags, and the fields that they announce."""
    flags, shift, body = 0, 0, b""
    for name, kind in layout.items():
        value = values[name]
        if isinstance(kind, Choice):
            flags |= kind.values.index(value) << shift
            shift += kind.flag_bits
            continue
        if value != default(name, values):
            flags |= 1 << shift
            body += kind.write(value)
        shift += 1
    return write_varint(flags) + body


def read_flags(reader: Reader, layout: Mapping[str, Any], default: Default) -> dict[str, Any]:
    """The value of each name of ``layout``, as ``write_flags`` wrote them; only their coding is checked."""
    values: dict[str, Any] = {}
    flags = reader.varint()
    for name, kind in layout.items():
        bits = kind.flag_bits if isinstance(kind, Choice) else 1
        flag, flags = flags & ((1 << bits) - 1), flags >> bits
        if not isinstance(kind, Choice):
            values[name] = kind.read(reader) if flag else default(name, values)
            continue
        if flag >= len(kind.values):
            raise BitstreamError(f"header field {name}: choice {flag} is unknown to this vov_lightning; upgrade it")
        values[name] = kind.values[flag]
    if flags:
        raise BitstreamError(f"{reader.what} sets flags that this version of vov_lightning does not know; upgrade it")
    return values
