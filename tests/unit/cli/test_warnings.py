"""Warnings as a command shows them."""

import subprocess
import sys

PROGRAM = """
import sys, warnings
from vov_lightning import cli
import lightning  # which formats warnings its own way
from vov_lightning.errors import SignalWarning

sys.argv = ["/somewhere/vov-fit"]
warnings.warn("a.mp4 is interlaced", SignalWarning)
warnings.warn("odd", UserWarning)
"""


def test_our_own_are_one_line_under_the_commands_name_and_others_keep_their_place():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    own, other = done.stderr.splitlines()[:2]
    assert own == "vov-fit: warning: a.mp4 is interlaced"
    assert ":9:" in other
    assert "odd" in other
