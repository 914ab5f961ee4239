"""The whole way through a file, on an untrained model: what decoding depends on, and what it leaves alone."""

import dataclasses
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
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
from vov_lightning.bitstream.header import ComputeDtype, HashScheme
from vov_lightning.codec.build import build_file, without_vector
from vov_lightning.codec.decode import adapted, decode
from vov_lightning.codec.steer import with_indices
from vov_lightning.errors import BaseModelError, BaseModelMismatchError, BitstreamError
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise, integrate
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.video import Fitted, Padding, Signal

pytestmark = pytest.mark.usefixtures("one_thread")

K = 300
STEP = 0.25
CAPTION = "red, moving left"
SAMPLER = SamplerConfig(steps=3, seed=5)


def make_file(
    base: Nano, sampler: SamplerConfig = SAMPLER, padding: Padding = Padding(), adapter: AdapterConfig | None = None
) -> VovFile:
    """A file of random symbols, large enough to change the clip visibly."""
    frames = torch.zeros(5, 3, 16, 24, dtype=torch.uint8)
    source = Fitted(Signal(frames, Fraction(30000, 1001), "black"), padding)
    adapter = adapter or AdapterConfig(k=K, rank=2, targets=("attn1.to_q", "attn1.to_out.0", "ffn.net.2"), seed=3)
    symbols = torch.randint(-6, 7, (adapter.k or 0,), generator=torch.Generator().manual_seed(0))
    return build_file(base, source, CAPTION, symbols, STEP, adapter, sampler)


def assert_unchanged(base: Nano, before: dict[str, Tensor]) -> None:
    for name, tensor in base.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.fixture
def decode_twofold(monkeypatch: pytest.MonkeyPatch) -> Callable[[VovFile, Nano], tuple[Tensor, Tensor]]:
    """`decode`'s frames, and the latents behind them: rounding to bytes would hide small differences."""

    def run(file: VovFile, base: Nano) -> tuple[Tensor, Tensor]:
        seen, original = [], base.decode
        with monkeypatch.context() as patch:
            patch.setattr(base, "decode", lambda latents, count: seen.append(latents) or original(latents, count))
            frames = decode(file, base).frames
        return seen[0], frames

    return run


@pytest.fixture
def decoded_latents(
    decode_twofold: Callable[[VovFile, Nano], tuple[Tensor, Tensor]],
) -> Callable[[VovFile, Nano], Tensor]:
    return lambda file, base: decode_twofold(file, base)[0]


def test_a_file_decodes_as_before_it_became_bytes(tiny_nano: Nano) -> None:
    file = make_file(tiny_nano)
    read = VovFile.from_bytes(file.to_bytes())
    assert read == file
    before, after = decode(file, tiny_nano), decode(read, tiny_nano)
    assert torch.equal(after.frames, before.frames)
    assert after.fps == before.fps == Fraction(30000, 1001)
    assert (after.num_frames, after.height, after.width) == (5, 16, 24)


def test_the_file_says_all_that_the_encoder_chose(tiny_nano: Nano) -> None:
    sampler = SamplerConfig(steps=4, shift=2.5, guidance=1.5, seed=9, compute_dtype="bfloat16")
    header = make_file(tiny_nano, sampler, Padding(frames=2, height=3, width=1)).header
    assert (header.base_name, header.base_revision) == ("nano", "untrained")
    assert header.names_model("nano", tiny_nano.fingerprint())
    assert (header.frames, header.height, header.width) == (3, 13, 23)
    assert (header.pad_frames, header.pad_height, header.pad_width) == (2, 3, 1)
    assert (header.k, header.rank, header.step, header.hash_seed) == (K, 2, STEP, 3)
    assert tiny_nano.mask_to_targets(header.targets) == ("attn1.to_q", "attn1.to_out.0", "ffn.net.2")
    assert (header.steps, header.grid, header.shift, header.guidance) == (4, "shifted", 2.5, 1.5)
    assert (header.seed, header.compute_dtype) == (9, "bfloat16")


