"""The caption as bytes: a number where nano's vocabulary says it, else UTF-8, deflated where that is shorter.

Captions are short, so deflate starts from a dictionary of words that captions use; it is part of the format
(FORMAT.md prints it). A first byte tells the three forms apart.
"""

import zlib

from vov_lightning.bitstream.vocabulary import caption_of, number_of
from vov_lightning.errors import BitstreamError

PLAIN, DEFLATED, NUMBERED = 0, 1, 2

DICTIONARY = (
    b"professional photograph, illustration, landscape, mountains, background, foreground, beautiful, cinematic, "
    b"realistic, high quality, high resolution, lighting, sunlight, sunset, night, shadow, reflection, building, "
    b"street, traffic, vehicle, people, children, person, standing, sitting, walking, running, riding, playing, "
    b"dancing, looking, holding, wearing, flying, swimming, jumping, turning, driving, racing, surrounded by, "
    b"covered with, in front of, next to, on top of, through the, across the, against the, under the, behind the, "
    b"between, around, towards, slowly, quickly, black, white, brown, pink, large, small, young, two, three, several, "
    b"flowers, grass, trees, forest, water, river, ocean, beach, waves, clouds, sky, snow, rain, fire, smoke, road, "
    b"city, house, room, table, window, door, field, garden, park, horse, bird, cat, dog, car, boat, train, man, "
    b"woman, girl, boy, face, hair, hand, hands, ball, shirt, camera moves, camera pans, zooms, close-up of a, "
    b"wide shot of a, aerial view of a, slow motion, static shot, a photo of the, a picture of an, a video of a, "
    b"the scene is, there is, it is, with the, and the, of the, in the, on the, at the, to the, and a, with a, from "
    b"dim, contrasty, moderate, flat, purple, cyan, orange, yellow, red, blue, green, gray, textured, detailed, "
    b"smooth, zooming out, zooming in, moving down, moving up, moving right, moving left, fast, slow, still, "
    b"bright, moderate, gray, detailed, slow, moving right, dark, flat, gray, smooth, still"
)
"""The preset dictionary; what is likeliest stands last, where a reference to it is shortest."""


def encode_caption(caption: str) -> bytes:
    """The caption's content in a file; nothing for an empty caption.

    Example:
        >>> len(encode_caption("bright, moderate, green, detailed, slow"))  # of 39 bytes
        3
        >>> len(encode_caption("a photo of the beach at sunset"))  # of 30 bytes
        13
    """
    if not caption:
        return b""
    number = number_of(caption)
    if number is not None:
        return bytes([NUMBERED]) + number.to_bytes(2, "little")
    try:
        plain = caption.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BitstreamError(f"caption is not Unicode text: {error.reason} at character {error.start}") from None
    compressor = zlib.compressobj(level=9, wbits=-15, zdict=DICTIONARY)
    deflated = compressor.compress(plain) + compressor.flush()
    return bytes([DEFLATED]) + deflated if len(deflated) < len(plain) else bytes([PLAIN]) + plain


def decode_caption(data: bytes, max_bytes: int) -> str:
    """The caption behind its content in a file; at most ``max_bytes`` of UTF-8, whatever ``data`` claims."""
    form, body = data[:1], data[1:]
    if form == bytes([NUMBERED]):
        caption = caption_of(int.from_bytes(body, "little")) if len(body) == 2 else None
        if not caption:
            raise BitstreamError(f"caption number {body.hex()} says no words of the vocabulary; the file is damaged")
        body = caption.encode()
    elif form == bytes([DEFLATED]):
        body = _inflate(body, max_bytes)
    elif form != bytes([PLAIN]):
        raise BitstreamError(
            f"caption starts with {form.hex() or 'nothing'}, wanted 00 (plain), 01 (deflated) or 02 (a number)"
        )
    if len(body) > max_bytes:
        raise BitstreamError(
            f"caption_bytes={len(body)} is above the limit of {max_bytes}; for a file you trust: "
            f"--limits.caption_bytes {len(body)}"
        )
    if not body:
        raise BitstreamError("caption is empty; a file without a caption has no such part")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BitstreamError(f"caption is not UTF-8 ({error.reason} at byte {error.start})") from None


def _inflate(body: bytes, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=-15, zdict=DICTIONARY)
    try:
        plain = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BitstreamError(f"caption does not inflate ({error}); the file is damaged") from None
    if len(plain) > max_bytes:
        raise BitstreamError(
            f"caption inflates to more than the limit of {max_bytes} bytes; for a file you trust: "
            f"--limits.caption_bytes {2 * max_bytes}"
        )
    if not decompressor.eof or decompressor.unused_data:
        raise BitstreamError("caption's deflate stream does not end where the caption ends; the file is damaged")
    return plain
