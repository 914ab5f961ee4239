"""Edits of files of an untrained model: what they equal, and what is refused."""

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from support import weights_of
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.bitstream import VovFile
from vov_lightning.bitstream.segments import segment_seed
from vov_lightning.codec.build import build_file, without_vector
from vov_lightning.codec.decode import decode
from vov_lightning.codec.edit import EditConfig, edit, keeps_indices, merge
from vov_lightning.codec.scale import assemble
from vov_lightning.codec.steer import with_indices
from vov_lightning.errors import BaseModelError, BaseModelMismatchError, SettingError
from vov_lightning.flow import guide
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise, integrate
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.video import Fitted, Padding, Signal

pytestmark = pytest.mark.usefixtures("one_thread")

CAPTION = "red, moving left"
STEP = 0.25
SMALL = AdapterConfig(k=64, rank=1, targets=("attn1.to_q", "ffn.net.2"), seed=3)
LARGE = AdapterConfig(k=300, rank=3, targets=("attn1.to_q", "attn2.to_v"), seed=8)


def make_file(
    base: Nano, adapter: AdapterConfig = LARGE, guidance: float = 1.0, padding: Padding = Padding(), seed: int = 5
) -> VovFile:
    source = Fitted(Signal(torch.zeros(5, 3, 16, 24, dtype=torch.uint8), Fraction(25), "black"), padding)
    symbols = torch.randint(-6, 7, (adapter.k or 0,), generator=torch.Generator().manual_seed(adapter.rank))
    sampler = SamplerConfig(steps=3, seed=seed, guidance=guidance)
    return build_file(base, source, CAPTION, symbols, STEP, adapter, sampler)


def steered(file: VovFile) -> VovFile:
    return with_indices(file, (np.array([7, 130]), np.array([9])), ScalingConfig())


def updates(base: Nano, file: VovFile) -> dict[str, Tensor]:
    """``B A`` of each adapted layer, dense."""
    header = file.header
    layers = base.adapted_layers(base.mask_to_targets(header.targets))
    adapter = HashedLoRA(layers, header.rank, header.k, header.hash_seed)
    matrices = adapter.matrices(header.step * torch.tensor(file.symbols, dtype=torch.float32))
    return {name: b @ a for name, (a, b) in matrices.items()}


@pytest.fixture
def latents_of(monkeypatch: pytest.MonkeyPatch):
    """Latents behind what a call shows: rounding to bytes would hide small differences."""

    def run(base: Nano, call) -> Tensor:
        seen, original = [], base.decode
        with monkeypatch.context() as patch:
            patch.setattr(base, "decode", lambda latents, count: seen.append(latents) or original(latents, count))
            call()
        return seen[0]

    return run


