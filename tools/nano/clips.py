"""Windows of training clips that know from which clip they are, and the past as a decoder shows it."""

from pathlib import Path

import av
import torch
from torch import Tensor
from tqdm import tqdm

from vov_lightning.bases.nano.autoencoder import BLOCK_FRAMES
from vov_lightning.bases.nano.coarse import sample
from vov_lightning.bases.nano.model import Nano, caption_row
from vov_lightning.bases.nano.past import past_planes
from vov_lightning.bases.nano.vocabulary import parse
from vov_lightning.files import atomic_path

BLOCKS = 6
"""Blocks that are kept of the beginning of each clip."""
FEWEST_BLOCKS = 3
EXACT_SHARE = 0.25
"""Fraction of draws that see the past exactly; the others see it as a decoder shows it."""


@torch.no_grad()
def encode_clips(base: Nano, source: Path, folder: Path, count: int) -> list[Path]:
    """Files of latents and caption of ``count`` random clips below ``source``; those that ``folder`` holds are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(source.rglob("*.mp4"))
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0)).tolist()
    files: list[Path] = []
    for number in tqdm(order, desc="encode", unit="clip"):
        if len(files) == count:
            break
        file = folder / f"{'_'.join(paths[number].relative_to(source).with_suffix('').parts)}.pt"
        if not file.exists():
            frames = first_frames(paths[number])
            if len(frames) < FEWEST_BLOCKS * BLOCK_FRAMES:
                continue
            latents = torch.cat([base.encode(block) for block in frames.split(BLOCK_FRAMES)], dim=2)
            with atomic_path(file) as temporary:
                torch.save({"latents": latents.half(), "row": caption_row(parse(base.describe(frames)))}, temporary)
        files.append(file)
    return files


def first_frames(path: Path) -> Tensor:
    """First whole blocks ``[T, 3, H, W]`` of a clip, sides cut to multiples of 8."""
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(frames) == BLOCKS * BLOCK_FRAMES:
                break
    whole = len(frames) // BLOCK_FRAMES * BLOCK_FRAMES
    clip = torch.stack(frames[:whole]).permute(0, 3, 1, 2) if whole else torch.zeros(0, 3, 8, 8)
    height, width = (side // 8 * 8 for side in clip.shape[-2:])
    return clip[..., :height, :width].contiguous()


class ClipWindows:
    """Random windows of clips.

    Args:
        files: Of `encode_clips`.
        base: The model of their latents.
    """

    def __init__(self, files: list[Path], base: Nano) -> None:
        clips = [torch.load(file, weights_only=True) for file in files]
        self.latents = [clip["latents"] for clip in clips]
        self.rows = torch.tensor([clip["row"] for clip in clips])
        self.base = base

    def __len__(self) -> int:
        return len(self.latents)

    def draw(self, chosen: Tensor, windows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Present ``[B, z, 1, h, w]``, its `past_planes`, and caption rows [B, 7], ``windows`` of each chosen clip."""
        context, side = self.base.context, self.base.window.rows
        parts, levels = [], []
        for clip in chosen.repeat_interleave(windows).tolist():
            latents = self.latents[clip]
            _, _, frames, rows, columns = latents.shape
            frame = int(torch.randint(frames, ()))
            top, left = (int(torch.randint(length - side + 1, ())) for length in (rows, columns))
            window = torch.zeros(latents.shape[1], context + 1, side, side)
            known = min(frame, context)
            place = (0, slice(None), slice(frame - known, frame + 1), slice(top, top + side), slice(left, left + side))
            window[:, context - known :] = latents[place].float()
            parts.append(window)
            levels.append([1.0] * (context - known) + [0.0] * (known + 1))
        clean, level = torch.stack(parts), torch.tensor(levels)
        exact = (torch.rand(len(clean)) < EXACT_SHARE).view(-1, 1, 1, 1, 1)
        seen = torch.where(exact, clean, sample(self.base.autoencoder, clean))
        seen = seen * (1 - level).view(len(level), 1, -1, 1, 1)
        past = past_planes(seen, level, context)[:, :, -1:]
        return clean[:, :, -1:], past, self.rows[chosen.repeat_interleave(windows)]
