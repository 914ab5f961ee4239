"""The caption as text: from a file, from a model's reply, and what the file can hold of it.

A caption longer than what a reader of ``.vov`` files takes is refused before
the fit: `Limits.caption_bytes` would refuse the finished file.
"""

from pathlib import Path

from vov_lightning.bitstream import Limits
from vov_lightning.errors import CaptionError, SettingError, VovError

LONGEST_BYTES = Limits().caption_bytes
"""Longest caption, in bytes of UTF-8."""


def read_caption(path: str | Path) -> str:
    """Caption in the text file ``path`` (UTF-8), without surrounding white space.

    Raises:
        SettingError: If the file cannot be read, is not UTF-8, or holds no caption or one that is too long.
    """
    name = f"caption_file={path}"
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"{name} cannot be read ({error.strerror}); name a text file in UTF-8") from error
    try:
        caption = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SettingError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if not caption:
        raise SettingError(f'{name} is empty; write the caption into it, or say --data.caption "" for none')
    check_caption(caption, name)
    return caption


def tidy_reply(reply: str, source: str) -> str:
    """A model's ``reply`` as one line; ``source`` names it in errors.

    Raises:
        CaptionError: If nothing is left, or too much.

    Example:
        >>> tidy_reply("  A cat sleeps\\n on a sofa. ", "the model")
        'A cat sleeps on a sofa.'
    """
    caption = " ".join(reply.split())
    if not caption:
        raise CaptionError(f"{source} gave an empty caption; ask again, try another prompt, or write --data.caption")
    check_caption(caption, source, CaptionError, "ask for fewer words in prompt, or write --data.caption")
    return caption


def check_caption(caption: str, source: str, error: type[VovError] = SettingError, remedy: str = "shorten it") -> None:
    """Refuse, with ``error``, a caption that a file could not hold or that its reader would refuse."""
    try:
        size = len(caption.encode("utf-8"))
    except UnicodeEncodeError as cause:
        raise error(f"{source} gives a caption that is no Unicode text ({cause.reason} at {cause.start})") from None
    if size > LONGEST_BYTES:
        raise error(f"{source} gives a caption of {size} bytes in UTF-8, above the limit of {LONGEST_BYTES}; {remedy}")
