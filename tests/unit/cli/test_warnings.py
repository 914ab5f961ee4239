"""Warnings as a command shows them."""

import sys
import warnings

from vov_lightning import cli
from vov_lightning.errors import SignalWarning


def test_our_own_warnings_are_one_line_under_the_commands_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/vov-fit"])
    told = SignalWarning("a.mp4 is interlaced"), SignalWarning, "a.py", 7
    assert warnings.formatwarning(*told) == cli.one_line(*told) == "vov-fit: warning: a.mp4 is interlaced\n"


def test_warnings_of_others_keep_their_place():
    assert "a.py:7: UserWarning: odd" in warnings.formatwarning(UserWarning("odd"), UserWarning, "a.py", 7)
