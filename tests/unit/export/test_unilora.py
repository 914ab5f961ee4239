"""The vector as PEFT's Uni-LoRA: the same velocity from k numbers, with our index map or theirs."""

import json

import pytest
import torch
from peft import PeftModel, UniLoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.codec.decode import adapted
from vov_lightning.export import export_unilora

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("scheme", ["v1", "unilora_numpy"])
def test_peft_computes_the_decoders_velocity(base, make_file, velocity_of, tmp_path, recwarn, scheme):
    file, plain = make_file(base, scheme=scheme), velocity_of(base)
    with adapted(base, file):
        expected = velocity_of(base)
    export_unilora(file, base, tmp_path / "adapter")
    PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    assert not [warning for warning in recwarn if "adapter" in str(warning.message)]  # nothing missing or unknown
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)
    assert (expected - plain).abs().max() > 0.1


@pytest.mark.parametrize("scheme", ["v1", "unilora_numpy"])
def test_on_sixteen_bit_weights_it_is_the_same_to_their_rounding(make_base, make_file, velocity_of, tmp_path, scheme):
    base = make_base(Wan13B, torch.bfloat16)
    file, plain = make_file(base, scheme=scheme), velocity_of(base)
    with adapted(base, file):
        expected = velocity_of(base)
    export_unilora(file, base, tmp_path / "adapter")
    PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    error, change = ((other - expected).square().mean().sqrt() for other in (velocity_of(base), plain))
    assert error < 0.05 * change


def test_plain_lora_is_a_vector_too(make_base, make_file, velocity_of, tmp_path):
    base = make_base(Nano)
    k = sum(2 * (layer.in_features + layer.out_features) for layer in base.adapted_layers(base.target_kinds).values())
    file = make_file(base, scheme="lora", k=k)
    with adapted(base, file):
        expected = velocity_of(base)
    assert export_unilora(file, base, tmp_path / "adapter")
    PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)


def test_the_authors_map_needs_no_indices(make_base, make_file, tmp_path):
    base = make_base(Wan13B)
    file = make_file(base, scheme="unilora_numpy")
    assert not export_unilora(file, base, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert list(tensors) == ["base_model.unilora_theta_d"]
    assert torch.equal(tensors["base_model.unilora_theta_d"], 0.5 * torch.tensor(file.symbols))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["proj_seed"], config["theta_d_length"], config["save_indices"]) == (5, 200, False)


def test_where_peft_walks_the_layers_in_another_order_the_map_is_stored(make_base, make_file, tmp_path):
    base = make_base(QwenImage)
    assert export_unilora(make_file(base, scheme="unilora_numpy"), base, tmp_path / "all")
    assert not export_unilora(
        make_file(base, scheme="unilora_numpy", targets=base.default_targets), base, tmp_path / "default"
    )


def test_names_and_types_are_those_that_peft_writes(make_base, make_file, tmp_path):
    base = make_base(Nano)
    assert export_unilora(make_file(base), base, tmp_path / "ours", "cc-by-4.0")
    names = json.loads((tmp_path / "ours" / "adapter_config.json").read_text())["target_modules"]
    config = UniLoraConfig(r=2, theta_d_length=200, target_modules=names, save_indices=True)
    get_peft_model(base.transformer, config).save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / kind / "adapter_model.safetensors") for kind in ("ours", "theirs"))
    shapes = [{name: (tensor.shape, tensor.dtype) for name, tensor in found.items()} for found in (ours, theirs)]
    assert shapes[0] == shapes[1]
    with safe_open(tmp_path / "ours" / "adapter_model.safetensors", framework="pt") as opened:
        assert opened.metadata()["license"] == "cc-by-4.0"
