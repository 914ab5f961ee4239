"""The hub's families at tiny random sizes, compared with diffusers' own pipelines and PEFT's LoRA."""

import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from diffusers.guiders import ClassifierFreeGuidance
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.flux2 import Flux2KleinBase4B
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bases.z_image import ZImage
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import adapted, decode, sample, velocity_field
from vov_lightning.codec.settings import steering_of
from vov_lightning.codec.steer import steer
from vov_lightning.errors import BaseModelError, SettingError
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.sampling.steering import Replay
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.video import Fitted, Padding, Signal

CAPTION = 'a "red" ball rolls, slowly'  # what is quoted goes to HunyuanVideo-1.5's second encoder too
STEPS = 4
SAMPLER = SamplerConfig(steps=STEPS)

pytestmark = pytest.mark.usefixtures("one_thread")


def size_of(base: HubModel) -> ClipSize:
    frames = 1 if base.max_frames == 1 else 1 + base.temporal_factor
    return ClipSize(frames, 64, 96)


def frames_of(base: HubModel) -> Tensor:
    size = size_of(base)
    shape = (size.frames, 3, size.height, size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain_file(base: HubModel, sampler: SamplerConfig = SAMPLER) -> VovFile:
    """A file without a vector: the base model's own clip."""
    source = Fitted(Signal(frames_of(base), Fraction(16), "noise"), Padding())
    return build_file(base, source, CAPTION, torch.zeros(0), 1.0, AdapterConfig(k=0), sampler)


def pipeline_of(base: HubModel, folder: Path, scheduler: Any, sampler: SamplerConfig) -> Any:
    """Diffusers' pipeline of the same weights on the sampler's times."""
    sigmas = sampler.times()[:-1].double().numpy()
    original = scheduler.set_timesteps
    scheduler.set_timesteps = lambda *_, device=None, **__: original(sigmas=sigmas.copy(), device=device)
    parts = {"vae": base.vae, "scheduler": scheduler, **MORE_PARTS.get(type(base), {})}
    parts["transformer"] = base.transformer_class.from_pretrained(folder / "transformer")
    for part, name in {"text_encoder": base.text_encoder_name, **base.more_text_encoders}.items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        parts[tokenizer] = transformers.AutoTokenizer.from_pretrained(folder / tokenizer)
        parts[part] = getattr(transformers, name).from_pretrained(folder / part)
    pipeline = getattr(diffusers, base.pipeline_name)(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run_pipeline(base: HubModel, pipeline: Any, noise: Tensor) -> Tensor:
    """Frames [T, 3, H, W] in [0, 1] from ``noise``."""
    size = size_of(base)
    arguments = {"height": size.height, "width": size.width, "num_inference_steps": STEPS, "output_type": "pt"}
    arguments |= ARGUMENTS[type(base)] | {"latents": PACKED.get(type(base), lambda _, x: x)(pipeline, noise)}
    if base.max_frames != 1:
        arguments["num_frames"] = size.frames
    with pytest.MonkeyPatch.context() as patch:
        # Pipelines hand their sigmas through a function that looks at the signature of the patched method.
        patch.setattr(
            sys.modules[type(pipeline).__module__], "retrieve_timesteps", partial(timesteps_of, pipeline), raising=False
        )
        found = pipeline(prompt=CAPTION, **arguments)
    return found.images if base.max_frames == 1 else found.frames[0]


ARGUMENTS: dict[type, dict[str, Any]] = {
    Wan13B: {"guidance_scale": 1.0},
    Wan22TI2V5B: {"guidance_scale": 1.0},
    QwenImage: {"true_cfg_scale": 1.0},
    LTXVideo: {"guidance_scale": 1.0, "frame_rate": 25},
    HunyuanVideo15: {},
    ZImage: {"guidance_scale": 0.0},
    Flux2KleinBase4B: {"guidance_scale": 1.0},
}
"""Of each pipeline, so that it guides nothing."""
MORE_PARTS: dict[type, dict[str, Any]] = {
    Wan22TI2V5B: {"expand_timesteps": True},
    HunyuanVideo15: {"guider": ClassifierFreeGuidance(guidance_scale=1.0)},
}
PACKED: dict[type, Callable[[Any, Tensor], Tensor]] = {
    QwenImage: lambda pipeline, x: pipeline._pack_latents(x[:, :, 0], 1, x.shape[1], *x.shape[3:]),
    LTXVideo: lambda pipeline, x: pipeline._pack_latents(x),
    ZImage: lambda _, x: x[:, :, 0],
    Flux2KleinBase4B: lambda _, x: x[:, :, 0],
}


def timesteps_of(pipeline: Any, *_: Any, **__: Any) -> tuple[Tensor, int]:
    pipeline.scheduler.set_timesteps(device="cpu")
    return pipeline.scheduler.timesteps, STEPS


class TestAgainstPipelines:
    def test_the_unadapted_decoder_shows_the_pipelines_clip(self, base: HubModel, folder: Path, cache: Path) -> None:
        loaded = type(base)(str(folder), dtype="float32")
        ours = decode(plain_file(loaded), loaded).frames
        noise = initial_noise(SAMPLER.seed, base.latent_shape(size_of(base)))
        theirs = run_pipeline(
            base, pipeline_of(base, folder, diffusers.FlowMatchEulerDiscreteScheduler(), SAMPLER), noise
        )
        difference = (ours.float() - 255 * theirs).abs()
        assert ours.float().std() > 1  # a picture, not one colour
        assert difference.max() < 0.51  # theirs before rounding

    def test_unipc_is_the_pipelines_default(self, tmp_path: Path, cache: Path, save_weights: Callable) -> None:
        torch.manual_seed(0)
        base, sampler = Wan13B.untrained(), SamplerConfig(steps=STEPS, scheduler="unipc")
        save_weights(base, tmp_path / "weights")
        loaded = Wan13B(str(tmp_path / "weights"), dtype="float32")
        scheduler = diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0
        )
        noise = initial_noise(sampler.seed, base.latent_shape(size_of(base)))
        theirs = run_pipeline(base, pipeline_of(base, tmp_path / "weights", scheduler, sampler), noise)
        ours = decode(plain_file(loaded, sampler), loaded).frames
        assert (ours.float() - 255 * theirs).abs().max() < 0.51
        assert not torch.equal(ours, decode(plain_file(loaded), loaded).frames)

    def test_latents_are_normalised_as_in_the_pipeline(self, base: HubModel) -> None:
        frames = frames_of(base)
        pixels = (frames.float() / 127.5 - 1).transpose(0, 1)[None]
        raw = base._encode_pixels(pixels)
        config = base.vae.config
        if isinstance(base, LTXVideo):
            base.vae.latents_mean.uniform_(-1, 1)
            base.vae.latents_std.uniform_(0.5, 2)
            theirs = diffusers.LTXPipeline._normalize_latents(
                raw, base.vae.latents_mean, base.vae.latents_std, config.scaling_factor
            )
        elif isinstance(base, HunyuanVideo15):
            theirs = raw * config.scaling_factor
        elif isinstance(base, ZImage):  # the inverse of what the pipeline does before it decodes
            theirs = (raw - config.shift_factor) * config.scaling_factor
        elif isinstance(base, Flux2KleinBase4B):
            pipeline: Any = diffusers.Flux2KleinPipeline(None, base.vae, None, None, None)
            theirs = pipeline._encode_vae_image(pixels[:, :, 0], None).unsqueeze(2)
        else:
            mean, std = (
                torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std)
            )
            theirs = (raw - mean) * (1 / std)
        latents = base.encode(frames)
        torch.testing.assert_close(latents, theirs, rtol=1e-5, atol=1e-5)
        mean, std = base._statistics()
        torch.testing.assert_close(latents * std + mean, raw, rtol=1e-5, atol=1e-5)


