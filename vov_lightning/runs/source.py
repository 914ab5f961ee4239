"""Sources read, brought to a size that the base model takes, each with its caption."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from typing_extensions import Self

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bitstream import VovFile
from vov_lightning.captioners import Captioner
from vov_lightning.captioners.text import check_caption, read_caption, tidy_reply
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.runs.joint import caption_beside, check_names, check_paths, check_sources, joint_name, source_name
from vov_lightning.runs.room import check_room
from vov_lightning.video import Padding, Signal, remove_padding
from vov_lightning.video.resize import output_size
from vov_lightning.video.sound import SoundMode, extract_sound
from vov_lightning.video.source import Clip, Fit, Shape, clip_of, open_source
from vov_lightning.video.stream import ClipReader, open_clip

SAMPLE = "sample"
"""Path that stands for the bundled clip."""


@dataclass(frozen=True)
class Source:
    """One clip of a fit."""

    name: str
    """What its file is called."""
    clip: Clip
    """The clip at the base model's size."""
    caption: str
    """Text that conditions the base model."""
    sound: bytes = b""
    """What travels in the file beside the picture (`extract_sound`)."""


class ClipData:
    """Reads, crops and resizes a video or image, or several that one vector is fitted to.

    Args:
        path: Video, image, folder of frames or .y4m; ``sample`` is the bundled clip.
        start: First frame.
        frames: Number of frames; empty for all of them.
        height: Height in pixels, or ``source`` for the source's own; empty for what suits the base model. A clip is
            never enlarged to it.
        width: Width in pixels; empty to follow from the height.
        fit: ``scale``: the whole picture at ``height``. ``resize``: cut around the centre to the aspect of ``height``
            and ``width``, then resampled. ``crop``: cut around the centre, no resampling. ``pad``: the source's own
            size, odd sides too. Empty for ``resize`` where a width is given, else ``scale``. Edges and last frames
            are repeated up to a size that the model takes, and cut off again by the decoder.
        fps: Frame rate instead of the source's own, e.g. ``25`` or ``30000/1001``; a folder of frames has 25.
        caption: Text for the base model, stored in the file; "" for none. Without ``caption``, ``caption_file`` and
            ``captioner`` the base model's own captioner is used, where it has one (``nano`` measures its words).
        caption_file: Text file (UTF-8) that holds the caption.
        captioner: Class path of what captions the clip: `EndpointCaptioner` (any OpenAI-compatible server),
            `LocalCaptioner` (a vision-language model on this machine), or a subclass of `Captioner`. It is asked
            once: a resumed fit goes on with its first answer.
        paths: Several sources in place of ``path``, all brought to one size: one vector is fitted to them jointly, and
            each comes back from its own caption. The other settings hold for all of them.
        captions: Their captions, in the same order. Without them, ``<source>.txt`` beside a source is its caption;
            the others get the captioner's, or the base model's own.
        audio: The sound: ``copy`` its packets, encode it as ``opus`` (32 kbit/s), or ``none``.
        segment: Frames of the longest segment; empty for what suits the base model. Segments are decoded one by one,
            and end at scene changes.

    Raises:
        SettingError: If more than one of caption, caption_file and captioner is given, a caption cannot be used, or
            settings of one source meet settings of several.
    """

    def __init__(
        self,
        path: str = SAMPLE,
        start: int = 0,
        frames: int | None = None,
        height: int | Literal["source"] | None = None,
        width: int | None = None,
        fit: Fit | None = None,
        fps: str | None = None,
        caption: str | None = None,
        caption_file: str | None = None,
        captioner: Captioner | None = None,
        paths: list[str] | None = None,
        captions: list[str] | None = None,
        audio: SoundMode = "copy",
        segment: int | None = None,
    ) -> None:
        super().__init__()
        options = {"caption": caption, "caption_file": caption_file, "captioner": captioner}
        given = [name for name, value in options.items() if value is not None]
        if given[1:]:
            raise SettingError(f"{' and '.join(given)} each give a caption; keep one of them")
        if caption_file is not None:
            caption = read_caption(caption_file)
        elif caption is not None:
            check_caption(caption, "caption")
        if width is not None and (fit == "scale" or height is None or height == "source"):
            raise SettingError(
                f"width={width} with height={height} and fit={fit}: a width needs a height in pixels and fit resize or "
                "crop; leave it out to keep the picture's shape"
            )
        if segment is not None and segment < 1:
            raise SettingError(f"segment={segment} is below 1 frame; leave it out for the base model's own length")
        self.path, self.start, self.fps, self.audio, self.segment = path, start, fps, audio, segment
        self.fit: Fit = fit or ("scale" if width is None else "resize")
        self.caption, self.captioner = caption, captioner
        self.frames, self.height, self.width = frames, height, width
        self.source_name = source_name(path, paths)
        self._signal: Signal | None = None
        self.members: list[ClipData] = [self]
        """Data of each source; of one, these themselves."""
        check_paths(paths, captions, {**options, "path": None if path == SAMPLE else path})
        if paths is not None:
            self.members = []
            for number, one in enumerate(paths):
                words = captions[number] if captions else None
                file = None if captions else caption_beside(one)
                asked = captioner if words is None and file is None else None
                member = type(self)(one, start, frames, height, width, fit, fps, words, file, asked)
                member.audio, member.segment = audio, segment
                self.members.append(member)

    @classmethod
    def of(cls, signal: Signal, **options: Any) -> Self:
        """Data of a signal that is already in memory; options as for the constructor, but ``start`` and ``fps``."""
        if unusable := {"path", "paths", "captions", "start", "fps"} & options.keys():
            raise SettingError(f"{sorted(unusable)} are for reading files; cut or retime the Signal itself")
        data = cls(path=signal.name, **options)
        data._signal, data.source_name = signal, signal.name
        return data

    @classmethod
    def joint(cls, members: Sequence["ClipData"]) -> Self:
        """Data of several sources that one vector is fitted to, each with settings of its own.

        Raises:
            SettingError: If there are fewer than two, or two of one name.
        """
        names = [member.source_name for member in members]
        if len(names) < 2:
            raise SettingError(f"{names} is not several sources; fit one by itself")
        check_names(names)
        data = cls()
        data.members, data.source_name = list(members), joint_name(names)
        return data

    def load_all(self, base: BaseModel) -> tuple[Source, ...]:
        """Every source at a size that ``base`` takes, and its caption.

        Raises:
            SignalError: If one cannot be read or brought to size, or they are not of one size.
            CaptionError: If the captioner gives no caption.
        """
        sources = tuple(member.load(base) for member in self.members)
        check_sources({source.name: source.clip for source in sources})
        return sources

    def load(self, base: BaseModel) -> Source:
        """The one source at a size that ``base`` takes.

        Raises:
            SignalError: If it cannot be read, brought to size, or its sound copied.
            SettingError: If a segment finds no room.
            CaptionError: If the captioner gives no caption.
        """
        shape = self._shape(base)
        if self._signal is not None:
            clip = clip_of(self._signal, shape, self.frames)
            check_room(clip)
            return Source(self.source_name, clip, self._caption_of(clip, base))
        path = self.file
        clip = open_source(path, shape, start=self.start, frames=self.frames, fps=self.fps)
        check_room(clip)
        caption = self._caption_of(clip, base)
        return Source(self.source_name, clip, caption, self._sound(clip))

    def _sound(self, clip: Clip) -> bytes:
        duration_s = None if self.frames is None else clip.duration_s
        sound = extract_sound(self.file, self.audio, clip.start_s, duration_s)
        if sound and self.fps is not None:
            print(f"{clip.name}: fps={self.fps} is not the rate of its sound, which is left out", file=sys.stderr)
            return b""
        return sound

    @property
    def file(self) -> Path:
        """Where the source lies."""
        return bundled_clip() if self.path == SAMPLE else Path(self.path)

    def _shape(self, base: BaseModel) -> Shape:
        height, width, longest = self.height, self.width, self.segment or base.segment_frames
        if self.fit == "scale" and height is None:
            height = base.default_height
        if self.fit == "resize" and height is None:
            height, width = base.default_size.height, base.default_size.width
        factor = None if base.max_frames == 1 else base.temporal_factor
        takes = not (longest - 1) % base.temporal_factor and longest <= (base.max_frames or longest)
        if self.segment is not None and not takes:
            nearest = base.nearest_size(ClipSize(longest, *base.size_multiple)).frames
            raise SettingError(f"segment={longest} frames do not suit base model {base.name}; nearest: {nearest}")
        return Shape(self.fit, height, width, base.size_multiple, factor, longest, min(base.block_frames, longest))

    def _caption_of(self, clip: Clip, base: BaseModel) -> str:
        if self.caption is None and self.captioner is not None:
            shown = remove_padding(clip.first.signal, clip.first.padding)
            # Kept: asked again, it might answer otherwise.
            self.caption = tidy_reply(self.captioner.caption(shown.frames), type(self.captioner).__name__)
            print(f"caption: {self.caption}")
        if self.caption is not None:
            return self.caption
        found = base.describe(clip.first.signal.frames)
        if not found and base.embed("") is not None:
            print(
                f"{clip.name}: no caption, so {base.name} is conditioned on none; write one into {clip.name}.txt "
                "beside it, or give --data.caption or --data.captioner",
                file=sys.stderr,
            )
        return found


