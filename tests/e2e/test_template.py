"""The template package of docs/new-base-model.md, installed as a user would, and used by its registered name."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from vov_lightning.bases.contract import check_contract
from vov_lightning.errors import BaseModelError
from vov_lightning.vector.adapter import HashedLoRA

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parents[2] / "docs" / "template"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder that the template is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "-q"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", folder, TEMPLATE], check=True)
    return folder


def test_its_name_is_registered_and_its_contract_kept(installed: Path) -> None:
    paths = [str(installed), *(path for path in sys.path if path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = "import sys; from vov_lightning.cli import info; sys.exit(info.main(['--check', 'hunyuan-video']))"
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 11


def test_both_lists_of_blocks_are_adapted(installed: Path, monkeypatch, one_thread) -> None:
    monkeypatch.syspath_prepend(installed)
    from vov_hunyuan_video import HunyuanVideo

    torch.manual_seed(0)
    base = HunyuanVideo.untrained()
    assert [finding for finding in check_contract(base) if finding.problem] == []
    layers = base.adapted_layers(("attn.to_q", "attn.to_out.0", "proj_out"))
    assert list(layers) == [
        "transformer_blocks.0.attn.to_q",
        "transformer_blocks.0.attn.to_out.0",
        "single_transformer_blocks.0.attn.to_q",
        "single_transformer_blocks.0.proj_out",
    ]
    for name, layer in layers.items():
        assert base.transformer.get_submodule(base.layer_path(name)) is layer
    x_t = torch.randn(1, *base.latent_shape(base.nearest_size(base.default_size)))[:, :, :2, :4, :4]
    for part in ("transformer_blocks", "single_transformer_blocks"):  # each list alone changes the velocity
        some = {name: layer for name, layer in layers.items() if name.startswith(part)}
        velocity = base.velocity("a")
        plain = velocity(x_t, torch.tensor([0.5]))
        adapter = HashedLoRA(some, 1, 10, seed=0)
        with adapter.merged(torch.ones(10)):
            assert (velocity(x_t, torch.tensor([0.5])) - plain).abs().max() > 1e-4


def test_both_text_encoders_are_loaded(installed: Path, tmp_path, monkeypatch, one_thread) -> None:
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from vov_hunyuan_video import HunyuanVideo

    torch.manual_seed(0)
    base, folder = HunyuanVideo.untrained(), tmp_path / "weights"
    base.transformer.save_pretrained(folder / "transformer")
    base.vae.save_pretrained(folder / "vae")
    sizes: dict[str, Any] = {"vocab_size": 8, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    llama = transformers.LlamaConfig(hidden_size=16, **sizes)
    clip = transformers.CLIPTextConfig(hidden_size=8, projection_dim=8, eos_token_id=2, **sizes)
    transformers.LlamaModel(llama).save_pretrained(folder / "text_encoder")
    words = {"[PAD]": 0, "[UNK]": 1, "red": 3, "blue": 4}
    model = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    for part in ("tokenizer", "tokenizer_2"):
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]")
        tokenizer.save_pretrained(folder / part)
    with pytest.raises(BaseModelError, match=r"lacks text_encoder_2/config\.json.*tokenizer_2/"):
        HunyuanVideo(str(folder), dtype="float32")
    transformers.CLIPTextModel(clip).save_pretrained(folder / "text_encoder_2")
    loaded = HunyuanVideo(str(folder), dtype="float32")
    red, blue = loaded.embed("red"), loaded.embed("blue")
    assert {name: tuple(tensor.shape)[-1] for name, tensor in red.items()} == {"states": 16, "pooled": 8, "mask": 256}
    for name in ("states", "pooled"):
        assert not torch.equal(red[name], blue[name])
    before = loaded.fingerprint()
    (folder / "tokenizer_2" / "merges.txt").write_text("another")
    assert HunyuanVideo(str(folder), dtype="float32").fingerprint() != before
