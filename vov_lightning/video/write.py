"""Write a :class:`~vov_lightning.video.signal.Signal` as an ``.mp4``, a ``.png`` or a folder of PNG files.

PNG keeps every value. The ``.mp4`` is for looking at: H.264 at a quality where its own loss (4:2:0 colour, about 40 dB)
hides behind this codec's, in the flavour that every player and browser plays. Colours are converted with BT.709 in
limited range and tagged so. Whatever is written appears whole or not at all (``vov_lightning/files.py``).
"""

import os
import re
from fractions import Fraction
from pathlib import Path

import av
import torch
from PIL import Image
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_folder, atomic_path
from vov_lightning.video.signal import Signal

FRAME_NAME = "frame_{:05d}.png"
BT709 = 1  # the number of BT.709 in all three of H.264's colour fields (ITU-T H.273, tables 2 to 4)
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG


def write_signal(signal: Signal, path: str | os.PathLike[str], *, overwrite: bool = True, crf: int = 12) -> None:
    """Write ``signal`` to ``path`` in the format that its ending names.

    Args:
        signal: What to write.
        path: ``.mp4``; ``.png`` for a signal of one frame; or a path without ending, or ending in ``/``, for a folder
            of ``frame_00000.png``, ``frame_00001.png``, ... (which keep no frame rate). Parent folders are created.
        overwrite: Whether an existing file or folder may be replaced. A folder that holds anything but such frames
            is never replaced.
        crf: H.264 quality of an ``.mp4``, 0 (best) to 51.

    Raises:
        SignalError: If the ending is unknown, does not suit the signal (several frames as ``.png``, an odd height or
            width as ``.mp4``), or the path cannot be written.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> image = Signal(torch.zeros(1, 3, 32, 48, dtype=torch.uint8), Fraction(1), "black")
        >>> write_signal(image, Path(tempfile.mkdtemp()) / "black.png")
    """
    ending = _checked_ending(signal, path)
    if ending == "":
        with atomic_folder(path, overwrite=overwrite, replaceable=_is_frame, error=SignalError) as folder:
            for index, frame in enumerate(signal.frames):
                _to_pillow(frame).save(folder / FRAME_NAME.format(index))
        return
    with atomic_path(path, overwrite=overwrite, error=SignalError) as temporary:
        if ending == ".png":
            _to_pillow(signal.frames[0]).save(temporary)
        else:
            _write_mp4(signal, temporary, crf)


def check_output(path: str | os.PathLike[str], num_frames: int, height: int, width: int, fps: Fraction) -> None:
    """Refuse a ``path`` that `write_signal` would refuse for its ending, before the frames have been computed.

    Raises:
        SignalError: If the ending is unknown or does not suit a signal of this size and frame rate.

    Example:
        >>> check_output("clip.png", 1, 48, 64, Fraction(25))
    """
    frames = torch.zeros((), dtype=torch.uint8).expand(num_frames, 3, height, width)
    _checked_ending(Signal(frames, fps, "the clip"), path)


def viewing_ending(signal: Signal) -> str:
    """Ending under which ``signal`` can be written to look at: ``.png``, ``.mp4``, or none (a folder of PNG files)."""
    if signal.is_image:
        return ".png"
    try:
        _check_suits_mp4(signal, signal.name)
    except SignalError:
        return ""
    return ".mp4"


def side_by_side(left: Signal, right: Signal) -> Signal:
    """A signal that shows ``left`` and ``right`` next to each other, to compare an original with its decoding.

    Raises:
        SignalError: If heights, frame counts or frame rates differ.

    Example:
        >>> from fractions import Fraction
        >>> black = Signal(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), Fraction(25), "black")
        >>> side_by_side(black, black).width
        16
    """
    for quantity in ("height", "num_frames", "fps"):
        first, second = getattr(left, quantity), getattr(right, quantity)
        if first != second:
            raise SignalError(
                f"{left.name} has {quantity}={first} and {right.name} {quantity}={second}; side by side they must agree"
            )
    return Signal(torch.cat([left.frames, right.frames], dim=3), left.fps, f"{left.name}_beside_{right.name}")


def _is_frame(entry: Path) -> bool:
    return re.fullmatch(r"frame_\d{5,}\.png", entry.name) is not None


def _to_pillow(frame: Tensor) -> Image.Image:
    # [3, H, W] -> [H, W, 3]
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().cpu().numpy())


def _checked_ending(signal: Signal, path: str | os.PathLike[str]) -> str:
    """``.png``, ``.mp4``, or nothing for a folder."""
    ending = Path(path).suffix.lower()
    if str(path).endswith(("/", os.sep)) or not ending:
        return ""
    if ending == ".png" and not signal.is_image:
        raise SignalError(
            f"{path} can hold one frame and {signal.name} has {signal.num_frames}; "
            f"write {Path(path).with_suffix('')}/ (a folder of PNG files) or {Path(path).with_suffix('.mp4').name}"
        )
    if ending == ".mp4":
        _check_suits_mp4(signal, path)
    elif ending != ".png":
        raise SignalError(
            f"{path} ends in {ending}, which cannot be written; use .mp4, .png (one frame), "
            "or a path without ending (or ending in /) for a folder of PNG files"
        )
    return ending


def _check_suits_mp4(signal: Signal, path: str | os.PathLike[str]) -> None:
    folder = f"write {Path(path).with_suffix('')}/ (a folder of PNG files)"
    if signal.height % 2 or signal.width % 2:
        raise SignalError(
            f"{path}: height={signal.height} and width={signal.width} must be even in an .mp4 (4:2:0 colour); {folder}"
        )
    # MP4 counts in 32 bits, and its edit list in milliseconds: it would hide a frame shorter than one.
    if signal.fps > 1000 or max(signal.fps.numerator, signal.fps.denominator) >= 2**31:
        raise SignalError(f"{path}: fps={signal.fps} does not fit into an .mp4 (at most 1000, 32-bit terms); {folder}")


def _write_mp4(signal: Signal, path: Path, crf: int) -> None:
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=signal.fps, options={"crf": str(crf)})
            stream.height, stream.width, stream.pix_fmt = signal.height, signal.width, "yuv420p"
            codec = stream.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = BT709
            codec.color_range = LIMITED_RANGE
            for index, frame in enumerate(signal.frames):
                # [3, H, W] -> [H, W, 3]
                picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().cpu().numpy(), format="rgb24")
                picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
                picture.pts, picture.time_base = index, 1 / signal.fps
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as cause:  # ValueError: a PyAV built without x264
        if isinstance(cause, OSError):
            raise
        raise SignalError(
            f"{signal.name} cannot be encoded with libx264 ({cause}); write a folder of PNG files instead, "
            "or install PyAV from PyPI if this one lacks libx264"
        ) from cause