class TestAdapted:
    @pytest.fixture
    def predict(self, base: HubModel) -> Callable[[], Tensor]:
        shape = base.latent_shape(size_of(base))
        x_t = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
        return lambda: base.velocity(CAPTION)(x_t, torch.tensor([0.3, 0.9]))

    @pytest.fixture
    def adapter(self, base: HubModel) -> HashedLoRA:
        return HashedLoRA(base.adapted_layers(base.target_kinds), 2, 200, seed=0)

    def test_equals_pefts_lora_of_the_projected_matrices(
        self, base: HubModel, adapter: HashedLoRA, predict: Callable[[], Tensor]
    ) -> None:
        vector = torch.randn(200, generator=torch.Generator().manual_seed(0))
        matrices, plain = adapter.matrices(vector), predict()
        adapter.attach(vector)
        ours = predict()
        adapter.detach()
        assert torch.equal(predict(), plain)
        with adapter.merged(vector):
            torch.testing.assert_close(predict(), ours, rtol=1e-4, atol=1e-5)
        paths = {base.layer_path(name): pair for name, pair in matrices.items()}
        config = LoraConfig(r=2, lora_alpha=2, lora_dropout=0.0, target_modules=list(paths))
        inject_adapter_in_model(config, base.transformer)
        for path, (lora_a, lora_b) in paths.items():
            layer: Any = base.transformer.get_submodule(path)
            layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data = lora_a.clone(), lora_b.clone()
        torch.testing.assert_close(predict(), ours, rtol=1e-4, atol=1e-5)
        assert (ours - plain).abs().max() > 0.03

    def test_sixteen_bit_weights_decode_what_was_fitted(self, family: type[HubModel]) -> None:
        base = family.untrained(dtype=torch.bfloat16)
        adapter = AdapterConfig(k=200, rank=2)
        symbols = torch.randint(-3, 4, (200,), generator=torch.Generator().manual_seed(0))
        source = Fitted(Signal(frames_of(base), Fraction(16), "noise"), Padding())
        sampler = SamplerConfig(steps=2, compute_dtype="bfloat16")
        file = build_file(base, source, CAPTION, symbols, 0.002, adapter, sampler)
        x_t, t = torch.randn(1, *base.latent_shape(size_of(base))), torch.tensor([0.5])
        plain = base.velocity(CAPTION)(x_t, t)
        hashed = HashedLoRA(base.adapted_layers(base.default_targets), 2, 200, seed=0)
        hashed.attach(0.002 * symbols)
        fitted = base.velocity(CAPTION)(x_t, t)
        hashed.detach()
        with adapted(base, file):
            decoded = base.velocity(CAPTION)(x_t, t)
        assert torch.equal(decoded, fitted)
        assert torch.equal(base.velocity(CAPTION)(x_t, t), plain)
        with pytest.raises(SettingError, match="compute_dtype=float32, but the weights of"):
            build_file(base, source, CAPTION, symbols, 0.002, adapter, SamplerConfig())

    def test_weights_compute_in_their_own_type(self, family: type[HubModel]) -> None:
        base = family.untrained(dtype=torch.bfloat16)
        x_t, t = torch.randn(1, *base.latent_shape(size_of(base))), torch.tensor([0.5])
        plain, types = base.velocity(CAPTION)(x_t, t), []
        layer = next(iter(base.adapted_layers(base.default_targets).values()))
        layer.register_forward_pre_hook(
            lambda _, given: types.append((given[0].dtype, torch.is_autocast_enabled("cpu")))
        )
        own = velocity_field(base, CAPTION, SamplerConfig(compute_dtype="weights"))(x_t, t)
        velocity_field(base, CAPTION, SamplerConfig(compute_dtype="bfloat16"))(x_t, t)
        assert torch.equal(own, plain)
        assert types[0] == (torch.bfloat16, False)
        assert types[1][1]  # autocast, whose result may be the same at this size

    def test_checkpointing_leaves_the_gradient_as_it_is(
        self, base: HubModel, adapter: HashedLoRA, predict: Callable[[], Tensor]
    ) -> None:
        vector = torch.randn(200, generator=torch.Generator().manual_seed(0), requires_grad=True)

        def gradient() -> Tensor:
            adapter.attach(vector)
            (found,) = torch.autograd.grad(predict().square().sum(), vector)
            adapter.detach()
            return found

        expected, calls = gradient(), []
        blocks = list(base.blocks().values())
        transformer: Any = base.transformer
        for block in (blocks[0], blocks[-1]):
            block.register_forward_pre_hook(lambda *_: calls.append("forward"))
        transformer.enable_gradient_checkpointing()
        torch.testing.assert_close(gradient(), expected, rtol=1e-4, atol=1e-5)
        assert len(calls) == 4  # once more during backward


