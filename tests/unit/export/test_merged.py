"""Merged weights are a transformer of diffusers' own whose velocity is the decoder's."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.wan import Wan13B
from vov_lightning.codec.decode import adapted
from vov_lightning.errors import ExportError
from vov_lightning.export import export_merged

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def load_into(base, folder, **options):
    """Put the written transformer in place of the base model's."""
    base._transformer = type(base.transformer).from_pretrained(folder, use_safetensors=True, **options)


def test_the_merged_transformer_computes_the_decoders_velocity(base, make_file, velocity_of, tmp_path):
    file, plain = make_file(base), velocity_of(base)
    before = {name: weight.clone() for name, weight in base.transformer.state_dict().items()}
    with adapted(base, file):
        expected = velocity_of(base)
    assert export_merged(file, base, tmp_path / "transformer", "cc-by-4.0") == 0
    assert all(torch.equal(weight, before[name]) for name, weight in base.transformer.state_dict().items())
    load_into(base, tmp_path / "transformer")
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)
    assert (expected - plain).abs().max() > 0.1
    with safe_open(tmp_path / "transformer" / "diffusion_pytorch_model.safetensors", framework="pt") as opened:
        assert (opened.metadata()["license"], opened.metadata()["format"]) == ("cc-by-4.0", "pt")


def test_large_models_are_written_in_shards(make_base, make_file, velocity_of, tmp_path):
    base = make_base(Nano)
    file = make_file(base)
    with adapted(base, file):
        expected = velocity_of(base)
    export_merged(file, base, tmp_path / "out", shard_size="100KB")
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"diffusion_pytorch_model-00001-of-{len(shards):05}.safetensors"
    weight_map = json.loads((tmp_path / "out" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    assert set(weight_map["weight_map"].values()) == set(shards)
    export_merged(make_file(base), base, tmp_path / "out", overwrite=True, shard_size="100KB")
    load_into(base, tmp_path / "out")
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)


def test_sixteen_bit_models_are_merged_in_float32_and_the_loss_is_stated(make_base, make_file, velocity_of, tmp_path):
    base, reference = make_base(Wan13B, torch.bfloat16), make_base(Wan13B)
    file = make_file(base)
    lost = export_merged(file, base, tmp_path / "out")
    merged = load_file(tmp_path / "out" / "diffusion_pytorch_model.safetensors")
    types = {name: tensor.dtype for name, tensor in merged.items()}
    assert types["blocks.0.attn1.to_q.weight"] == torch.float32
    assert types["blocks.0.attn1.norm_q.weight"] == torch.bfloat16

    for name, weight in base.transformer.state_dict().items():  # float32 arithmetic on the 16-bit values
        reference.transformer.state_dict()[name].copy_(weight)
    with adapted(reference, file_for(reference, file)):
        expected = velocity_of(reference)
    load_into(reference, tmp_path / "out", torch_dtype=torch.float32)
    torch.testing.assert_close(velocity_of(reference), expected, **CLOSE)
    assert 0 < lost < 0.1


def file_for(base, file):
    """``file`` as if it had been fitted on ``base``."""
    return replace(file, header=replace(file.header, base_fingerprint=base.fingerprint()))


def test_small_updates_of_sixteen_bit_weights_would_be_lost(make_base, make_file, tmp_path):
    base = make_base(Wan13B, torch.bfloat16)
    file = make_file(base)
    small = replace(file, header=replace(file.header, step=0.002))
    assert export_merged(small, base, tmp_path / "small") > 0.5 > export_merged(file, base, tmp_path / "large")


def test_a_folder_of_something_else_is_left_alone(make_base, make_file, tmp_path):
    base = make_base(Nano)
    (tmp_path / "diffusion_pytorch_model.bin").write_text("not ours")
    with pytest.raises(ExportError, match=r"holds diffusion_pytorch_model\.bin, which replacing"):
        export_merged(make_file(base), base, tmp_path, overwrite=True)


def test_a_transformer_that_is_none_of_diffusers_is_refused(make_base, make_file, tmp_path, monkeypatch):
    base = make_base(Nano)
    file, blocks = make_file(base), torch.nn.Module()
    blocks.blocks = base.transformer.blocks
    monkeypatch.setattr(type(base), "transformer", blocks)
    with pytest.raises(ExportError, match="none of diffusers', which loads no others; use peft"):
        export_merged(file, base, tmp_path / "out")
