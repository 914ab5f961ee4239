"""What PEFT and diffusers make of an exported adapter is what the decoder computes."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vov_lightning.bases import BaseModel
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import adapted, decode
from vov_lightning.errors import BaseModelMismatchError, ExportError
from vov_lightning.export import export_diffusers, export_native, export_peft, lora_matrices
from vov_lightning.sampling.sampler import initial_noise

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def expected(base, make_file, velocity_of):
    """The decoder's velocity, once it is found to be another than the base model's."""
    plain = velocity_of(base)
    with adapted(base, make_file(base)):
        found = velocity_of(base)
    assert (found - plain).abs().max() > 0.1
    return found


def pipeline_of(base: BaseModel) -> diffusers.DiffusionPipeline:
    """Diffusers' pipeline around the transformer; `nano` is a Wan in miniature and has none of its own."""
    name = getattr(base, "pipeline_name", "WanPipeline")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    parts = {"tokenizer": None, "text_encoder": None, "vae": getattr(base, "vae", None), "scheduler": scheduler}
    return getattr(diffusers, name)(transformer=base.transformer, **parts)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_peft_computes_the_decoders_velocity(base, expected, make_file, velocity_of, tmp_path, recwarn):
    export_peft(make_file(base), base, tmp_path / "adapter")
    PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    assert not [warning for warning in recwarn if "adapter" in str(warning.message)]  # nothing missing or unknown
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)


def test_a_diffusers_pipeline_computes_the_decoders_velocity(base, expected, make_file, velocity_of, tmp_path):
    path = tmp_path / "lora" / "pytorch_lora_weights.safetensors"
    export_diffusers(make_file(base), base, path)
    for place in (path, path.parent):  # the file, or the folder as a repository on the hub
        pipeline = pipeline_of(base)
        pipeline.load_lora_weights(str(place))
        torch.testing.assert_close(velocity_of(base), expected, **CLOSE)
        pipeline.unload_lora_weights()
        assert not torch.allclose(velocity_of(base), expected, **CLOSE)


@pytest.mark.parametrize("family", [Wan13B, Wan22TI2V5B, LTXVideo], ids=lambda family: family.name)
def test_native_names_come_back_through_diffusers_converters(family, make_base, make_file, velocity_of, tmp_path):
    base, path = make_base(family), tmp_path / "native.safetensors"
    file = make_file(base)
    plain = velocity_of(base)
    with adapted(base, file):
        expected = velocity_of(base)
    export_native(file, base, path)
    pipeline_of(base).load_lora_weights(str(path))
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)
    assert (expected - plain).abs().max() > 0.1
    assert metadata_of(path)["k"] == "200"


def test_native_names_are_the_authors(make_base, make_file, tmp_path):
    base, path = make_base(Wan13B), tmp_path / "native.safetensors"
    export_native(make_file(base), base, path)
    tensors = load_file(path)
    for layer in ("self_attn.q", "cross_attn.o", "ffn.0", "ffn.2"):
        name = f"diffusion_model.blocks.1.{layer}"
        assert tensors[f"{name}.lora_A.weight"].shape[0] == tensors[f"{name}.lora_B.weight"].shape[1] == 2
        assert tensors[f"{name}.alpha"] == 2
    assert len(tensors) == 3 * len(base.adapted_layers(base.target_kinds))
    base = make_base(Nano)
    with pytest.raises(
        ExportError, match="authors' names of layers are not known for base model nano; use diffusers or peft"
    ):
        export_native(make_file(base), base, tmp_path / "nano.safetensors")


@pytest.mark.parametrize("scheme", ["unilora_numpy", "lora"])
def test_every_scheme_is_exported(make_base, make_file, velocity_of, tmp_path, scheme):
    base = make_base(Nano)
    k = sum(2 * (layer.in_features + layer.out_features) for layer in base.adapted_layers(base.target_kinds).values())
    file = make_file(base, scheme=scheme, k=k if scheme == "lora" else 200)
    with adapted(base, file):
        expected = velocity_of(base)
    export_peft(file, base, tmp_path / "adapter")
    PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    torch.testing.assert_close(velocity_of(base), expected, **CLOSE)


