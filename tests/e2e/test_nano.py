"""The bundled model on the bundled clip: it was trained, and a fit of half a minute brings the clip back into view."""

from typing import Any

import pytest
import torch

import vov_lightning as vov
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.nano.vocabulary import levels, parse
from vov_lightning.codec.build import build_file
from vov_lightning.codec.edit import edit
from vov_lightning.codec.steer import steer
from vov_lightning.fitting.objectives import Target, flow_losses
from vov_lightning.runs.source import Source
from vov_lightning.sampling.config import ScalingConfig
from vov_lightning.video.compare import psnr_db


@pytest.fixture(scope="module")
def base() -> Nano:
    return Nano()


WINDOW: dict[str, Any] = {"frames": 9, "height": 64, "width": 64}
"""What nano was made for."""


def window_of_the_sample(model: Nano) -> Source:
    return vov.SignalData("sample", **WINDOW).load(model)


def flow_loss_of_the_sample(model: Nano) -> float:
    """Mean flow-matching loss on a fixed grid; predicting nothing at all has about 2."""
    source = window_of_the_sample(model)
    latents = model.encode(source.clip.first.signal.frames)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    velocity = model.velocity(source.caption)
    target = Target(latents, model.latent_weights(latents), noise, [], velocity, velocity)
    only = torch.zeros(1, dtype=torch.long)
    losses = [flow_losses(target, torch.tensor([t]), noise, only, torch.Generator()) for t in (0.1, 0.3, 0.5, 0.7, 0.9)]
    return torch.cat(losses).mean().item()


def test_the_transformer_was_trained(base):
    assert flow_loss_of_the_sample(base) < 1.1


def test_random_weights_would_be_noticed(base):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Nano.untrained(base.config)
    untrained.autoencoder = base.autoencoder
    assert flow_loss_of_the_sample(untrained) > 1.5


def test_the_autoencoder_was_trained(base):
    signal = window_of_the_sample(base).clip.target
    decoded = vov.Signal(base.decode(base.encode(signal.frames), signal.num_frames), signal.fps, "autoencoded")
    assert psnr_db(decoded, signal) > 26


@pytest.mark.slow
def test_a_short_fit_gains_decibels_over_the_unadapted_model(base, tmp_path):
    sampler = vov.SamplerConfig(steps=4)
    module = vov.VOVModule(base, objective=vov.Reconstruction(), sampler=sampler)
    stages = [vov.Unconstrained(60, learning_rate=0.03, warmup=5), vov.RateConstrained(20, learning_rate=0.01)]
    result = vov.fit(vov.SignalData("sample", **WINDOW), module, stages, tmp_path / "run", accelerator="cpu")
    (source,) = module.sources
    target = source.clip.target

    plain = build_file(base, source.clip.first, source.caption, torch.zeros(0), 1.0, vov.AdapterConfig(), sampler)
    unadapted_db = psnr_db(vov.decode(plain, base), target)
    assert result.metrics["psnr_db"] > unadapted_db + 2
    assert result.metrics["bpp"] == 8 * len(result.file.to_bytes()) / target.num_pixels
    assert torch.equal(vov.decode(vov.VovFile.open(result.path)).frames, result.decoded.frames)


@pytest.mark.parametrize(("attribute", "word"), [("brightness", "dark"), ("contrast", "contrasty")])
def test_one_word_changes_its_attribute_and_little_else(base, attribute, word):
    """It moves by half of what the word does to the unadapted model and more; the layout stays."""
    found = window_of_the_sample(base)
    source, caption = found.clip.first, found.caption
    plain = build_file(base, source, caption, torch.zeros(0), 1.0, vov.AdapterConfig(k=0), vov.SamplerConfig())
    file = steer(plain, base, source.signal, ScalingConfig(bits=4000))
    changed = ", ".join((parse(caption) | {attribute: word}).values())
    assert changed != caption

    def frames(of, prompt):
        return edit(of, base, prompt).frames

    def move(of):
        return levels(frames(of, changed))[attribute] - levels(frames(of, caption))[attribute]

    def likeness(one, other):
        return torch.corrcoef(torch.stack([clip.float().mean(1).flatten() for clip in (one, other)]))[0, 1]

    assert move(file) / move(plain) > 0.5
    edited, decoded, another = frames(file, changed), frames(file, caption), frames(plain, caption)
    assert likeness(edited, decoded) > 0.7 > 0.5 > likeness(another, decoded)


@pytest.mark.slow
def test_two_sources_of_one_vector_come_back_as_themselves(base, tmp_path):
    """Each is given the other's caption, so that captions alone would show the wrong one."""
    signal = window_of_the_sample(base).clip.target
    frames = {"first": signal.frames, "second": 255 - signal.frames.flip(3)}
    signals = {name: vov.Signal(frames, signal.fps, name) for name, frames in frames.items()}
    captions = [base.describe(one.frames) for one in reversed(signals.values())]
    members = [vov.SignalData.of(one, caption=words) for one, words in zip(signals.values(), captions, strict=True)]
    module = vov.VOVModule(
        base, vov.AdapterConfig(k=2048), objective=vov.Reconstruction(), sampler=vov.SamplerConfig(steps=2)
    )
    stages = [vov.Unconstrained(160, learning_rate=0.03, warmup=5), vov.RateConstrained(20, learning_rate=0.01)]
    result = vov.fit(vov.SignalData.joint(members), module, stages, tmp_path / "run", accelerator="cpu")
    for part in result.parts:
        distances = {name: psnr_db(part.decoded, one) for name, one in signals.items()}
        assert max(distances, key=distances.get) == part.metrics["name"].rpartition("/")[2]
