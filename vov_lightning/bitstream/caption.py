"""The caption as bytes: UTF-8, deflated where that is shorter.

Captions are short, so deflate starts from a dictionary of words that captions use; it is part of the format
(FORMAT.md prints it). A first byte tells the two forms apart.
"""

import zlib

from vov_lightning.errors import BitstreamError

PLAIN, DEFLATED = 0, 1

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
"""The preset dictionary of version 1; what is likeliest stands last, where a reference to it is shortest."""


def encode_caption(caption: str) -> bytes:
    """The caption section's content; empty (no section) for an empty caption.

    Example:
        >>> len(encode_caption("bright, moderate, green, detailed, slow"))  # of 39 bytes
        10
    """
    if not caption:
        return b""
    try:
        plain = caption.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BitstreamError(f"caption is not Unicode text: {error.reason} at character {error.start}") from None
    compressor = zlib.compressobj(level=9, wbits=-15, zdict=DICTIONARY)
    deflated = compressor.compress(plain) + compressor.flush()
    return bytes([DEFLATED]) + deflated if len(deflated) < len(plain) else bytes([PLAIN]) + plain


def decode_caption(data: bytes, max_bytes: int) -> str:
    """The caption behind a section's content; at most ``max_bytes`` of UTF-8, whatever ``data`` claims."""
    form, body = data[:1], data[1:]
    if form == bytes([DEFLATED]):
        body = _inflate(body, max_bytes)
    elif form != bytes([PLAIN]):
        raise BitstreamError(f"caption starts with {form.hex() or 'nothing'}, wanted 00 (plain) or 01 (deflated)")
    if len(body) > max_bytes:
        raise BitstreamError(
            f"caption_bytes={len(body)} is above the limit of {max_bytes}; for a file you trust: "
            f"--limits.caption_bytes {len(body)}"
        )
    if not body:
        raise BitstreamError("caption section is empty; a file without a caption has no such section")
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
        raise BitstreamError("caption's deflate stream does not end where its section ends; the file is damaged")
    return plain