@pytest.mark.parametrize("kind", ["peft", "diffusers"])
def test_on_sixteen_bit_weights_it_is_the_same_to_their_rounding(make_base, make_file, velocity_of, tmp_path, kind):
    base = make_base(Wan13B, torch.bfloat16)
    file, plain = make_file(base), velocity_of(base)
    with adapted(base, file):
        expected = velocity_of(base)
    if kind == "peft":
        export_peft(file, base, tmp_path / "adapter")
        PeftModel.from_pretrained(base.transformer, tmp_path / "adapter")
    else:
        export_diffusers(file, base, tmp_path / "adapter.safetensors")
        pipeline_of(base).load_lora_weights(str(tmp_path / "adapter.safetensors"))
    error, change = ((other - expected).square().mean().sqrt() for other in (velocity_of(base), plain))
    assert error < 0.05 * change  # 0 through diffusers, which rounds the LoRA as the decoder does; 0.02 through PEFT


WITHOUT_US = """
import sys, torch, diffusers
from peft import PeftModel
from safetensors.torch import load_file, save_file
folder, sigmas = sys.argv[1], [float(word) for word in sys.argv[2:]]
inputs, shown = load_file(f"{folder}/inputs.safetensors"), {}
for kind in ("diffusers", "peft"):
    pipeline = diffusers.WanPipeline.from_pretrained(f"{folder}/pipeline", tokenizer=None, text_encoder=None)
    if kind == "diffusers":
        pipeline.load_lora_weights(f"{folder}/lora.safetensors")
    else:
        PeftModel.from_pretrained(pipeline.transformer, f"{folder}/adapter")
    original = pipeline.scheduler.set_timesteps
    pipeline.scheduler.set_timesteps = lambda *_, device=None, **__: original(sigmas=sigmas, device=device)
    pipeline.set_progress_bar_config(disable=True)
    shown[kind] = pipeline(prompt_embeds=inputs["states"], latents=inputs["noise"], height=64, width=96, num_frames=5,
                           num_inference_steps=len(sigmas), guidance_scale=1.0, output_type="pt").frames[0]
assert not [name for name in sys.modules if name.startswith("vov_lightning")]
save_file(shown, f"{folder}/shown.safetensors")
"""


def test_a_process_without_this_package_shows_the_clip(make_base, make_file, size_of, tmp_path):
    base = make_base(Wan13B)
    file = make_file(base)
    pipeline_of(base).save_pretrained(tmp_path / "pipeline")
    noise = initial_noise(file.header.seed, base.latent_shape(size_of(base)))
    save_file({"noise": noise, **base.embed(file.caption)}, tmp_path / "inputs.safetensors")
    export_diffusers(file, base, tmp_path / "lora.safetensors")
    export_peft(file, base, tmp_path / "adapter")
    header = json.loads(metadata_of(tmp_path / "lora.safetensors")["vov_header"])
    steps, shift = header["steps"], header["shift"]
    times = [1 - step / steps for step in range(steps)]
    sigmas = [str(shift * time / (1 + (shift - 1) * time)) for time in times]
    subprocess.run([sys.executable, "-c", WITHOUT_US, str(tmp_path), *sigmas], check=True, cwd=tmp_path)

    ours, shown = decode(file, base).frames.float(), load_file(tmp_path / "shown.safetensors")
    for frames in shown.values():
        assert (ours - 255 * frames).abs().max() < 0.51  # theirs before rounding
    plain = decode(
        replace(
            file,
            header=replace(file.header, k=0, step=1.0, targets=1, rank=1, hash_seed=0),
            symbols=np.zeros(0, np.int32),
        ),
        base,
    ).frames.float()
    assert (ours - plain).abs().max() > 2  # the LoRA is seen


