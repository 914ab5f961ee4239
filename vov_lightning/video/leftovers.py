"""What a source file holds besides the picture and the sound that are coded, so that nothing is dropped in silence."""

import os
from pathlib import Path

import av

from vov_lightning.video.containers import coded_video, open_container
from vov_lightning.video.images import IMAGE_ENDINGS


def left_behind(path: str | os.PathLike[str]) -> str:
    """One line on the streams of a video file that a clip leaves behind; empty if there are none.

    The best video and the best audio stream are coded, as FFmpeg chooses them. Images, folders and what cannot be
    opened have nothing to say here; reading the frames does.

    Example:
        >>> left_behind("photo.png")
        ''
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS:
        return ""
    try:
        with open_container(path) as container:
            coded = {coded_video(container), container.streams.best("audio")}
            others = [stream for stream in container.streams if stream not in coded]
            descriptions = [_description(stream) for stream in others]
            chapters = len(container.chapters())
    except (av.FFmpegError, OSError):
        return ""
    if chapters:
        descriptions.append("1 chapter mark" if chapters == 1 else f"{chapters} chapter marks")
    return f"{path} also holds what is not coded: {', '.join(descriptions)}" if descriptions else ""


def _description(stream: av.stream.Stream) -> str:
    kind = "cover picture" if stream.disposition & av.stream.Disposition.attached_pic else f"{stream.type} stream"
    codec = stream.codec_context.name if stream.codec_context else ""
    language = f" in {stream.language}" if stream.language and stream.language != "und" else ""
    return f"{'an' if kind[0] == 'a' else 'a'} {kind}" + (f" ({codec}{language})" if codec else "")