class TestEqualsDecode:
    @pytest.mark.parametrize("guidance", [1.0, 2.0])
    def test_full_strength_under_the_own_caption(self, tiny_nano: Nano, guidance: float, latents_of) -> None:
        file = make_file(tiny_nano, guidance=guidance, padding=Padding(1, 3, 2))
        shown, decoded = edit(file, tiny_nano, CAPTION), decode(file, tiny_nano)
        assert torch.equal(shown.frames, decoded.frames)
        assert (shown.fps, shown.num_frames, shown.height, shown.width) == (Fraction(25), 4, 13, 22)
        edited = latents_of(tiny_nano, lambda: edit(file, tiny_nano, CAPTION))
        assert torch.equal(edited, latents_of(tiny_nano, lambda: decode(file, tiny_nano)))

    def test_with_indices(self, tiny_nano: Nano) -> None:
        file = steered(make_file(tiny_nano))
        assert torch.equal(edit(file, tiny_nano, CAPTION).frames, decode(file, tiny_nano).frames)

    def test_another_seed_and_number_of_steps(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        other = VovFile(dataclasses.replace(file.header, seed=6, steps=4), file.caption, file.symbols)
        shown = edit(file, tiny_nano, CAPTION, EditConfig(seed=6, steps=4))
        assert torch.equal(shown.frames, decode(other, tiny_nano).frames)

    def test_no_strength_is_the_unadapted_model(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        shown = edit(file, tiny_nano, CAPTION, EditConfig(strength=0))
        assert torch.equal(shown.frames, decode(without_vector(file), tiny_nano).frames)


def test_strength_mixes_velocities(tiny_nano: Nano, latents_of) -> None:
    file, prompt = make_file(tiny_nano), "blue, bright"
    found = latents_of(tiny_nano, lambda: edit(file, tiny_nano, prompt, EditConfig(strength=0.65)))
    x_t, plain = initial_noise(5, (16, 1, 2, 3)), tiny_nano.velocity(prompt)
    with torch.no_grad():
        for t, s in ((1.0, 6 / 7), (6 / 7, 0.6), (0.6, 0.0)):
            batch_t = torch.tensor([t])
            with merge([file], [1.0], tiny_nano):
                adapted = plain(x_t, batch_t)
            x_t = x_t + (s - t) * (plain(x_t, batch_t) + 0.65 * (adapted - plain(x_t, batch_t)))
    torch.testing.assert_close(found, x_t, rtol=1e-4, atol=1e-5)


def test_guidance_leads_away_from_the_unadapted_models_negative_prompt(tiny_nano: Nano, latents_of) -> None:
    file, negative = make_file(tiny_nano), "gray"
    config = EditConfig(guidance=3.0, negative_prompt=negative)
    found = latents_of(tiny_nano, lambda: edit(file, tiny_nano, "blue", config))
    unadapted = tiny_nano.velocity(negative)

    def adapted(x_t: Tensor, t: Tensor) -> Tensor:
        with merge([file], [1.0], tiny_nano):
            return tiny_nano.velocity("blue")(x_t, t)

    with torch.no_grad():
        times = SamplerConfig(steps=3).times().tolist()
        expected = integrate(guide(adapted, unadapted, 3.0), initial_noise(5, (16, 1, 2, 3)), times)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class TestMerge:
    def test_one_file_is_decode(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        assert torch.equal(edit([file], tiny_nano, CAPTION, weights=[1.0]).frames, decode(file, tiny_nano).frames)

    @pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, -1.5)])
    def test_files_that_differ_add_up(self, tiny_nano: Nano, weights: tuple[float, float]) -> None:
        files, before = [make_file(tiny_nano, SMALL), make_file(tiny_nano, LARGE)], weights_of(tiny_nano)
        expected = {name: tensor.clone() for name, tensor in before.items()}
        for file, weight in zip(files, weights, strict=True):
            for name, update in updates(tiny_nano, file).items():
                expected[f"_transformer.blocks.{name}.weight"] += weight * update
        with merge(files, list(weights), tiny_nano) as adapters:
            for name, tensor in tiny_nano.state_dict().items():
                torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
            with adapters[1].paused(), adapters[0].paused():
                for name, tensor in tiny_nano.state_dict().items():
                    assert torch.equal(tensor, before[name]), name
        for name, tensor in tiny_nano.state_dict().items():
            assert torch.equal(tensor, before[name]), name

    def test_sixteen_bit_weights_add_up_beside_the_layers(self, tiny_nano: Nano) -> None:
        files = [make_file(tiny_nano, SMALL), make_file(tiny_nano, LARGE)]
        transformer: Any = tiny_nano.transformer
        layer, name = transformer.blocks[0].attn1.to_q, "0.attn1.to_q"
        x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
        first, second = (updates(tiny_nano, file)[name] for file in files)
        fingerprint = tiny_nano.fingerprint()
        tiny_nano.to(torch.bfloat16)
        assert tiny_nano.fingerprint() == fingerprint
        plain = layer(x)
        with torch.no_grad(), merge(files, [0.5, 2.0], tiny_nano) as adapters:
            difference = (layer(x) - plain).float()
            with adapters[1].paused(), adapters[0].paused():
                assert torch.equal(layer(x), plain)
        torch.testing.assert_close(difference, x.float() @ (0.5 * first + 2.0 * second).T, rtol=0.05, atol=0.05)

    def test_another_base_is_refused(self, tiny_nano: Nano, tiny_nano_config: NanoConfig) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            other = Nano.untrained(tiny_nano_config)
        with pytest.raises(BaseModelMismatchError, match="fitted on base model nano@untrained"):
            edit([make_file(tiny_nano), make_file(other)], tiny_nano, CAPTION)

    def test_no_file_is_refused(self, tiny_nano: Nano) -> None:
        with pytest.raises(SettingError, match="for 0 files; give each file one finite number"):
            edit([], tiny_nano, CAPTION)

    @pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [1.0, float("nan")]])
    def test_a_weight_for_each_file(self, tiny_nano: Nano, weights: list[float]) -> None:
        with pytest.raises(SettingError, match=r"for 2 files; give each file one finite number"):
            edit([make_file(tiny_nano)] * 2, tiny_nano, CAPTION, weights=weights)


