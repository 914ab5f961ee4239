"""The base model without any adaptation: indices alone steer it, in as many bytes (plain Diff-C)."""

import time
from dataclasses import replace

import torch

from vov_lightning.bitstream import Header, VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode, tiling
from vov_lightning.codec.scale import scale
from vov_lightning.codec.settings import sampler_of, steering_of
from vov_lightning.evaluation.baselines.base import Baseline, Coded, Task, UnreachableError
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig, SteeringConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import fit_signal

STEPS = 25
"""Steps of the sampler if the file has no indices: the two or four steps of a vector would carry few."""


class Indices(Baseline):
    """A ``.vov`` file with k = 0, the same caption and seed, and as many index bits as fit.

    Seconds of encoding are those of the search for the indices, about one to three decodings.
    """

    key = "indices"
    label = "indices alone"
    description = (
        "The same base model and caption without any adaptation: index bits alone steer its sampler (plain Diff-C), in "
        "a .vov file of at most as many bytes. Steps and candidates are the file's own where it has indices, else "
        f"{STEPS} steps and indices of {SteeringConfig().index_bits} bits."
    )

    def code(self, task: Task) -> Coded:
        header = task.file.header
        source = fit_signal(
            task.source, mode="pad", multiple=task.base.size_multiple, temporal_factor=task.base.temporal_factor
        )
        sampler = sampler_for(header)
        symbols = torch.zeros(0, dtype=torch.int32)
        with tiling(task.base, header.vae_tiling):
            plain = build_file(task.base, source, task.file.caption, symbols, 1.0, AdapterConfig(k=0), sampler)
        smallest = len(plain.to_bytes())
        if smallest >= task.num_bytes:
            raise UnreachableError(
                f"{self.label}: {task.num_bytes} bytes leave nothing for indices: header and caption alone take "
                f"{smallest}; compare at a higher rate, or leave this baseline out"
            )
        scaling = ScalingConfig.like(steering_of(header), target_bpp=8 * task.num_bytes / task.source.num_pixels)
        start = time.perf_counter()
        file = VovFile.from_bytes(scale(plain, task.base, source, scaling).to_bytes())
        scaled = time.perf_counter()
        frames = decode(file, task.base).frames.cpu()
        decode_s = time.perf_counter() - scaled
        settings = (
            f"k=0, {sampler.steps} steps, {sum(map(len, file.indices))} indices of {scaling.index_bits} bits, "
            f"codebook={scaling.codebook}, kernel={scaling.kernel}, selection={scaling.selection}"
        )
        return Coded(frames, len(file.to_bytes()), settings, scaled - start, decode_s, sampler.seed)


def sampler_for(header: Header) -> SamplerConfig:
    """The file's own sampler if indices steer it, else Euler steps, `STEPS` of them."""
    sampler = sampler_of(header)
    return sampler if header.kernel != "ode" else replace(sampler, steps=STEPS, scheduler="flow_euler")
