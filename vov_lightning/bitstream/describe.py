"""What a ``.vov`` file says, in words: the content of ``vov-info``."""

from dataclasses import fields
from fractions import Fraction
from typing import Any

from vov_lightning.bitstream.container import VovFile
from vov_lightning.bitstream.counts import count_symbols, entropy_bits
from vov_lightning.bitstream.header import Header


def describe(file: VovFile) -> dict[str, Any]:
    """Every header field, every segment, and where the bytes go, as plain JSON types.

    ``bpp`` is 8 x file size / (frames x height x width): every byte counts; ``bpp_without_sound`` leaves out those of
    the sound, where there is any. ``bits_per_entry`` divides a part's bits by k (absent without a vector), and
    ``entropy_bits`` is what an ideal coder would need for the vector's symbols.
    """
    header, sizes = file.header, file.section_bytes()
    total_bytes = sum(sizes.values())
    words: dict[str, Any] = {
        "format_version": file.version,
        "header": {item.name: _plain(getattr(header, item.name)) for item in fields(header)},
        "caption": file.caption,
        "seconds": float(file.duration),
        "segments": [_segment(number, file) for number in range(len(file.segments))],
        "damage": list(file.damage),
        "bytes": {**sizes, "total": total_bytes},
        "bpp": 8 * total_bytes / header.num_pixels,
        "rate_kbps": 8 * total_bytes / 1000 / float(file.duration),
    }
    if file.times is not None:
        words["time_base"] = str(file.times.time_base)
    if sizes["sound"]:
        words["bpp_without_sound"] = 8 * (total_bytes - sizes["sound"]) / header.num_pixels
    if header.k:
        low, high = int(file.symbols.min()), int(file.symbols.max())
        words["bits_per_entry"] = {name: 8 * size / header.k for name, size in words["bytes"].items()}
        words["symbols"] = {"min": low, "max": high, "nonzero": int((file.symbols != 0).sum())}
        words["entropy_bits"] = entropy_bits(count_symbols(file.symbols, low, high))
    return words


def format_description(description: dict[str, Any]) -> str:
    """The table that ``vov-info`` prints, from what ``describe`` returns.

    Text from the file is printed quoted and escaped, so that a caption cannot steer a terminal.
    """
    labels = {item.name: item.metadata["words"] for item in fields(Header)}
    rows = [("format version", str(description["format_version"]))]
    rows += [(labels[name], _in_words(name, value)) for name, value in description["header"].items()]
    rows.append(("caption", repr(description["caption"]) if description["caption"] else "(none)"))
    rows.append(("seconds", f"{description['seconds']:.3f}"))
    if "time_base" in description:
        rows.append(("times of the frames", f"each its own, in units of {description['time_base']} seconds"))
    segments = description["segments"]
    if len(segments) > 1:
        rows.append(("segments", f"{len(segments)}, of {_run(segments)} frames"))
    rows += [("damage", line) for line in description["damage"]]
    if "symbols" in description:
        symbols = description["symbols"]
        rows.append(("symbols", f"{symbols['min']} to {symbols['max']}, {symbols['nonzero']} of them not zero"))
        rows.append(("entropy of the symbols", f"{description['entropy_bits'] / 8:.1f} bytes"))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:<{width}}  {value}" for label, value in rows]

    per_entry = description.get("bits_per_entry")
    lines += ["", f"{'part':<{width}}  {'bytes':>10}" + (f"  {'bits/entry':>10}" if per_entry else "")]
    for name, size in description["bytes"].items():
        line = f"{name.replace('_', ' '):<{width}}  {size:>10}"
        lines.append(line + (f"  {per_entry[name]:>10.4f}" if per_entry else ""))
    lines += ["", f"{'bits per pixel (bpp)':<{width}}  {description['bpp']:>10.6f}"]
    if "bpp_without_sound" in description:
        lines.append(f"{'bpp without sound':<{width}}  {description['bpp_without_sound']:>10.6f}")
    lines.append(f"{'kilobits per second':<{width}}  {description['rate_kbps']:>10.3f}")
    return "\n".join(lines)


def _segment(number: int, file: VovFile) -> dict[str, Any]:
    """What ``describe`` says of a segment."""
    segment = file.segments[number]
    words: dict[str, Any] = {"frames": segment.frames, "pad_frames": segment.pad_frames}
    words |= {"indices": sum(map(len, segment.indices)), "seed": (file.header.seed + number) % 2**64}
    return words | ({"damage": segment.damage} if segment.damage else {})


def _run(segments: list[dict[str, Any]]) -> str:
    """Frames of the first segments, padding behind a plus.

    Example:
        >>> _run([{"frames": 9, "pad_frames": 0}, {"frames": 7, "pad_frames": 2}])
        '9, 7 (+2)'
    """
    shown = [f"{one['frames']} (+{one['pad_frames']})" if one["pad_frames"] else f"{one['frames']}" for one in segments]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")


def _in_words(name: str, value: Any) -> str:
    """A header field's value in the table."""
    if name != "window":
        return str(value)
    return "(none)" if not value else "{} x {} x {} latents, overlaps {} and {} in time and space".format(*value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Fraction) else value
