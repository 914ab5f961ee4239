"""Contact sheets: pictures lie where rows and columns say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.video import contact_sheet, write_sheet


def plain(red: int, green: int = 0, height: int = 10, width: int = 12) -> Tensor:
    return torch.tensor([red, green, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, height, width)


def test_pictures_lie_in_their_rows_and_columns() -> None:
    cells = [[plain(40 * row, 40 * column) for column in range(1, 4)] for row in range(1, 3)]
    sheet = np.asarray(contact_sheet(cells, ["first", "second"], ["a", "b", "c"], scale=3))
    coloured = sheet[:, :, 2] == 0
    found = []
    for row in range(1, 3):
        for column in range(1, 4):
            mask = coloured & (sheet[:, :, 0] == 40 * row) & (sheet[:, :, 1] == 40 * column)
            assert mask.sum() == 30 * 36
            found.append(tuple(int(places.mean()) for places in np.nonzero(mask)))
    rows, columns = [y for y, _ in found], [x for _, x in found]
    assert rows == sorted(rows)
    assert columns[:3] == columns[3:] == sorted(columns[:3])
    assert columns[1] - columns[0] == 36 + 4


def test_long_titles_take_lines_of_their_own() -> None:
    short, long = (contact_sheet([[plain(1)]], ["x"], [words], scale=4) for words in ("a", "many words above one"))
    assert long.width == short.width
    assert long.height > short.height + 20


@pytest.mark.parametrize("cells", [[[plain(1)], [plain(1)]], [[plain(1), plain(2)]], [[plain(1, height=11)], []]])
def test_what_makes_no_sheet_is_refused(cells: list[list[Tensor]]) -> None:
    with pytest.raises(SignalError, match="do not make a sheet of 1 rows and 1 columns"):
        contact_sheet(cells, ["row"], ["column"])


def test_sheets_are_png(tmp_path) -> None:
    sheet = contact_sheet([[plain(1)]], ["row"], ["column"])
    write_sheet(sheet, tmp_path / "a" / "sheet.png")
    assert (tmp_path / "a" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SignalError, match=r"sheet.mp4 cannot hold a contact sheet; write a .png"):
        write_sheet(sheet, tmp_path / "sheet.mp4")