class TestFiles:
    def test_a_file_names_tiling_and_is_decoded_so(self, base: HubModel) -> None:
        base.use_vae_tiling(True)
        file = VovFile.from_bytes(plain_file(base).to_bytes())
        assert file.header.vae_tiling
        base.use_vae_tiling(False)
        decode(file, base)
        assert not base.vae_tiling
        assert not base.vae.use_tiling

    def test_indices_steer_every_family(self, base: HubModel) -> None:
        source = Signal(frames_of(base), Fraction(16), "noise")
        file = plain_file(base, SamplerConfig(steps=8))
        scaled = steer(file, base, source, ScalingConfig(bits=2000, allocation="even"))
        clean = base.encode(source.frames)
        indices = [torch.from_numpy(step) for step in scaled.indices]
        replay = Replay(steering_of(scaled.header), scaled.header.seed, indices)
        distances = [(sample(file, base, steering) - clean).square().mean() for steering in (None, replay)]
        assert distances[1] < 0.8 * distances[0]

    def test_unipc_takes_no_indices(self, base: HubModel) -> None:
        file = plain_file(base, SamplerConfig(steps=8, scheduler="unipc"))
        with pytest.raises(SettingError, match="scheduler=unipc takes no indices"):
            steer(file, base, Signal(frames_of(base), Fraction(16), "noise"), ScalingConfig(bits=100))


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(BaseModelError, match=r"frames must be 1 \+ a multiple of 4, height a.*; nearest: 9 frames of"):
        Wan13B.untrained().check_size(ClipSize(8, 64, 64))
    with pytest.raises(BaseModelError, match=r"4097 frames do not .* which takes 4093; nearest: 4093 frames of 64x64"):
        Wan13B.untrained().check_size(ClipSize(4097, 64, 64))
