"""Parts of the evaluation that need no clip of their own."""

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.evaluation import module, tracking
from vov_lightning.evaluation.module import bound_of
from vov_lightning.video import Fitted, Padding, Signal
from vov_lightning.video.source import Clip


class FourAndOne:
    """Takes 1 + 4 n frames, as many autoencoders do, and shows them a level brighter."""

    vae_tiling = False

    def use_vae_tiling(self, enabled: bool) -> None:
        assert not enabled

    def encode(self, frames: Tensor) -> Tensor:
        assert len(frames) % 4 == 1
        return frames + 1

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return latents[:num_frames]


def test_the_bound_of_a_clip_is_that_of_its_segments() -> None:
    frames = torch.arange(10).repeat_interleave(3).view(10, 3, 1, 1).expand(-1, -1, 8, 8).byte()

    def segments() -> Iterator[Fitted]:
        padded = torch.cat([frames[5:], frames[-1:].expand(4, -1, -1, -1)])
        for part, padding in ((frames[:5], Padding()), (padded, Padding(4))):
            yield Fitted(Signal(part, Fraction(25), "clip"), padding)

    clip = cast(Clip, SimpleNamespace(segments=segments))
    assert torch.equal(bound_of(clip, cast(BaseModel, FourAndOne()), False).frames, frames + 1)


def test_sound_is_not_among_the_bytes_that_are_compared(monkeypatch) -> None:
    header = Header("nano", "3", bytes(4), frames=9, height=64, width=64, fps=Fraction(25))
    silent, loud = VovFile(header, "red"), VovFile(header, "red", sound=bytes(1000))
    assert silent.bytes_without_sound == len(silent.to_bytes())
    assert silent.bytes_without_sound <= loud.bytes_without_sound < silent.bytes_without_sound + 16
    base = cast(BaseModel, FourAndOne())
    monkeypatch.setattr(module, "decode", lambda file, base: SimpleNamespace(frames=torch.zeros(1)))
    assert module.decoded(loud, base).num_bytes == loud.bytes_without_sound


def test_means_over_fewer_clips_are_no_points_of_a_curve(monkeypatch) -> None:
    sets = [
        {"method": method, "rate": "0.01", "clips": clips, "bpp": 0.01, "figures": {"psnr_db": value}}
        for method, clips, value in (("vov", 8, 21.0), ("x265", 4, 24.0))
    ]
    methods = {"vov": {"label": "ours"}, "x265": {"label": "x265"}}
    monkeypatch.setattr(tracking.wandb.plot, "line_series", lambda **chart: chart)
    charts = tracking.curves({"metrics": {"psnr_db": {"label": "PSNR"}}, "sets": sets, "methods": methods})
    assert charts["evaluation/psnr_db"]["keys"] == ["ours"]
    assert charts["evaluation/psnr_db"]["ys"] == [[21.0]]
