"""Wan2.2-TI2V-5B with a time for each latent frame, against diffusers' pipeline from an image."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from vov_lightning.bases import ClipSize
from vov_lightning.bases.context import with_context
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bases.windows import Windows
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import replay_of, sample
from vov_lightning.codec.steer import steered
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise, integrate
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal

CAPTION = "a red ball rolls, slowly"
SAMPLER = SamplerConfig(steps=4)
SIZE = ClipSize(9, 64, 96)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def base(tmp_path: Path, cache: Path, save_weights) -> Wan22TI2V5B:
    torch.manual_seed(0)
    save_weights(Wan22TI2V5B.untrained(), tmp_path / "weights")
    return Wan22TI2V5B(str(tmp_path / "weights"), dtype="float32")


def pipeline_of(base: Wan22TI2V5B, folder: Path) -> Any:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
    original, sigmas = scheduler.set_timesteps, SAMPLER.times()[:-1].double().numpy()
    scheduler.set_timesteps = lambda *_, device=None, **__: original(sigmas=sigmas.copy(), device=device)
    pipeline: Any = diffusers.WanImageToVideoPipeline(
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=transformers.UMT5EncoderModel.from_pretrained(folder / "text_encoder"),
        vae=base.vae,
        transformer=base.transformer,
        scheduler=scheduler,
        expand_timesteps=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_sampling_after_a_known_frame_equals_the_pipeline_with_expand_timesteps(
    base: Wan22TI2V5B, tmp_path: Path
) -> None:
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noise = initial_noise(0, base.latent_shape(SIZE))
    theirs = pipeline_of(base, tmp_path / "weights")(
        image.float() / 255,
        CAPTION,
        height=SIZE.height,
        width=SIZE.width,
        num_frames=SIZE.frames,
        num_inference_steps=SAMPLER.steps,
        guidance_scale=1.0,
        latents=noise,
        output_type="latent",
    ).frames
    past = base.encode(image)
    times = SAMPLER.times().tolist()
    ours = integrate(with_context(base.velocity(CAPTION), past), noise[:, :, 1:], times)
    torch.testing.assert_close(torch.cat([past, ours], dim=2), theirs, rtol=1e-4, atol=1e-4)
    alone = integrate(base.velocity(CAPTION), noise[:, :, 1:], times)
    assert (ours - alone).abs().max() > 1e-3  # the known frame counts


def test_equal_times_give_the_plain_result(base: Wan22TI2V5B) -> None:
    x_t = initial_noise(1, base.latent_shape(SIZE)).expand(2, -1, -1, -1, -1)
    t = torch.tensor([0.3, 0.8])
    velocity = base.velocity(CAPTION)
    torch.testing.assert_close(velocity(x_t, t[:, None].expand(-1, x_t.shape[2])), velocity(x_t, t))


class TestInTheCodec:
    """Blocks of one latent frame in two windows, each told of the decoded one before."""

    @pytest.fixture
    def base(self) -> Wan22TI2V5B:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            base = Wan22TI2V5B.untrained()
        assert isinstance(base, Wan22TI2V5B)
        base.context = 1
        base.window = Windows(frames=2, rows=4, columns=4, overlap_frames=1, overlap_space=2)
        return base

    @pytest.fixture
    def source(self) -> Fitted:
        frames = torch.randint(0, 256, (13, 3, 8, 12), generator=torch.Generator().manual_seed(0))
        frames = frames.repeat_interleave(8, 2).repeat_interleave(8, 3).byte()
        return Fitted(Signal(frames, Fraction(16), "noise"), Padding())

    def test_the_decoder_ends_with_the_encoders_latents(self, base: Wan22TI2V5B, source: Fitted) -> None:
        plain = build_file(base, source, "", torch.zeros(0, dtype=torch.int32), 1.0, AdapterConfig(k=0), SAMPLER)
        assert (plain.header.context, plain.header.window) == (1, (2, 4, 4, 0, 2))
        file, latents = steered(plain, base, source.signal, ScalingConfig(bits=4000))
        again = VovFile.from_bytes(file.to_bytes())
        assert {place // SAMPLER.steps for place, step in enumerate(again.indices) if len(step)} == {0, 1, 2, 3}
        assert torch.equal(sample(again, base, replay_of(again, base)), latents)

    def test_the_past_counts(self, base: Wan22TI2V5B, source: Fitted) -> None:
        file = build_file(base, source, "", torch.zeros(0, dtype=torch.int32), 1.0, AdapterConfig(k=0), SAMPLER)
        told = sample(file, base)
        alone = sample(replace(file, header=replace(file.header, window=(1, 4, 4, 0, 2), context=0)), base)
        difference = (told - alone).abs().amax((0, 1, 3, 4))
        assert difference[0] < 1e-5
        assert (difference[1:] > 1e-3).all()
