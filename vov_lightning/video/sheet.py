"""Contact sheets: pictures in rows and columns, with words beside and above them."""

import os
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_path

GAP = 4
"""Pixels between pictures."""
FONT_SIZE = 13


def contact_sheet(
    cells: Sequence[Sequence[Tensor]], rows: Sequence[str], columns: Sequence[str], scale: int = 1
) -> Image.Image:
    """Sheet of ``cells``, a row of pictures for each of ``rows``, under the words of ``columns``.

    Args:
        cells: Pictures ``[3, H, W]`` uint8, all of one size: ``len(rows)`` times ``len(columns)`` of them.
        rows: Words to the left of each row.
        columns: Words above each column; too long ones take several lines.
        scale: Enlargement.

    Raises:
        SignalError: If rows, columns and cells do not fit together.

    Example:
        >>> import torch
        >>> contact_sheet([[torch.zeros(3, 8, 10, dtype=torch.uint8)]], [""], [""], scale=2).size
        (32, 41)
    """
    sizes = {cell.shape for row in cells for cell in row}
    if len(cells) != len(rows) or {len(row) for row in cells} != {len(columns)} or len(sizes) != 1:
        raise SignalError(
            f"{[len(row) for row in cells]} pictures of sizes {sorted(map(tuple, sizes))} do not make a sheet of "
            f"{len(rows)} rows and {len(columns)} columns; give one for each, all of one size"
        )
    _, height, width = next(iter(sizes))
    height, width = scale * height, scale * width
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + GAP
    heads = [_wrapped(words, width, font) for words in columns]
    left = max(round(font.getlength(words)) for words in rows) + 2 * GAP
    top = line * max(map(len, heads)) + GAP
    across, down = width + GAP, height + GAP
    sheet = Image.new("RGB", (left + across * len(columns), top + down * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(heads):
        for number, words in enumerate(lines):
            draw.text((left + across * column, GAP // 2 + line * number), words, "black", font)
    for number, (words, row) in enumerate(zip(rows, cells, strict=True)):
        y = top + down * number
        draw.text((GAP, y + height // 2 - FONT_SIZE // 2), words, "black", font)
        for column, cell in enumerate(row):
            picture = Image.fromarray(cell.permute(1, 2, 0).contiguous().cpu().numpy())
            sheet.paste(picture.resize((width, height), Image.Resampling.BICUBIC), (left + across * column, y))
    return sheet


def write_sheet(sheet: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write ``sheet`` as a PNG, whole or not at all.

    Raises:
        SignalError: If ``path`` does not end in ``.png`` or cannot be written.
    """
    if not str(path).lower().endswith(".png"):
        raise SignalError(f"{path} cannot hold a contact sheet; write a .png")
    with atomic_path(path, error=SignalError) as temporary:
        sheet.save(temporary)


def _wrapped(words: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """``words`` in lines of at most ``width`` pixels, where single words allow it."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