def test_no_targets_means_the_base_models_default(tiny_nano: Nano) -> None:
    file = make_file(tiny_nano, adapter=AdapterConfig(k=K, rank=2))
    assert tiny_nano.mask_to_targets(file.header.targets) == tiny_nano.default_targets


def test_decoding_equals_the_steps_written_out(
    tiny_nano: Nano, decoded_latents: Callable[[VovFile, Nano], Tensor]
) -> None:
    file = make_file(tiny_nano)
    found = decoded_latents(file, tiny_nano)
    transformer: Any = tiny_nano.transformer
    layers = {
        f"{block}.{kind}": transformer.blocks[block].get_submodule(kind)
        for block in (0, 1)
        for kind in ("attn1.to_q", "attn1.to_out.0", "ffn.net.2")
    }
    HashedLoRA(layers, rank=2, k=K, seed=3).attach(STEP * torch.tensor(file.symbols, dtype=torch.float32))
    with torch.no_grad():
        x_t = initial_noise(seed=5, shape=(16, 1, 2, 3))
        for t, s in ((1.0, 6 / 7), (6 / 7, 0.6), (0.6, 0.0)):  # 3 r / (1 + 2 r) at r = 1, 2/3, 1/3, 0
            x_t = x_t + (s - t) * tiny_nano.velocity(CAPTION)(x_t, torch.tensor([t]))
    # Attached and merged updates round differently in float32.
    torch.testing.assert_close(found, x_t, rtol=1e-4, atol=1e-5)


def test_the_vector_the_caption_and_the_seed_reach_the_clip(
    tiny_nano: Nano, decoded_latents: Callable[[VovFile, Nano], Tensor]
) -> None:
    file = make_file(tiny_nano)
    others = [
        VovFile(file.header, file.caption, file.symbols[::-1]),  # not their negative: (-B)(-A) = B A
        VovFile(file.header, "", file.symbols),
        VovFile(dataclasses.replace(file.header, seed=6), file.caption, file.symbols),
        VovFile(dataclasses.replace(file.header, hash_seed=4), file.caption, file.symbols),
        VovFile(dataclasses.replace(file.header, guidance=2.0), file.caption, file.symbols),
    ]
    latents = decoded_latents(file, tiny_nano)
    for other in others:
        assert float((decoded_latents(other, tiny_nano) - latents).abs().max()) > 1e-4


def test_a_second_reader_finds_a_and_b_of_plain_lora_in_the_symbols(tiny_nano: Nano) -> None:
    num_entries = 2 * 2 * (64 + 64)
    adapter = AdapterConfig(k=num_entries, rank=2, targets=("attn1.to_q",), seed=3, scheme="lora")
    file = VovFile.from_bytes(make_file(tiny_nano, adapter=adapter).to_bytes())
    assert (file.header.hash_scheme, file.header.hash_seed, file.header.k) == ("lora", 0, num_entries)
    numbers = iter(STEP * file.symbols)
    before = weights_of(tiny_nano)
    with adapted(tiny_nano, file):
        for block in (0, 1):
            a, b = (np.array([next(numbers) for _ in range(2 * 64)]).reshape(shape) for shape in ((2, 64), (64, 2)))
            name = f"_transformer.blocks.{block}.attn1.to_q.weight"
            expected = before[name] + torch.from_numpy(b @ a).float()
            torch.testing.assert_close(tiny_nano.state_dict()[name], expected, rtol=1e-5, atol=1e-6)
    assert_unchanged(tiny_nano, before)


@pytest.mark.parametrize(("scheme", "k"), [("v1", 10**6), ("unilora_numpy", 10**6), ("lora", K)])
def test_a_vector_of_another_length_than_the_model_takes_is_refused(
    tiny_nano: Nano, scheme: HashScheme, k: int
) -> None:
    header = dataclasses.replace(make_file(tiny_nano).header, hash_seed=0, hash_scheme=scheme, k=k)
    with pytest.raises(BitstreamError, match=rf"vector does not fit the base model: k={k} .*D="):
        decode(VovFile(header, CAPTION, np.zeros(k, np.int32)), tiny_nano)


