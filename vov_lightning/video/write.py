"""Write a clip as an ``.mp4``, an ``.mkv``, a ``.png`` or a folder of PNG files.

PNG keeps every value. The ``.mp4`` and the ``.mkv`` (``movies.py``) are for looking at: H.264 at a quality where its
own loss (4:2:0 colour, about 40 dB) hides behind this codec's. :class:`ClipWriter` takes frames as they come and keeps
none of them; :func:`write_signal` is for frames that are in memory. Whatever is written appears whole or not at all
(``vov_lightning/files.py``).
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import av
import torch
from PIL import Image
from torch import Tensor

from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_folder, atomic_path, check_file, check_folder
from vov_lightning.video.movies import FORMATS, MovieWriter, check_takes_sound
from vov_lightning.video.signal import Signal

FRAME_NAME = "frame_{:05d}.png"
SOUND_NAME = "sound.mka"
TIMES_NAME = "times.txt"


def write_signal(signal: Signal, path: str | os.PathLike[str], *, overwrite: bool = True, crf: int = 12) -> None:
    """Write ``signal`` to ``path`` in the format that its ending names.

    Args:
        signal: What to write.
        path: As for :class:`ClipWriter`.
        overwrite: Whether an existing file or folder may be replaced.
        crf: H.264 quality of an ``.mp4`` or ``.mkv``, 0 (best) to 51.

    Raises:
        SignalError: If the ending is unknown, does not suit the signal (several frames as ``.png``, an odd height or
            width as ``.mp4``), or the path cannot be written.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> image = Signal(torch.zeros(1, 3, 32, 48, dtype=torch.uint8), Fraction(1), "black")
        >>> write_signal(image, Path(tempfile.mkdtemp()) / "black.png")
    """
    _checked_ending(path, signal.num_frames, signal.height, signal.width, signal.fps, signal.name)
    with ClipWriter(path, signal.height, signal.width, signal.fps, overwrite=overwrite, crf=crf) as writer:
        writer.write(signal.frames)


class ClipWriter:
    """Writes a clip frame by frame; a context manager, at whose end the file appears.

    An existing file stays as it was until then, and altogether if an error ends the block.

    Args:
        path: ``.mp4`` or ``.mkv``; ``.png`` for one frame; or a path without ending, or ending in ``/``, for a folder
            of ``frame_00000.png``, ``frame_00001.png``, ... with the sound beside them as ``sound.mka`` and the times
            of a variable rate as ``times.txt`` (milliseconds, "timestamp format v2" of MKVToolNix). Parent folders
            are created. A folder that holds anything else is never replaced.
        height: Height of the frames in pixels. An ``.mp4`` takes even sides only; an ``.mkv`` of odd sides is 4:4:4.
        width: Width of the frames in pixels.
        fps: Frames per second; with ``times`` the average.
        times: When each frame begins, in seconds and ascending from 0 or later; ``None`` for a constant rate.
        end: When the last frame ends, where ``times`` are given; by default ``1 / fps`` after its time.
        sample_aspect_ratio: Width of a pixel divided by its height.
        sound: Bytes of :func:`~vov_lightning.video.sound.extract_sound`, time 0 being the first frame.
        overwrite: Whether an existing file or folder may be replaced.
        crf: H.264 quality of an ``.mp4`` or ``.mkv``, 0 (best) to 51.

    Raises:
        SignalError: If the ending is unknown, does not suit the size, the rate or the sound, or (on entering and
            later) the path cannot be written.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> path = Path(tempfile.mkdtemp()) / "black.mp4"
        >>> with ClipWriter(path, 32, 48, Fraction(25)) as writer:
        ...     for _ in range(3):
        ...         writer.write(torch.zeros(2, 3, 32, 48, dtype=torch.uint8))
        >>> path.exists()
        True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        fps: Fraction,
        *,
        times: Sequence[Fraction] | None = None,
        end: Fraction | None = None,
        sample_aspect_ratio: Fraction | int = 1,
        sound: bytes = b"",
        overwrite: bool = True,
        crf: int = 12,
    ) -> None:
        num_frames = 1 if times is None else len(times)
        self._ending = _checked_ending(path, num_frames, height, width, fps, "the clip")
        if times is not None:
            _check_times(path, times, end)
        elif end is not None:
            raise SignalError(f"end={end} without times; at a constant rate the last frame lasts 1 / fps")
        check_takes_sound(path, sound)
        self._path, self._height, self._width, self._fps = path, height, width, fps
        self._times, self._end = times, end
        self._aspect, self._sound, self._overwrite, self._crf = Fraction(sample_aspect_ratio), sound, overwrite, crf
        self._num_frames = 0
        self._stack = ExitStack()
        self._temporary = Path()
        self._movie: MovieWriter | None = None
        self._failure: BaseException | None = None

    @property
    def left_out(self) -> str:
        """One line on what the output does not carry and how to get it back; empty if nothing is missing."""
        shape = f"pixel shape ({self._aspect.numerator}:{self._aspect.denominator})"
        if self._ending == ".png":
            lost = ["sound"] * bool(self._sound) + [shape] * (self._aspect != 1)
            return f"{self._path} keeps no {' and no '.join(lost)}" if lost else ""
        if self._ending:
            return ""
        folder = str(self._path).rstrip("/" + os.sep)
        sound = f" -i {folder}/{SOUND_NAME}" if self._sound else ""
        squeeze = "" if self._aspect == 1 else f" -vf setsar={self._aspect}"
        times = f", single times are in {TIMES_NAME}" if self._times is not None else ""
        return (
            f"{folder}/ keeps no frame rate ({self._fps} fps{times}){'' if self._aspect == 1 else f' and {shape}'}; "
            f"to make a video: ffmpeg -framerate {self._fps} -i {folder}/{FRAME_NAME.replace('{:05d}', '%05d')}"
            f"{sound}{squeeze} video.mp4"
        )

    def __enter__(self) -> "ClipWriter":
        with ExitStack() as stack:
            if self._ending:
                self._temporary = stack.enter_context(
                    atomic_path(self._path, overwrite=self._overwrite, error=SignalError)
                )
            else:
                self._temporary = stack.enter_context(
                    atomic_folder(self._path, overwrite=self._overwrite, replaceable=_is_ours, error=SignalError)
                )
                self._write_beside()
            if self._ending in FORMATS:
                with _encoder_errors(self._path):
                    self._movie = MovieWriter(
                        self._temporary,
                        self._height,
                        self._width,
                        self._fps,
                        times=self._times,
                        end=self._end,
                        sample_aspect_ratio=self._aspect,
                        sound=self._sound,
                        crf=self._crf,
                    )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
            return
        self._abandon()
        if error is self._failure:  # an error of writing: it gets its message there
            self._stack.__exit__(kind, error, trace)
        else:  # not ours, say of the reader that the frames come from: clean up and let it pass as it is
            with suppress(_Abandoned), self._stack:
                raise _Abandoned

    def write(self, frames: Tensor) -> None:
        """Write frames ``[n, 3, H, W]`` uint8 after those before."""
        height, width = self._height, self._width
        if frames.dtype != torch.uint8 or list(frames.shape[1:]) != [3, height, width]:
            raise SignalError(
                f"frames are {list(frames.shape)} {frames.dtype}, wanted [n, 3, {height}, {width}] torch.uint8"
            )
        if self._times is not None and self._num_frames + len(frames) > len(self._times):
            raise SignalError(f"more frames than times={len(self._times)} entries were written to {self._path}")
        try:
            for frame in frames:
                self._write_one(frame)
                self._num_frames += 1
        except BaseException as cause:
            self._failure = cause
            raise

    def _write_one(self, frame: Tensor) -> None:
        if self._movie:
            with _encoder_errors(self._path):
                self._movie.write(frame)
        elif not self._ending:
            _to_pillow(frame).save(self._temporary / FRAME_NAME.format(self._num_frames))
        elif self._num_frames:
            raise SignalError(f"{self._path} can hold one frame and the clip has more; {_instead_of_png(self._path)}")
        else:
            _to_pillow(frame).save(self._temporary)

    def _write_beside(self) -> None:
        """Fill a folder with what its frames do not carry."""
        if self._sound:
            (self._temporary / SOUND_NAME).write_bytes(self._sound)
        if self._times is not None:
            lines = ["# timestamp format v2", *(f"{float(1000 * time):.6f}" for time in self._times)]
            (self._temporary / TIMES_NAME).write_text("\n".join(lines) + "\n")

    def _finish(self) -> None:
        wanted = None if self._times is None else len(self._times)
        if not self._num_frames or wanted not in (None, self._num_frames):
            self._abandon()
            raise SignalError(
                f"{self._num_frames} frames were written to {self._path}, wanted {wanted or 'at least 1'}"
            )
        if self._movie:
            try:
                with _encoder_errors(self._path):
                    self._movie.close()
            except BaseException:
                self._abandon()
                raise

    def _abandon(self) -> None:
        if self._movie:
            self._movie.abandon()