class TestSize:
    def test_another_size_comes_out(self, tiny_nano: Nano) -> None:
        file = steered(make_file(tiny_nano, padding=Padding(1, 3, 2)))
        shown = edit(file, tiny_nano, CAPTION, EditConfig(size=ClipSize(9, 32, 16)))
        assert (shown.num_frames, shown.height, shown.width) == (9, 32, 16)

    def test_padding_of_sides_that_stay_is_cut_off(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano, padding=Padding(1, 3, 2))
        longer = edit(file, tiny_nano, CAPTION, EditConfig(size=ClipSize(9, 16, 24)))
        assert (longer.num_frames, longer.height, longer.width) == (9, 13, 22)
        same = edit(file, tiny_nano, CAPTION, EditConfig(size=ClipSize(5, 16, 24)))
        assert torch.equal(same.frames, decode(file, tiny_nano).frames)

    def test_it_has_the_windows_and_blocks_of_a_file_of_that_size(self, tiny_nano_config: NanoConfig) -> None:
        base = Nano.untrained(dataclasses.replace(tiny_nano_config, context=1))
        file, size = make_file(base), ClipSize(27, 64, 96)
        source = Fitted(Signal(torch.zeros(27, 3, 64, 96, dtype=torch.uint8), Fraction(25), "black"), Padding())
        sampler = SamplerConfig(steps=3, seed=5)
        large = build_file(base, source, CAPTION, torch.tensor(file.symbols), STEP, LARGE, sampler)
        assert (file.header.window, large.header.context, large.header.deblock) == ((), 1, True)
        shown = edit(file, base, CAPTION, EditConfig(size=size)).frames
        assert torch.equal(shown, decode(large, base).frames)

    @pytest.mark.parametrize("frames", [-3, 0])
    def test_sizes_below_one_are_refused(self, tiny_nano: Nano, frames: int) -> None:
        with pytest.raises(BaseModelError, match=f"size {frames} x 16 x 24 does not suit"):
            edit(make_file(tiny_nano), tiny_nano, CAPTION, EditConfig(size=ClipSize(frames, 16, 24)))

    def test_strength_counts_where_weights_are_not_frozen(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        file = dataclasses.replace(file, header=dataclasses.replace(file.header, compute_dtype="bfloat16"))
        frozen = edit(file, tiny_nano, CAPTION, EditConfig(strength=0.5)).frames
        tiny_nano.requires_grad_(True)
        assert torch.equal(edit(file, tiny_nano, CAPTION, EditConfig(strength=0.5)).frames, frozen)

    def test_what_the_base_refuses_is_refused(self, tiny_nano: Nano) -> None:
        with pytest.raises(BaseModelError, match="size 9 x 31 x 16 does not suit base model nano"):
            edit(make_file(tiny_nano), tiny_nano, CAPTION, EditConfig(size=ClipSize(9, 31, 16)))

    def test_an_unknown_word_is_refused(self, tiny_nano: Nano) -> None:
        with pytest.raises(BaseModelError, match="caption word 'dragon' is not in nano's vocabulary"):
            edit(make_file(tiny_nano), tiny_nano, "a red dragon")


class TestIndices:
    def test_they_are_kept_under_another_prompt(self, tiny_nano: Nano) -> None:
        plain = make_file(tiny_nano)
        file = steered(plain)
        kept, dropped = (edit(file, tiny_nano, "blue", EditConfig(keep_steps=keep)).frames for keep in (None, 0))
        assert torch.equal(dropped, edit(plain, tiny_nano, "blue").frames)
        assert not torch.equal(kept, dropped)
        first = VovFile.single(file.header, file.caption, file.symbols, file.indices[:1])
        some = edit(file, tiny_nano, CAPTION, EditConfig(keep_steps=1)).frames
        assert torch.equal(some, decode(first, tiny_nano).frames)

    @pytest.mark.parametrize("config", [EditConfig(seed=6), EditConfig(steps=4), EditConfig(size=ClipSize(5, 16, 16))])
    def test_they_are_dropped_where_they_do_not_apply(self, tiny_nano: Nano, config: EditConfig) -> None:
        plain = make_file(tiny_nano)
        file = steered(plain)
        assert not keeps_indices(file, config)
        assert torch.equal(edit(file, tiny_nano, "blue", config).frames, edit(plain, tiny_nano, "blue", config).frames)
        with pytest.raises(SettingError, match="keep_steps=1: the file's index bits cannot be kept, another seed"):
            edit(file, tiny_nano, "blue", dataclasses.replace(config, keep_steps=1))

    def test_a_segment_may_have_none(self, tiny_nano: Nano) -> None:
        plain = make_file(tiny_nano)
        parts = [steered(plain), plain]
        file = assemble(plain, parts)
        seeds = [segment_seed(5, number) for number in range(2)]
        assert [len(segment.indices) for segment in file.segments] == [2, 0]
        shown = edit(file, tiny_nano, CAPTION, EditConfig(keep_steps=2)).frames
        own = [
            dataclasses.replace(part, header=dataclasses.replace(part.header, seed=seed))
            for part, seed in zip(parts, seeds, strict=True)
        ]
        assert torch.equal(shown, torch.cat([decode(part, tiny_nano).frames for part in own]))

    def test_settings_that_repeat_the_files_own_keep_them(self, tiny_nano: Nano) -> None:
        config = EditConfig(seed=5, steps=3, size=ClipSize(5, 16, 24))
        assert keeps_indices(steered(make_file(tiny_nano)), config)

    def test_a_file_without_any_has_none_to_keep(self, tiny_nano: Nano) -> None:
        with pytest.raises(SettingError, match="cannot be kept, it has none"):
            edit(make_file(tiny_nano), tiny_nano, "blue", EditConfig(keep_steps=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": float("nan")}, "strength=nan is no number"),
        ({"seed": -1}, "seed=-1 is outside"),
        ({"guidance": -2.0}, "guidance=-2.0 is no number from 0 on"),
        ({"negative_prompt": "gray"}, "negative_prompt='gray' does nothing with guidance=None"),
        ({"keep_steps": -1}, "keep_steps=-1 is below 0"),
        ({"stop_at": 1.0}, r"stop_at=1\.0 is outside"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        EditConfig(**settings)


def test_the_samplers_own_settings_are_checked(tiny_nano: Nano) -> None:
    with pytest.raises(SettingError, match="steps=0"):
        edit(make_file(tiny_nano), tiny_nano, CAPTION, EditConfig(steps=0))
