"""The signal of a fit, or several, brought to a size that the base model takes, each with its caption."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import lightning as L
from torch.utils.data import DataLoader

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import VovFile
from vov_lightning.captioners import Captioner
from vov_lightning.captioners.text import check_caption, read_caption, tidy_reply
from vov_lightning.errors import SettingError, SignalError
from vov_lightning.fitting.joint import caption_beside, check_names, check_paths, check_sources, joint_name, source_name
from vov_lightning.fitting.stages import total_iterations
from vov_lightning.video import Fitted, Padding, Signal, add_padding, fit_signal, read_signal, remove_padding

SAMPLE = "sample"
"""Path that stands for the bundled clip."""


@dataclass(frozen=True)
class Source:
    """One signal of a fit."""

    name: str
    """What its file is called."""
    fitted: Fitted
    """The signal at the base model's size."""
    caption: str
    """Text that conditions the base model."""

    @property
    def target(self) -> Signal:
        """What the decoder should show: the source after crop and resize, without padding."""
        return remove_padding(self.fitted.signal, self.fitted.padding)


class SignalData(L.LightningDataModule):
    """Reads, crops and resizes a video or image, or several that one vector is fitted to.

    Args:
        path: Video, image, folder of frames or .y4m; ``sample`` is the bundled clip.
        start: First frame.
        frames: Number of frames; empty for the base model's own (an image has one).
        height: Height in pixels; empty for the base model's own (``fit: resize``) or the source's (otherwise).
        width: Width in pixels, likewise.
        fit: ``resize``: centre crop to the aspect, then area resampling. ``crop``: centre crop, no resampling.
            ``pad``: nothing is lost; edges and the last frame are repeated and cut off again by the decoder.
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

    Raises:
        SettingError: If more than one of the three is given, a caption cannot be used, or settings of one source
            meet settings of several.
    """

    def __init__(
        self,
        path: str = SAMPLE,
        start: int = 0,
        frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        fit: Literal["resize", "crop", "pad"] = "resize",
        fps: str | None = None,
        caption: str | None = None,
        caption_file: str | None = None,
        captioner: Captioner | None = None,
        paths: list[str] | None = None,
        captions: list[str] | None = None,
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
        self.path, self.start, self.fps, self.fit = path, start, fps, fit
        self.caption, self.captioner = caption, captioner
        self.frames, self.height, self.width = frames, height, width
        self.source_name = source_name(path, paths)
        self._signal: Signal | None = None
        self.members: list[SignalData] = [self]
        """Data of each source; of one, these themselves."""
        check_paths(paths, captions, {**options, "path": None if path == SAMPLE else path})
        if paths is not None:
            self.members = []
            for number, one in enumerate(paths):
                words = captions[number] if captions else None
                file = None if captions else caption_beside(one)
                asked = captioner if words is None and file is None else None
                self.members.append(SignalData(one, start, frames, height, width, fit, fps, words, file, asked))

    @classmethod
    def of(cls, signal: Signal, **options: Any) -> "SignalData":
        """Data of a signal that is already in memory; options as for the constructor, but ``start`` and ``fps``."""
        if unusable := {"path", "paths", "captions", "start", "fps"} & options.keys():
            raise SettingError(f"{sorted(unusable)} are for reading files; cut or retime the Signal itself")
        data = cls(path=signal.name, **options)
        data._signal, data.source_name = signal, signal.name
        return data

    @classmethod
    def joint(cls, members: Sequence["SignalData"]) -> "SignalData":
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
        sources = tuple(Source(member.source_name, *member.load(base)) for member in self.members)
        check_sources({source.name: source.fitted.signal for source in sources})
        return sources

    def load(self, base: BaseModel) -> tuple[Fitted, str]:
        """The one signal at a size that ``base`` takes, and its caption.

        Raises:
            SignalError: If the source cannot be read or brought to size.
            CaptionError: If the captioner gives no caption.
        """
        frames = base.default_size.frames if self.frames is None else self.frames
        signal = self._signal
        if signal is None:
            path = bundled_clip() if self.path == SAMPLE else Path(self.path)
            # Up to the next count that fits: where ``frames`` does not, an error can say whether that one is there.
            more = 0 if self.fit == "pad" else (1 - frames) % base.temporal_factor
            signal = read_signal(path, start=self.start, max_frames=frames + more, fps=self.fps)
        if signal.is_image and self.frames is None:
            frames = 1
        height, width = self.height, self.width
        if self.fit == "resize" and height is None and width is None:
            height, width = base.default_size.height, base.default_size.width
        fitted = fit_signal(
            signal,
            height=height,
            width=width,
            frames=frames,
            mode=self.fit,
            multiple=base.size_multiple,
            temporal_factor=base.temporal_factor,
        )
        return fitted, self._caption_of(fitted, base)

    def _caption_of(self, fitted: Fitted, base: BaseModel) -> str:
        if self.caption is None and self.captioner is not None:
            shown = remove_padding(fitted.signal, fitted.padding)
            # Kept: asked again, it might answer otherwise.
            self.caption = tidy_reply(self.captioner.caption(shown.frames), type(self.captioner).__name__)
            print(f"caption: {self.caption}")
        if self.caption is not None:
            return self.caption
        found = base.describe(fitted.signal.frames)
        if not found and base.embed("") is not None:
            print(
                f"{fitted.signal.name}: no caption, so {base.name} is conditioned on none; write one into "
                f"{fitted.signal.name}.txt beside it, or give --data.caption or --data.captioner",
                file=sys.stderr,
            )
        return found

    def train_dataloader(self) -> DataLoader:
        """One item a batch of draws; the module makes them from the number alone."""
        assert self.trainer is not None
        batches = total_iterations(self.trainer) * self.trainer.accumulate_grad_batches
        return _count(batches)

    def val_dataloader(self) -> DataLoader:
        """The number of each source."""
        return _count(len(self.members))


def source_of(
    file: VovFile, base: BaseModel, path: str, start: int = 0, fit: Literal["resize", "crop"] = "resize"
) -> Fitted:
    """The source of ``file`` at its size, as its fit saw it.

    Args:
        file: The compressed clip.
        base: The model that it was fitted on.
        path: Of the source.
        start: First frame.
        fit: How it was brought to size, where the file says nothing of padding.

    Raises:
        SettingError: If it cannot be brought to the file's size.
    """
    header = file.header
    height, width = header.height, header.width
    if header.pad_frames or header.pad_height or header.pad_width:
        data = SignalData(path, start, header.frames, fit="pad", caption=file.caption)
    else:
        data = SignalData(path, start, header.frames, height, width, fit, caption=file.caption)
    try:
        source = data.load(base)[0]
    except SignalError as error:
        raise SettingError(
            f"the source cannot be brought to the file's {header.frames} frames of {width}x{height}: {error}"
        ) from error
    clip = remove_padding(source.signal, source.padding)
    if (clip.num_frames, clip.height, clip.width) != (header.frames, height, width):
        raise SettingError(
            f"the source {path} has {clip.num_frames} frames of {clip.width}x{clip.height} from frame {start} on, the "
            f"file {header.frames} of {width}x{height}; give the source that was compressed"
        )
    # The file's own padding: when it was made, the base model's rules may have been others.
    padding = Padding(header.pad_frames, header.pad_height, header.pad_width)
    return Fitted(add_padding(clip, padding), padding)


def _count(batches: int) -> DataLoader:
    numbers: Any = range(batches)  # a sequence serves as a dataset
    return DataLoader(numbers, batch_size=None)


def bundled_clip() -> Path:
    """The clip that comes with the package."""
    folder = Path(str(resources.files("vov_lightning"))) / "assets" / "sample"
    return next(folder.glob("*.mp4"))
