"""Neural codecs whose code and weights are their authors'.

The repositories of DCVC-DC, DCVC-FM, DCVC-RT and GLC-Video (``neural.py``) share one interface: a ``test_video.py``
that reads PNG frames ``im00001.png`` and a JSON description of the test set, and writes decoded PNG frames, streams and
a JSON file of figures. Each run here codes one clip at one of 64 quality indices; the index is searched to the wanted
bytes. Command lines are those of the repositories' READMEs, with these additions: one index for images and video frames
alike, a single key frame, streams and frames kept.

What counts are the streams that DCVC writes, without any container. GLC-Video writes none: its own estimate of the
entropy counts, which favours it. Decoding is part of the same run, and its seconds are encoding's.
"""

import json
import math
import subprocess
import time
from abc import abstractmethod
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from vov_lightning.evaluation.baselines.base import Baseline, BaselineError, Coded, Task, UnreachableError
from vov_lightning.evaluation.baselines.search import match_size
from vov_lightning.video import Signal, read_signal, write_signal

CLASS, CLIP, FIGURES = "clips", "clip", "figures.json"
NUM_QUALITIES = 64
ONE_KEY_FRAME = 9999
"""Intra period. -1 suits DCVC-RT alone: the other codecs would code every frame as a key frame."""
QUALITIES_PER_OCTAVE = 16.0


class Run(NamedTuple):
    """Result of one run of ``test_video.py``."""

    num_bytes: int
    frames: Path
    elapsed_s: float


class ExternalCodec(Baseline):
    """A repository with ``test_video.py`` in it.

    Args:
        repository: Folder that holds ``test_video.py``.
        image_weights: Checkpoint of the image model, which codes the first frame.
        video_weights: Checkpoint of the video model.
        python: The interpreter of an environment in which the repository runs.
        cuda: Whether it uses a GPU; DCVC-RT needs one.
        timeout_s: Longest time of one run.

    Raises:
        BaselineError: If one of the three files is missing.
    """

    where: ClassVar[str]
    """Where code and weights come from."""

    def __init__(
        self,
        repository: Path,
        image_weights: Path,
        video_weights: Path,
        python: str = "python",
        cuda: bool = True,
        timeout_s: float = 7200.0,
    ) -> None:
        self.repository = Path(repository).absolute()
        self.image_weights, self.video_weights = Path(image_weights).absolute(), Path(video_weights).absolute()
        self.python, self.cuda, self.timeout_s = python, cuda, timeout_s
        needed = (self.repository / "test_video.py", self.image_weights, self.video_weights)
        missing = ", ".join(str(path) for path in needed if not path.is_file())
        if missing:
            raise BaselineError(f"baseline {self.key} lacks {missing}; {self.where}")

    @abstractmethod
    def arguments(self, quality: int) -> list[str]:
        """Arguments of this repository's ``test_video.py``, without the paths that all repositories share."""

    def code(self, task: Task) -> Coded:
        with TemporaryDirectory() as folder:
            root = Path(folder)
            self._write_source(task.source, root)

            @cache
            def run(quality: int) -> Run:
                return self._run(quality, task.source, root)

            # Whether the largest index is the finest is not written anywhere for all of them, so it is measured.
            qualities = range(NUM_QUALITIES)
            if run(qualities[0]).num_bytes > run(qualities[-1]).num_bytes:
                qualities = qualities[::-1]
            try:
                setting = match_size(
                    lambda index: run(qualities[index]).num_bytes, NUM_QUALITIES, task.num_bytes, QUALITIES_PER_OCTAVE
                )
            except UnreachableError as error:
                raise UnreachableError(f"{self.label}: {error}") from None
            found = run(qualities[setting])
            frames = self._read_frames(found.frames, task.source)
        words = [Path(word).name for word in self.arguments(qualities[setting])]
        return Coded(frames, found.num_bytes, " ".join(["test_video.py", *words]), found.elapsed_s, None)

    def _write_source(self, source: Signal, root: Path) -> None:
        """PNG frames and the JSON file that describes them; ``gop`` is what DCVC-DC calls the intra period."""
        clip = root / CLASS / CLIP
        for index in range(source.num_frames):
            frame = Signal(source.frames[index : index + 1], source.fps, source.name)
            write_signal(frame, clip / f"im{index + 1:05d}.png")
        size = {"width": source.width, "height": source.height, "frames": source.num_frames}
        sequences = {CLIP: size | {"intra_period": ONE_KEY_FRAME, "gop": ONE_KEY_FRAME}}
        test_class = {"test": 1, "base_path": CLASS, "src_type": "png", "sequences": sequences}
        config = {"root_path": str(root), "test_classes": {CLASS: test_class}}
        (root / "config.json").write_text(json.dumps(config))

    def _run(self, quality: int, source: Signal, root: Path) -> Run:
        out = root / f"quality_{quality}"
        out.mkdir()
        paths = {
            "test_config": root / "config.json",
            "output_path": out / FIGURES,
            "stream_path": out / "streams",
        }
        command = [self.python, "test_video.py", *self.arguments(quality), "--rate_num", "1", "--worker", "1"]
        command += ["--cuda", str(int(self.cuda)), "--save_decoded_frame", "1", *self.decoded_path(out)]
        command += [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        start = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=self.repository, capture_output=True, text=True, timeout=self.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise BaselineError(f"baseline {self.key}: timeout_s={self.timeout_s:g} passed; raise it") from None
        except OSError as cause:
            raise BaselineError(f"baseline {self.key}: python={self.python} cannot be run ({cause})") from None
        if done.returncode:
            said = " | ".join(done.stderr.strip().splitlines()[-4:])
            raise BaselineError(f"baseline {self.key}: test_video.py failed: {said[-600:]}; python={self.python}")
        elapsed_s = time.perf_counter() - start
        return Run(self._count(out, source), out, elapsed_s)

    def decoded_path(self, out: Path) -> list[str]:
        """Arguments that name the folder of decoded frames; none if they lie beside the streams."""
        return []

    def _count(self, out: Path, source: Signal) -> int:
        """Bytes of all streams; without streams, the bytes that its figures state."""
        try:
            figures = json.loads((out / FIGURES).read_text())[CLASS][CLIP]["000"]
            num_frames = figures["i_frame_num"] + figures["p_frame_num"]
            bpp = float(figures["ave_all_frame_bpp"])
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise BaselineError(
                f"baseline {self.key}: test_video.py wrote no figures of the known form ({cause!r}); {self.where}"
            ) from None
        if num_frames != source.num_frames:
            raise BaselineError(f"baseline {self.key} coded {num_frames} frames of {source.num_frames}")
        streams = [path.stat().st_size for path in out.rglob("*.bin")]
        return sum(streams) if streams else math.ceil(bpp * source.num_pixels / 8)

    def _read_frames(self, out: Path, source: Signal) -> Tensor:
        paths = sorted(out.rglob("im?????.png"))
        wanted = [f"im{index + 1:05d}.png" for index in range(source.num_frames)]
        if [path.name for path in paths] != wanted:
            raise BaselineError(
                f"baseline {self.key} decoded {len(paths)} frames of {source.num_frames}; figures would compare the "
                "wrong frames, so it is left out"
            )
        frames = torch.cat([read_signal(path).frames for path in paths])
        if frames.shape != source.frames.shape:
            raise BaselineError(
                f"baseline {self.key} decoded frames of {tuple(frames.shape)}, wanted {tuple(source.frames.shape)}"
            )
        return frames