class _Abandoned(Exception):
    """Ends a write for a reason that is not the writer's."""


def check_output(
    path: str | os.PathLike[str], num_frames: int, height: int, width: int, fps: Fraction, sound: bytes = b""
) -> None:
    """Refuse a ``path`` that :class:`ClipWriter` would refuse, before the frames have been computed.

    Raises:
        SignalError: If the ending is unknown or does not suit a clip of this size, frame rate and sound, or
            nothing can be written there.

    Example:
        >>> check_output("clip.png", 1, 48, 64, Fraction(25))
    """
    ending = _checked_ending(path, num_frames, height, width, fps, "the clip")
    check_takes_sound(path, sound)
    if ending:
        check_file(path, error=SignalError)
    else:
        check_folder(path, replaceable=_is_ours, error=SignalError)


def viewing_ending(signal: Signal, sound: bytes = b"") -> str:
    """Ending under which ``signal`` can be written to look at: ``.png``, the first of ``.mp4`` and ``.mkv`` that takes
    it with its ``sound``, or none (a folder of PNG files)."""
    if signal.is_image:
        return ".png"
    for ending in FORMATS:
        try:
            _check_suits_movie(signal.name, ending, signal.height, signal.width, signal.fps)
            check_takes_sound(f"{signal.name}{ending}", sound)
        except SignalError:
            continue
        return ending
    return ""


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