def source_of(
    file: VovFile, base: BaseModel, source: str | os.PathLike[str] | Signal, start: int = 0, fit: Fit | None = None
) -> Clip:
    """The source of ``file`` at its size and in its segments, as its fit saw it.

    Args:
        file: The compressed clip.
        base: The model that it was fitted on.
        source: Its path, or a signal in memory.
        start: First frame.
        fit: How it was brought to size; if None, as the sizes of source and file suggest.

    Raises:
        SettingError: If it cannot be brought to the file's size.
    """
    header = file.header
    height, width = header.height, header.width
    try:
        found = fit or _fit_between(source, height, width)
        sides = header.pad_height, header.pad_width
        known = tuple((segment.frames, Padding(segment.pad_frames, *sides)) for segment in file.segments)
        shape = Shape(
            found,
            None if found == "pad" else height,
            width if found in ("resize", "crop") else None,
            base.size_multiple,
            None if base.max_frames == 1 else base.temporal_factor,
            max(frames for frames, _ in known),
            known=known,
        )
        if isinstance(source, Signal):
            if not 0 <= start < source.num_frames:
                raise SignalError(f"start={start} is outside 0 .. {source.num_frames - 1}; {source} is no longer")
            clip = clip_of(Signal(source.frames[start:], source.fps, source.name), shape, header.frames)
        else:
            clip = open_source(Path(source), shape, start=start, frames=header.frames)
    except SignalError as error:
        raise SettingError(
            f"the source cannot be brought to the file's {header.frames} frames of {width}x{height}: {error}"
        ) from error
    if (clip.num_frames, clip.height, clip.width) != (header.frames, height, width):
        raise SettingError(
            f"the source {source} has {clip.num_frames} frames of {clip.width}x{clip.height} from frame {start} on, "
            f"the file {header.frames} of {width}x{height}; give the source that was compressed"
        )
    return clip


def _fit_between(source: str | os.PathLike[str] | Signal, height: int, width: int) -> Fit:
    """How a source probably got to ``height`` rows and ``width`` columns."""
    picture = source if isinstance(source, Signal) else open_clip(source)
    aspect = picture.sample_aspect_ratio if isinstance(picture, ClipReader) else Fraction(1)
    if (picture.height, picture.width) == (height, width):
        return "pad"
    scaled = output_size(picture.height, picture.width, aspect, height)
    return "scale" if scaled == (height, width) else "resize"


def bundled_clip() -> Path:
    """The clip that comes with the package."""
    folder = Path(str(resources.files("vov_lightning"))) / "assets" / "sample"
    return next(folder.glob("*.mp4"))