def test_a_file_without_a_vector_decodes_to_the_unadapted_models_clip(tiny_nano: Nano) -> None:
    file = without_vector(make_file(tiny_nano))
    signal = decode(VovFile.from_bytes(file.to_bytes()), tiny_nano)
    noise = initial_noise(5, tiny_nano.latent_shape(ClipSize(5, 16, 24)))
    latents = integrate(tiny_nano.velocity(CAPTION), noise, SAMPLER.times().tolist())
    assert torch.equal(signal.frames, tiny_nano.decode(latents, 5))


def test_zero_symbols_equal_no_vector(tiny_nano: Nano, decoded_latents: Callable[[VovFile, Nano], Tensor]) -> None:
    file = make_file(tiny_nano)
    zeros = VovFile(file.header, file.caption, 0 * file.symbols)
    assert torch.equal(decoded_latents(zeros, tiny_nano), decoded_latents(without_vector(file), tiny_nano))


def test_padding_is_cut_off(tiny_nano: Nano) -> None:
    whole = decode(make_file(tiny_nano), tiny_nano)
    cut = decode(make_file(tiny_nano, padding=Padding(frames=2, height=3, width=1)), tiny_nano)
    assert torch.equal(cut.frames, whole.frames[:3, :, :13, :23])


def test_stopping_early_reaches_the_sampler(tiny_nano: Nano) -> None:
    file = make_file(tiny_nano)
    steps: list[tuple[float, float]] = []

    def progress(pairs: Iterable) -> Iterable:
        steps.extend(pairs)
        return pairs

    full = decode(file, tiny_nano, progress=progress)
    assert len(steps) == 3
    stopped = decode(file, tiny_nano, stop_at=0.9)  # at 6/7; stopping at the last time before 0 is the whole grid
    assert not torch.equal(stopped.frames, full.frames)


