"""Frames of a .vov file as a clip that plays like the source: at its times, with its pixel shape and its sound."""

import os

from vov_lightning.bitstream import VovFile
from vov_lightning.codec.play import frame_times
from vov_lightning.video import ClipWriter, check_output
from vov_lightning.video.sound import cut_sound


def writer_of(file: VovFile, path: str | os.PathLike[str], frames: range) -> ClipWriter:
    """Writes ``frames`` of ``file`` at the file's size to ``path``; what cannot be written is refused at once.

    Args:
        file: What is decoded.
        path: As of `ClipWriter`.
        frames: Numbers of frames that follow each other.

    Raises:
        SignalError: If ``path`` cannot hold the clip or its sound.
    """
    header, times, sound = file.header, frame_times(file), file.sound
    begin, end = times[frames.start], [*times, file.duration][frames.stop]
    if sound and len(frames) < header.frames:
        sound = cut_sound(sound, begin, end)
    check_output(path, len(frames), header.height, header.width, header.fps)
    return ClipWriter(
        path,
        header.height,
        header.width,
        header.fps,
        times=[times[number] - begin for number in frames] if file.times else None,
        end=end - begin if file.times else None,
        sample_aspect_ratio=header.sample_aspect_ratio,
        sound=sound,
    )
