"""Learned directions: what a vector does to the layers, and that no other dictionary is taken for the file's."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import random_dictionary, random_tensor

from vov_lightning.bases.nano.model import DICTIONARY, Nano
from vov_lightning.bitstream import Header, VovFile
from vov_lightning.bitstream.wire import write_varint
from vov_lightning.codec.decode import adapted, decode
from vov_lightning.errors import BaseModelError, BaseModelMismatchError, BitstreamError, SettingError
from vov_lightning.vector.adapter import HashedLoRA
from vov_lightning.vector.dictionary import Dictionary

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def nano(tiny_nano: Nano, tmp_path: Path) -> Nano:
    """A model with a dictionary beside its weights."""
    tiny_nano.save(tmp_path)
    save_file(random_dictionary(tiny_nano), tmp_path / DICTIONARY)
    return Nano(str(tmp_path))


def file_of(nano: Nano, symbols: list[int], **more) -> VovFile:
    assert nano.dictionary is not None
    header = Header(
        base_name="nano",
        base_revision=nano.revision,
        base_fingerprint=nano.fingerprint(),
        frames=1,
        height=16,
        width=16,
        fps=Fraction(1),
        steps=2,
        k=len(symbols),
        step=0.5,
        hash_scheme="dictionary",
        hash_seed=nano.dictionary.digest,
    )
    return VovFile(dataclasses.replace(header, **more), "", np.array(symbols, np.int32))


def test_a_second_reader_finds_the_layers_weights(nano: Nano, tmp_path: Path) -> None:
    """``W + B diag(start + mix v) A``, from the tensors of the file; numbers that a vector lacks are 0."""
    tensors = {name: tensor.float() for name, tensor in random_dictionary(nano).items()}
    layers = nano.adapted_layers(nano.default_targets)
    before = {name: layer.weight.clone() for name, layer in layers.items()}
    with adapted(nano, file_of(nano, [1, -2])):
        for name, layer in layers.items():
            mix = tensors[f"{name}.mix"]
            weights = tensors[f"{name}.start"] + 0.5 * mix[:, 0] - 1.0 * mix[:, 1]
            update = tensors[f"{name}.lora_B"] @ torch.diag(weights) @ tensors[f"{name}.lora_A"]
            torch.testing.assert_close(layer.weight, before[name] + update, rtol=1e-5, atol=1e-6)


def test_the_longest_vector_and_a_shorter_one_agree(nano: Nano) -> None:
    layers = nano.adapted_layers(nano.default_targets)
    vector = random_tensor(3)
    whole = HashedLoRA(layers, 1, None, 0, "dictionary", nano.dictionary)
    assert nano.dictionary is not None
    assert whole.projection.k == nano.dictionary.longest == 2 * len(layers)
    short, long = (whole.matrices(one) for one in (vector, torch.cat([vector, torch.zeros(5)])))
    for name in layers:
        torch.testing.assert_close(short[name], long[name])


def test_gradients_reach_every_number(nano: Nano) -> None:
    adapter = HashedLoRA(nano.adapted_layers(nano.default_targets), 1, 4, 0, "dictionary", nano.dictionary)
    vector = random_tensor(4).requires_grad_()
    adapter.attach(vector)
    nano.velocity("")(random_tensor(1, *nano.latent_shape(nano.default_size)), torch.tensor([0.5])).sum().backward()
    assert vector.grad is not None
    assert bool((vector.grad != 0).all())


def test_a_file_costs_two_bytes_for_its_dictionary(nano: Nano) -> None:
    file = file_of(nano, [1, -2])
    assert VovFile.from_bytes(file.to_bytes()).header == file.header
    assert nano.dictionary is not None
    assert len(write_varint(nano.dictionary.digest)) <= 2


def test_a_fit_in_bfloat16_weighs_as_the_decoder_does(nano: Nano) -> None:
    assert nano.dictionary is not None
    projection = nano.dictionary.projection(nano.adapted_layers(nano.default_targets), 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = projection(random_tensor(4))
    assert torch.equal(found, projection(random_tensor(4)))


def test_the_past_as_a_decoder_shows_it_keeps_its_variance(nano: Nano) -> None:
    """Of every channel, at any rate; the same numbers from the same generator."""
    nano.autoencoder.gain.copy_(torch.linspace(0.5, 2.0, len(nano.autoencoder.gain)))
    nano.autoencoder.spread.copy_(nano.autoencoder.gain.square())
    latents = nano.autoencoder.gain.view(-1, 1, 1, 1) * random_tensor(64, len(nano.autoencoder.gain), 2, 8, 8)
    shown, again, other = (nano.as_decoded(latents, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(shown, again)
    assert not torch.equal(shown, other)
    torch.testing.assert_close(shown.std((0, 2, 3, 4)), nano.autoencoder.gain, rtol=0.05, atol=0)


def test_another_dictionary_is_refused(nano: Nano, tiny_nano: Nano) -> None:
    file = file_of(nano, [1])
    with pytest.raises(BaseModelMismatchError, match=r"dictionary \d+ of nano untrained, and loaded is none"):
        decode(file, tiny_nano)
    assert nano.dictionary is not None
    other = dataclasses.replace(file.header, hash_seed=file.header.hash_seed ^ 1)
    with pytest.raises(BaseModelMismatchError, match=f"loaded is {nano.dictionary.digest};"):
        decode(dataclasses.replace(file, header=other), nano)


def test_the_digest_changes_with_an_entry(nano: Nano, tmp_path: Path) -> None:
    tensors = random_dictionary(nano)
    next(iter(tensors.values()))[0] += 0.5
    save_file(tensors, tmp_path / "other.safetensors")
    assert nano.dictionary is not None
    assert Dictionary.load(tmp_path / "other.safetensors").digest != nano.dictionary.digest


@pytest.mark.parametrize("more", [{"rank": 2}, {"targets": 3}])
def test_what_a_dictionary_says_itself_is_refused_in_a_header(nano: Nano, more: dict[str, int]) -> None:
    with pytest.raises(BitstreamError, match="a dictionary has layers and a rank of its own"):
        file_of(nano, [1], **more)


def test_bad_settings_are_refused(nano: Nano, tiny_nano: Nano) -> None:
    layers = nano.adapted_layers(nano.default_targets)
    with pytest.raises(SettingError, match="scheme=dictionary, and the base model has no dictionary"):
        HashedLoRA(layers, 1, None, 0, "dictionary", tiny_nano.dictionary)
    with pytest.raises(SettingError, match=rf"k=99 is not between 1 and {2 * len(layers)}"):
        HashedLoRA(layers, 1, 99, 0, "dictionary", nano.dictionary)
    some = nano.adapted_layers(nano.default_targets[:1])
    with pytest.raises(SettingError, match=f"{len(some)} layers are adapted, and the dictionary is of {len(layers)}"):
        HashedLoRA(some, 1, None, 0, "dictionary", nano.dictionary)


def test_a_damaged_dictionary_is_named(tiny_nano: Nano, tmp_path: Path) -> None:
    tiny_nano.save(tmp_path)
    (tmp_path / DICTIONARY).write_bytes(b"nothing")
    with pytest.raises(BaseModelError, match=f"the dictionary cannot be read from .*{DICTIONARY}"):
        Nano(str(tmp_path))
