"""Files to :class:`Signal` and back.

A :class:`Signal` is what the codec stores: uint8 RGB frames, an exact frame rate and a name. ``read_signal`` makes one
from a video, an image or a folder of frames, which ``open_clip`` reads frame by frame; ``fit_signal`` brings it to a
size that a base model takes, as the user asked and never silently; ``write_signal`` writes one out. Nothing here knows
models or Lightning, so a decoder can ship alone.
"""

from vov_lightning.video.clip import ClipReader, TimedFrame
from vov_lightning.video.geometry import Fitted, Padding, add_padding, fit_signal, remove_padding
from vov_lightning.video.read import read_signal
from vov_lightning.video.sheet import contact_sheet, write_sheet
from vov_lightning.video.signal import Signal
from vov_lightning.video.stream import open_clip
from vov_lightning.video.write import ClipWriter, check_output, side_by_side, viewing_ending, write_signal

__all__ = [
    "ClipReader",
    "ClipWriter",
    "Fitted",
    "Padding",
    "Signal",
    "TimedFrame",
    "add_padding",
    "check_output",
    "contact_sheet",
    "fit_signal",
    "open_clip",
    "read_signal",
    "remove_padding",
    "side_by_side",
    "viewing_ending",
    "write_sheet",
    "write_signal",
]
