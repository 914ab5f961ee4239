"""Clips and photos for training `nano`: packed once into one small file, then cropped, moved and flipped at random.

A pack holds short segments of every clip (H.264, nearly lossless) and every
photo (JPEG), shrunk, so that one file of some tens of megabytes is all that
travels to another machine. `ClipStream` decodes it into memory.
Photos become clips under a synthetic camera path (pan and zoom).
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import IterableDataset
from tqdm import tqdm

from vov_lightning.files import atomic_path

CLIP_CRF, PHOTO_QUALITY = 17, 92
VIDEO_ENDINGS, PHOTO_ENDINGS = {".mp4", ".mkv", ".webm", ".mov", ".avi"}, {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class PackSize:
    """What a pack keeps of each clip and photo."""

    clip_rows: int = 96
    """Short side of a clip in pixels."""
    photo_rows: int = 128
    """Short side of a photo in pixels."""
    segments: int = 4
    """Most runs of successive frames of a clip, evenly spaced over it."""
    segment_frames: int = 17
    """Frames of a run."""


def pack(source: Path, target: Path, size: PackSize) -> None:
    """Write the pack of every clip and photo below ``source`` to ``target``."""
    clips, photos = [], []
    for path in tqdm(sorted(source.rglob("*")), desc="pack", unit="file"):
        if path.suffix.lower() in VIDEO_ENDINGS:
            clips += [_encode_clip(segment) for segment in _segments(path, size)]
        elif path.suffix.lower() in PHOTO_ENDINGS:
            photos.append(_encode_photo(path, size.photo_rows))
    if not clips and not photos:
        raise SystemExit(f"data.source={source} holds no clip ({VIDEO_ENDINGS}) and no photo ({PHOTO_ENDINGS})")
    with atomic_path(target) as temporary:
        torch.save({"clips": clips, "photos": photos}, temporary)


def _segments(path: Path, size: PackSize) -> list[np.ndarray]:
    """Up to ``size.segments`` runs of successive frames ``[segment_frames, rows, columns, 3]``."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        scale = Fraction(size.clip_rows, min(stream.width, stream.height))
        width, height = (2 * round(side * scale / 2) for side in (stream.width, stream.height))
        frames = [
            frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
            for frame in container.decode(stream)
        ]
    starts = np.unique(np.linspace(0, len(frames) - size.segment_frames, size.segments).astype(int))
    return [np.stack(frames[start : start + size.segment_frames]) for start in starts if start >= 0]


def _encode_clip(frames: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(CLIP_CRF), "preset": "fast"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _decode_clip(content: bytes) -> Tensor:
    with av.open(io.BytesIO(content)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def _encode_photo(path: Path, rows: int) -> bytes:
    image = Image.open(path).convert("RGB")
    scale = Fraction(rows, min(image.size))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=PHOTO_QUALITY)
    return buffer.getvalue()


def _decode_photo(content: bytes) -> Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)))).permute(2, 0, 1).contiguous()


@cache
def _unpack(path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Segments ``[T, 3, H, W]`` and photos ``[3, H, W]``, which every stage shares."""
    content = torch.load(path)
    return [_decode_clip(clip) for clip in content["clips"]], [_decode_photo(photo) for photo in content["photos"]]


def process_rank() -> int:
    """Number of this training process."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


class ClipStream(IterableDataset):
    """Endless random clips ``[frames, 3, size, size]`` uint8; ``seed``, the process and the worker decide the order.

    Args:
        pack_path: What `pack` wrote.
        frames: Frames of a clip.
        size: Height and width of a clip.
        photo_share: Fraction of clips that are photos under a synthetic camera path.
        whole_share: Fraction of crops that are as large as can be; the side of the others is uniform from ``size`` on.
        seed: Seed of the draws.
    """

    def __init__(
        self, pack_path: Path, *, frames: int, size: int, photo_share: float, whole_share: float, seed: int
    ) -> None:
        segments, self.photos = _unpack(pack_path)
        self.clips = [segment for segment in segments if len(segment) >= frames]  # a short clip gives a shorter one
        self.frames, self.size, self.whole_share, self.seed = frames, size, whole_share, seed
        self.photo_share = photo_share if self.clips and self.photos else float(bool(self.photos))

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, process_rank(), worker.id if worker else 0])
        while True:
            clip = self._moving_photo(rng) if rng.random() < self.photo_share else self._clip(rng)
            yield clip.flip(-1) if rng.random() < 0.5 else clip

    def _clip(self, rng: np.random.Generator) -> Tensor:
        segment = self.clips[rng.integers(len(self.clips))]
        stride = int(rng.integers(1, (len(segment) - 1) // max(self.frames - 1, 1) + 1))
        start = int(rng.integers(len(segment) - (self.frames - 1) * stride))
        segment = segment[start : start + (self.frames - 1) * stride + 1 : stride]
        rows, columns = segment.shape[-2:]
        side = self._side(rng, min(rows, columns))
        top, left = int(rng.integers(rows - side + 1)), int(rng.integers(columns - side + 1))
        crop = segment[..., top : top + side, left : left + side].float()
        return F.interpolate(crop, size=(self.size, self.size), mode="area").round().byte()

    def _side(self, rng: np.random.Generator, longest: int) -> int:
        """Side of a square crop that is brought to ``size``."""
        return longest if rng.random() < self.whole_share else int(rng.integers(self.size, longest + 1))

    def _moving_photo(self, rng: np.random.Generator) -> Tensor:
        """A camera that pans and zooms over a photo steadily, up to 2 pixels and 2 % a frame, or stands still."""
        photo = self.photos[rng.integers(len(self.photos))]
        rows, columns = photo.shape[-2:]
        time = torch.linspace(-1, 1, self.frames)
        half = (self.frames - 1) / 2
        side = self._side(rng, int(0.95 * min(rows, columns)))
        sides = side * torch.exp(time * half * rng.choice([0.0, 1.0]) * rng.uniform(-0.02, 0.02))
        sides = sides.clamp(max=min(rows, columns) - 1.0)
        velocity = torch.tensor(rng.uniform(-2, 2, size=2) * rng.choice([0.0, 1.0]), dtype=torch.float32)
        centre = torch.tensor(rng.uniform(0, 1, size=2), dtype=torch.float32)
        extent = torch.tensor([columns, rows]) - sides[:, None]  # [T, 2] room for the crop's corner
        corner = centre * extent + time[:, None] * half * velocity * side / self.size
        corner = torch.minimum(corner.clamp(min=0.0), extent)
        grid = (torch.arange(self.size) + 0.5) / self.size
        x = (corner[:, :1] + sides[:, None] * grid) * 2 / columns - 1  # [T, W]
        y = (corner[:, 1:] + sides[:, None] * grid) * 2 / rows - 1
        position = torch.stack(
            [x[:, None, :].expand(-1, self.size, -1), y[:, :, None].expand(-1, -1, self.size)], dim=-1
        )
        source = photo.float()[None]
        if side > 1.5 * self.size:  # bilinear sampling would alias
            source = F.avg_pool2d(source, 2)
        source = source.expand(self.frames, -1, -1, -1)
        moved = F.grid_sample(source, position, mode="bilinear", padding_mode="border", align_corners=False)
        return moved.clamp(0, 255).round().byte()
