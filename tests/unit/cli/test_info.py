"""``vov-info``: a clip of segments in words, and a damaged one with what is left of it."""

from fractions import Fraction

import numpy as np

from vov_lightning.bitstream import Header, Segment, VovFile
from vov_lightning.cli import info

HEADER = Header(
    "nano", "2", bytes(4), frames=20, height=64, width=64, fps=Fraction(25), steps=9, kernel="ancestral", eta=1.0
)
CLIP = VovFile(
    HEADER,
    "red, still",
    segments=(Segment(9, 0, (np.array([7]),)), Segment(11, 0, (np.array([8, 9]),))),
    sound=bytes(50),
)


def test_a_clip_is_shown_with_its_segments_and_sound(tmp_path, capsys):
    path = tmp_path / "clip.vov"
    CLIP.save(path)
    assert info.main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "2, of 9, 11 frames" in shown
    assert "bpp without sound" in shown


def test_what_a_damaged_file_still_holds_is_shown_and_the_damage_is_an_error(tmp_path, capsys):
    path = tmp_path / "clip.vov"
    path.write_bytes(CLIP.to_bytes()[:-55])
    assert info.main([str(path)]) == 1
    output = capsys.readouterr()
    assert "red, still" in output.out
    assert "segment 1: " in output.err
    assert "sound: " in output.err
    assert len(output.err.splitlines()) == 1