def _is_ours(entry: Path) -> bool:
    return entry.name in (SOUND_NAME, TIMES_NAME) or re.fullmatch(r"frame_\d{5,}\.png", entry.name) is not None


def _to_pillow(frame: Tensor) -> Image.Image:
    # [3, H, W] -> [H, W, 3]
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().cpu().numpy())


def _checked_ending(
    path: str | os.PathLike[str], num_frames: int, height: int, width: int, fps: Fraction, name: str
) -> str:
    """``.png``, ``.mp4``, ``.mkv``, or nothing for a folder."""
    ending = Path(path).suffix.lower()
    if str(path) == "-":
        raise SignalError("-: standard output is not written to; name a file such as clip.mp4")
    if Path(path).name.lower() in (*FORMATS, ".png"):
        raise SignalError(f"{path} is an ending without a name; write {Path(path).with_name('clip' + Path(path).name)}")
    if str(path).endswith(("/", os.sep)) or not ending:
        return ""
    if ending == ".png" and num_frames > 1:
        raise SignalError(f"{path} can hold one frame and {name} has {num_frames}; {_instead_of_png(path)}")
    if ending in FORMATS:
        _check_suits_movie(path, ending, height, width, fps)
    elif ending != ".png":
        raise SignalError(
            f"{path} ends in {ending}, which cannot be written; use .mp4, .mkv, .png (one frame), "
            "or a path without ending (or ending in /) for a folder of PNG files"
        )
    return ending


def _instead_of_png(path: str | os.PathLike[str]) -> str:
    return f"write {Path(path).with_suffix('')}/ (a folder of PNG files) or {Path(path).with_suffix('.mp4').name}"


def _check_suits_movie(path: str | os.PathLike[str], ending: str, height: int, width: int, fps: Fraction) -> None:
    folder = f"{Path(path).with_suffix('')}/ (a folder of PNG files)"
    if ending == ".mp4" and (height % 2 or width % 2):
        raise SignalError(
            f"{path}: height={height} and width={width} must be even in an .mp4 (4:2:0 colour); write {folder}, "
            f"or {Path(path).with_suffix('.mkv').name} (4:4:4: VLC, mpv and ffmpeg play it, browsers do not)"
        )
    # MP4 counts in 32 bits, Matroska in milliseconds.
    if fps > 1000 or max(fps.numerator, fps.denominator) >= 2**31:
        raise SignalError(
            f"{path}: fps={fps} does not fit into an {ending} (at most 1000, 32-bit terms); write {folder}"
        )


def _check_times(path: str | os.PathLike[str], times: Sequence[Fraction], end: Fraction | None) -> None:
    shortest = Fraction(1, 1000)
    borders = [*times, times[-1] + 1 if end is None else end] if times else []
    if not borders or borders[0] < 0:
        raise SignalError(f"{path}: times begin with {borders[:1]}, wanted seconds from 0 or later")
    for before, after in pairwise(borders):
        if after - before < shortest:
            raise SignalError(
                f"{path}: a frame lasts from {float(before):g} s to {float(after):g} s; wanted a millisecond or more"
            )


@contextmanager
def _encoder_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OverflowError as cause:  # of a damaged file, or a very odd one
        raise SignalError(
            f"{path} cannot hold these times or this pixel shape ({cause}); write a folder of PNG files instead"
        ) from cause
    except (av.FFmpegError, ValueError) as cause:  # ValueError: a PyAV built without x264
        if isinstance(cause, (OSError, SignalError)):
            raise
        raise SignalError(
            f"{path} cannot be encoded with libx264 ({cause}); write a folder of PNG files instead, "
            "or install PyAV from PyPI if this one lacks libx264"
        ) from cause