class TestWrongBase:
    def test_other_weights_are_refused(self, tiny_nano: Nano, tiny_nano_config: NanoConfig) -> None:
        file = make_file(tiny_nano)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            other = Nano.untrained(tiny_nano_config)
        message = (
            rf"fitted on base model nano@untrained \({tiny_nano.fingerprint()[:4].hex()}\), "
            rf"loaded is nano@untrained \({other.fingerprint()[:4].hex()}\)"
        )
        with pytest.raises(BaseModelMismatchError, match=message):
            decode(file, other)

    def test_another_name_is_refused(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        renamed = VovFile(dataclasses.replace(file.header, base_name="pico"), file.caption, file.symbols)
        with pytest.raises(BaseModelMismatchError, match="fitted on base model pico@untrained"):
            decode(renamed, tiny_nano)

    def test_names_that_are_not_registered_are_refused(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        renamed = VovFile(dataclasses.replace(file.header, base_name="pico"), file.caption, file.symbols)
        with pytest.raises(BaseModelError, match="base model 'pico' is not registered"):
            decode(renamed)

    def test_sizes_that_the_model_cannot_take_are_refused(self, tiny_nano: Nano) -> None:
        file = make_file(tiny_nano)
        odd = VovFile(dataclasses.replace(file.header, height=17), file.caption, file.symbols)
        with pytest.raises(BaseModelError, match="size 5 x 17 x 24 does not suit base model nano"):
            decode(odd, tiny_nano)


class TestTheModelAfterwards:
    def test_decoding_leaves_the_weights_as_they_were(self, tiny_nano: Nano) -> None:
        before = weights_of(tiny_nano)
        decode(make_file(tiny_nano), tiny_nano)
        assert_unchanged(tiny_nano, before)

    def test_adapted_changes_the_named_layers_within_its_block_only(self, tiny_nano: Nano) -> None:
        before = weights_of(tiny_nano)
        with adapted(tiny_nano, make_file(tiny_nano)):
            changed = {name for name, tensor in tiny_nano.state_dict().items() if not torch.equal(tensor, before[name])}
        kinds = ("attn1.to_q", "attn1.to_out.0", "ffn.net.2")
        assert changed == {f"_transformer.blocks.{block}.{kind}.weight" for block in (0, 1) for kind in kinds}
        assert_unchanged(tiny_nano, before)

    def test_adapted_changes_nothing_without_a_vector(self, tiny_nano: Nano) -> None:
        before = weights_of(tiny_nano)
        with adapted(tiny_nano, without_vector(make_file(tiny_nano))):
            assert_unchanged(tiny_nano, before)

    def test_an_interrupted_decode_restores_the_weights(self, tiny_nano: Nano) -> None:
        before = weights_of(tiny_nano)

        def interrupt(_: Iterable) -> Iterable:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            decode(make_file(tiny_nano), tiny_nano, progress=interrupt)
        assert_unchanged(tiny_nano, before)


class TestPrecision:
    """A file decodes in its own precision, whatever the caller works in."""

    @pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
    @pytest.mark.parametrize("guidance", [1.0, 2.0])
    def test_an_outer_autocast_changes_nothing(
        self,
        tiny_nano: Nano,
        decode_twofold: Callable[[VovFile, Nano], tuple[Tensor, Tensor]],
        compute_dtype: ComputeDtype,
        guidance: float,
    ) -> None:
        file = make_file(tiny_nano, SamplerConfig(steps=2, compute_dtype=compute_dtype, guidance=guidance))
        latents, frames = decode_twofold(file, tiny_nano)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents_within, frames_within = decode_twofold(file, tiny_nano)
        assert torch.equal(latents_within, latents)
        assert torch.equal(frames_within, frames)

    def test_the_files_precision_is_used(
        self, tiny_nano: Nano, decoded_latents: Callable[[VovFile, Nano], Tensor]
    ) -> None:
        full, half = (
            decoded_latents(make_file(tiny_nano, SamplerConfig(steps=2, compute_dtype=dtype)), tiny_nano)
            for dtype in ("float32", "bfloat16")
        )
        assert half.dtype == full.dtype == torch.float32
        assert 0 < float((half - full).abs().max()) < 0.1


def test_decoding_needs_neither_lightning_nor_wandb_nor_captioners() -> None:
    program = """
import sys
import vov_lightning.bases.nano.model, vov_lightning.cli.decode, vov_lightning.cli.info, vov_lightning.codec.decode
loaded = {name.partition(".")[0] for name in sys.modules} & {"lightning", "pytorch_lightning", "wandb"}
print(sorted(loaded | {name for name in sys.modules if name.startswith("vov_lightning.captioners")}))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("shift", [1e9, 1e-20])
def test_a_grid_that_stands_still_is_refused(tiny_nano: Nano, shift: float) -> None:
    file = without_vector(make_file(tiny_nano))
    hostile = VovFile(dataclasses.replace(file.header, shift=shift, steps=25))
    with pytest.raises(BitstreamError, match=r"the file's sampler cannot run: shift=.* times that do not fall"):
        decode(hostile, tiny_nano)


def test_many_groups_of_many_candidates_stay_small_in_memory(tiny_nano: Nano) -> None:
    """The largest codebook that a file may name, for as many groups as the limits allow."""
    config = ScalingConfig(index_bits=20)
    file = without_vector(make_file(tiny_nano))
    hostile = with_indices(file, (np.zeros(12, np.int64),), config)
    tracemalloc.start()
    decode(VovFile.from_bytes(hostile.to_bytes()), tiny_nano)
    assert tracemalloc.get_traced_memory()[1] < 2**27  # NumPy's share; torch works in chunks of the same size
    tracemalloc.stop()


def test_the_size_is_checked_once_on_the_way(tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (np.zeros(1, np.int64),) * (SAMPLER.steps - 1)
    file = with_indices(make_file(tiny_nano), steps, ScalingConfig(index_bits=4))
    sizes, check = [], Nano.check_size
    monkeypatch.setattr(Nano, "check_size", lambda self, size: sizes.append(size) or check(self, size))
    decode(file, tiny_nano)
    assert sizes == [ClipSize(5, 16, 24)]
