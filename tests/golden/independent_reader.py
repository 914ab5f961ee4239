"""A second reader of version 2, written from FORMAT.md alone: plain Python, no NumPy, no coder, nothing of the package.

``read(data)`` gives what a sound file says as plain types. It trusts its input: refusals are the package's work.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "vov_lightning" / "bitstream" / "FORMAT.md").read_text()
DICTIONARY = "".join(re.findall(r'^    "(.*)"$', PAGE.partition("**Dictionary.**")[2], re.MULTILINE)).encode()
WORDS = [
    words.split(", ")
    for words in re.findall(r"^\| (?:brightness|contrast|hue|texture|motion|direction|zoom) \| (.*) \|$", PAGE, re.M)
]
NAMES = [
    *("nano", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "qwen-image", "ltx-video", "wan2.2-ti2v-5b", "hunyuan-video-1.5"),
    *("z-image", "z-image-turbo", "flux2-klein-base-4b", "flux2-klein-4b"),
]
CHOICES: dict[str, Sequence[Any]] = {
    "kernel": ["ode", "ancestral", "euler_maruyama"],
    "compute_dtype": ["float32", "bfloat16", "float16", "weights"],
    "vae_tiling": [False, True],
    "deblock": [False, True],
    "codebook": ["hadamard", "iid"],
    "hash_scheme": ["v1", "unilora_numpy", "lora", "dictionary"],
    "scheduler": ["flow_euler", "unipc"],
    "grid": ["shifted", "linear"],
}
FLAGS = (  # name, bits, how the field is read, default
    *(("caption", 1, None, 0), ("kernel", 2, None, 0), ("steps", 1, "varint", 25), ("k", 1, "varint", 0)),
    *(("segments", 1, None, 0), ("window", 1, "window", ()), ("sound", 1, None, 0), ("step", 1, "real", 1.0)),
    *(("pads", 1, None, 0), ("pad_height", 1, "varint", 0), ("pad_width", 1, "varint", 0), ("times", 1, None, 0)),
    *(("seed", 1, "varint", 0), ("compute_dtype", 2, None, 0), ("guidance", 1, "real", 1.0)),
    *(("shift", 1, "real", 3.0), ("rank", 1, "varint", 1), ("targets", 1, "varint", 1), ("vae_tiling", 1, None, 0)),
    *(("eta", 1, "real", None), ("index_bits", 1, "varint", 8), ("codebook", 2, None, 0)),
    *(("hash_scheme", 2, None, 0), ("sample_aspect_ratio", 1, "ratio", Fraction(1)), ("hash_seed", 1, "varint", 0)),
    *(("scheduler", 2, None, 0), ("grid", 1, None, 0), ("context", 1, "varint", 0)),
    ("deblock", 1, None, 0),
)


class Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes):
        self.data = data

    def take(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        assert len(taken) == size
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        byte = self.byte()
        return byte if byte < 128 else byte - 128 + 128 * self.varint()

    def ratio(self) -> Fraction:
        return Fraction(self.varint(), self.varint())

    def real(self) -> float:
        bits = int(f"{self.varint():032b}"[::-1], 2)
        return struct.unpack(">f", bits.to_bytes(4, "big"))[0]

    def window(self) -> tuple[int, ...]:
        return tuple(self.varint() for _ in range(5))

    def text(self) -> str:
        return self.take(self.byte()).decode("ascii")

    def name(self) -> str:
        return NAMES[self.byte() - 128] if self.data[0] >= 128 else self.text()

    def revision(self) -> str:
        return self.take(21)[1:].hex() if self.data[0] == 65 else self.text()

    def rate(self) -> Fraction:
        code = self.byte()
        if code == 0:
            return self.ratio()
        return Fraction(code) if code <= 120 else Fraction((24, 30, 60, 120)[code - 121] * 1000, 1001)


def read(data: bytes) -> dict[str, Any]:
    """Header fields, caption, symbols, segments, times (time base and ticks) and sound of a file."""
    whole = Bytes(data)
    assert whole.take(4) == b"VOV\x02"
    head = Bytes(whole.take(whole.varint()))
    before = data[: len(data) - len(whole.data)]
    assert whole.take(4) == zlib.crc32(before).to_bytes(4, "little")

    fields: dict[str, Any] = {"base_name": head.name(), "base_revision": head.revision()}
    fields |= {"base_fingerprint": head.take(4), "frames": head.varint(), "height": head.varint()}
    fields |= {"width": head.varint(), "fps": head.rate()}
    flags, part = head.varint(), {}
    for name, bits, kind, default in FLAGS:
        flag, flags = flags % 2**bits, flags >> bits
        if kind is not None:
            fields[name] = getattr(head, kind)() if flag else default
        elif name in CHOICES:
            fields[name] = CHOICES[name][flag]
        else:
            part[name] = flag
    assert flags == 0
    if fields["eta"] is None:
        fields["eta"] = 1.0 if fields["kernel"] == "ancestral" else 0.0

    count = head.varint() if part["segments"] else 1
    frames = [head.varint() for _ in range(count - 1)]
    frames.append(fields["frames"] - sum(frames))
    pads = [head.varint() if part["pads"] else 0 for _ in frames]
    steered = fields["kernel"] != "ode"
    parts = ["times"] * part["times"] + [f"{n}" for n in range(count if steered else 0)] + ["sound"] * part["sound"]
    lengths = [head.varint() for _ in parts[:-1]]
    caption = ""
    if part["caption"]:
        caption = read_caption(head.take(head.varint()) if fields["k"] else head.data)
    symbols = read_vector(head, fields["k"]) if fields["k"] else []

    contents = {}
    for number, name in enumerate(parts):
        content = whole.take(lengths[number] if number < len(lengths) else len(whole.data) - 4)
        checksum = zlib.crc32(
            before + bytes([number % 128 + 128, number // 128] if number > 127 else [number]) + content
        )
        assert whole.take(4) == checksum.to_bytes(4, "little")
        contents[name] = content
    assert not whole.data
    block_steps = fields["steps"] if fields["context"] else 0
    indices = [
        read_indices(contents[f"{n}"], fields["index_bits"], block_steps) if steered else [] for n in range(count)
    ]
    return {
        "fields": fields,
        "caption": caption,
        "symbols": symbols,
        "segments": list(zip(frames, pads, indices, strict=True)),
        "times": read_times(contents["times"]) if part["times"] else None,
        "sound": contents.get("sound", b""),
    }


def read_caption(content: bytes) -> str:
    form, body = content[0], content[1:]
    if form == 2:
        number, said = body[0] + 256 * body[1], []
        for words in WORDS:
            number, digit = divmod(number, len(words) + 1)
            said += [words[digit - 1]] if digit else []
        return ", ".join(said)
    return (zlib.decompressobj(wbits=-15, zdict=DICTIONARY).decompress(body) if form else body).decode()


def read_vector(head: Bytes, k: int) -> list[int]:
    low, span = unfold(head.varint()), head.varint()
    if span == 0:
        return [low] * k
    p = 4 if k <= 2**18 else 3
    symbol, alphabet, counts = low, [], []
    while symbol <= low + span:
        code = head.byte()
        if code == 0:
            symbol += head.varint() + 1
            continue
        alphabet.append(symbol)
        counts.append(code if code < 2 ** (p + 1) else (2**p + code % 2**p) * 2 ** (code // 2**p - 1))
        symbol += 1
    weights = [1 + count * (2**24 - len(counts)) // sum(counts) for count in counts]
    weights[weights.index(max(weights))] += 2**24 - sum(weights)

    payload = head.data + bytes(-len(head.data) % 4)
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    x, symbols = 0, []
    for _ in range(2):
        x = x * 2**32 + words.pop() if words else x
    for _ in range(k):
        q, i = x % 2**24, 0
        while q >= weights[i]:
            q, i = q - weights[i], i + 1
        symbols.append(alphabet[i])
        x = x // 2**24 * weights[i] + q
        if x < 2**32 and words:
            x = x * 2**32 + words.pop()
    assert x == 0
    assert not words
    return symbols


def read_indices(content: bytes, index_bits: int, block_steps: int) -> list[list[int]]:
    """Indices of each step; of step j of block b as those of step ``b * block_steps + j``."""
    reader = Bytes(content)
    steps = reader.varint()
    if steps == 0:
        return []
    blocks = reader.varint() if block_steps else 1
    bits, at = "".join(f"{byte:08b}" for byte in reader.data), 0
    counts: dict[tuple[int, int], int] = {}
    for b in range(blocks):
        for j in range(steps):
            zeros = bits.index("1", at) - at
            difference = unfold(int(bits[at + zeros : at + 2 * zeros + 1], 2) - 1)
            at += 2 * zeros + 1
            left, up, corner = (counts.get(place, 0) for place in ((b, j - 1), (b - 1, j), (b - 1, j - 1)))
            likely = sorted([left, up, left + up - corner])[1] if b else left
            counts[b, j] = likely + difference
    indices: list[list[int]] = [[] for _ in range((blocks - 1) * block_steps + steps)]
    for (b, j), count in counts.items():
        for _ in range(count):
            indices[b * block_steps + j].append(int(bits[at : at + index_bits], 2))
            at += index_bits
    assert "1" not in bits[at:]
    while not indices[-1]:
        indices.pop()
    return indices


def read_times(content: bytes) -> tuple[Fraction, list[int]]:
    reader = Bytes(content)
    base = reader.ratio()
    changes, step, ticks = Bytes(zlib.decompress(reader.data, wbits=-15)), 0, [0]
    while changes.data:
        step += unfold(changes.varint())
        ticks.append(ticks[-1] + step)
    return base, ticks


def unfold(z: int) -> int:
    """Zigzag: 0, -1, 1, -2, 2 for 0, 1, 2, 3, 4."""
    return z // 2 if z % 2 == 0 else -(z + 1) // 2
