"""Captions from files."""

import pytest

from vov_lightning.captioners.text import LONGEST_BYTES, check_caption, read_caption
from vov_lightning.errors import SettingError


def test_white_space_around_is_cut_and_within_kept(tmp_path):
    path = tmp_path / "caption.txt"
    path.write_bytes("\ufeff\n Über den Dächern,\nabends \n".encode())
    assert read_caption(path) == "Über den Dächern,\nabends"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; .*--data.caption"),
        (b" \n\t", "is empty"),
        (b"\xff\xfeh\x00i\x00", "is not UTF-8 .* at byte 0"),
        (b"a" * (LONGEST_BYTES + 1), "4097 bytes in UTF-8, above the limit of 4096; shorten it"),
        (None, "cannot be read"),
    ],
)
def test_refused(content, message, tmp_path):
    path = tmp_path / "caption.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError, match=f"caption_file={path} .*{message}"):
        read_caption(path)


def test_what_utf8_cannot_hold():
    with pytest.raises(SettingError, match="caption gives a caption that is no Unicode text"):
        check_caption("\udcff", "caption")