class TestMetadata:
    @pytest.mark.parametrize("kind", ["peft", "diffusers"])
    def test_licence_and_provenance_are_in_the_header(self, make_base, make_file, tmp_path, kind):
        base = make_base(Wan13B)
        file = make_file(base)
        if kind == "peft":
            export_peft(file, base, tmp_path / "out", "cc-by-4.0")
            found = metadata_of(tmp_path / "out" / "adapter_model.safetensors")
        else:
            export_diffusers(file, base, tmp_path / "out.safetensors", "cc-by-4.0")
            found = metadata_of(tmp_path / "out.safetensors")
        header = json.loads(found.pop("vov_header"))
        assert (header["frames"], header["height"], header["width"], header["seed"]) == (5, 64, 96, 0)
        assert found.pop("generator").startswith("vov_lightning ")
        assert found == {
            "format": "pt",
            "license": "cc-by-4.0",
            "base_model": "wan2.1-t2v-1.3b",
            "base_model_repository": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            "base_model_revision": "untrained",
            "base_model_fingerprint": base.fingerprint().hex(),
            "vov_sha256": hashlib.sha256(file.to_bytes()).hexdigest(),
            "caption": "red, moving left",
            "rank": "2",
            "k": "200",
        }

    def test_without_a_licence_it_is_unknown_and_index_bits_are_said_to_be_left_out(
        self, make_base, make_file, tmp_path
    ):
        base = make_base(Nano)
        file = make_file(base)
        header = replace(file.header, kernel="ancestral", eta=1.0)
        steered = VovFile.single(header, file.caption, file.symbols, (np.array([1, 2]), np.array([3])))
        export_diffusers(steered, base, tmp_path / "out.safetensors")
        found = metadata_of(tmp_path / "out.safetensors")
        assert found["license"] == "unknown"
        assert found["left_out"].startswith("the index bits of 2 denoising steps")
        assert "base_model_repository" not in found

    def test_peft_is_told_base_model_rank_and_layers(self, make_base, make_file, tmp_path):
        base = make_base(Wan13B)
        export_peft(make_file(base, k=100, targets=("attn1.to_q",)), base, tmp_path / "out")
        config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        assert config["revision"] is None  # random weights are no commit
        assert (config["r"], config["lora_alpha"]) == (2, 2)
        assert config["target_modules"] == ["blocks.0.attn1.to_q", "blocks.1.attn1.to_q"]


class TestRefused:
    def test_a_file_without_a_vector(self, make_base, make_file, tmp_path):
        base = make_base(Nano)
        with pytest.raises(ExportError, match=r"holds no vector \(k=0\).*fit one with --model\.adapter\.k 4096"):
            export_peft(make_file(base, k=0), base, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_another_base_model(self, make_base, make_file):
        with pytest.raises(BaseModelMismatchError, match="fitted on base model nano@untrained"):
            lora_matrices(make_file(make_base(Nano)), make_base(Wan13B))

    def test_an_existing_target_unless_told(self, make_base, make_file, tmp_path):
        base = make_base(Nano)
        first, second = make_file(base), make_file(base, seed=6)
        for export, name in ((export_peft, "folder"), (export_diffusers, "file.safetensors")):
            export(first, base, tmp_path / name)
            with pytest.raises(ExportError, match=f"{name} exists; choose another name or set overwrite"):
                export(second, base, tmp_path / name)
            export(second, base, tmp_path / name, overwrite=True)
            written = tmp_path / name if name == "file.safetensors" else tmp_path / name / "adapter_model.safetensors"
            assert metadata_of(written)["vov_sha256"] == hashlib.sha256(second.to_bytes()).hexdigest()

    def test_a_folder_with_something_else_in_it(self, make_base, make_file, tmp_path):
        base = make_base(Nano)
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(ExportError, match=r"holds thesis\.tex, which replacing the folder would delete"):
            export_peft(make_file(base), base, tmp_path, overwrite=True)
        assert (tmp_path / "thesis.tex").exists()

    def test_a_name_that_no_pipeline_would_load(self, make_base, make_file, tmp_path):
        base = make_base(Nano)
        with pytest.raises(ExportError, match=r"out does not end in \.safetensors; try .*pytorch_lora_weights"):
            export_diffusers(make_file(base), base, tmp_path / "out")

    def test_a_transformer_that_is_none_of_diffusers(self, make_base, make_file, tmp_path, monkeypatch):
        base = make_base(Nano)
        file, blocks = make_file(base), torch.nn.Module()
        blocks.blocks = base.transformer.blocks
        monkeypatch.setattr(type(base), "transformer", blocks)
        with pytest.raises(ExportError, match="the transformer of nano is none of diffusers', so no pipeline loads it"):
            export_diffusers(file, base, tmp_path / "out.safetensors")

    @pytest.mark.parametrize("licence", ["", "MIT License", "a\nb", "x" * 65])
    def test_a_licence_that_is_no_identifier(self, make_base, make_file, tmp_path, licence):
        base = make_base(Nano)
        with pytest.raises(ExportError, match=r"is not an identifier such as apache-2\.0"):
            export_peft(make_file(base), base, tmp_path / "out", licence)
