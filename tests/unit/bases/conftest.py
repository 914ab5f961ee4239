"""The hub's families at tiny random sizes, and folders that hold one as its repository on the hub would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from vov_lightning.bases.flux2 import Flux2KleinBase4B
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bases.z_image import ZImage

FAMILIES = [Wan13B, Wan22TI2V5B, QwenImage, LTXVideo, HunyuanVideo15, ZImage, Flux2KleinBase4B]
WORDS = ["a", "red", "ball", "rolls", ",", "slowly", "Describe", "image", "the"]
CHAT_TEMPLATE = "{{ 'the ' * 108 }}{{ messages[-1]['content'] }}"
"""As long before the caption as HunyuanVideo-1.5's, which its pipeline cuts off by number."""


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def family(request) -> type[HubModel]:
    return request.param


@pytest.fixture
def base(family: type[HubModel]) -> HubModel:
    """An untrained model of a test's own, the same in every test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = family.untrained()
        if isinstance(model, Flux2KleinBase4B):  # its statistics come with the weights
            model.vae.bn.running_mean.uniform_(-1, 1)
            model.vae.bn.running_var.uniform_(0.5, 2)
        return model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(base: HubModel, tmp_path: Path, save_weights: Callable[[HubModel, Path], None]) -> Path:
    """The model as a repository on the hub would hold it, with a text encoder and tokenizer as tiny as itself."""
    save_weights(base, tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def save_weights() -> Callable[[HubModel, Path], None]:
    """``save_weights(base, folder)``, in the hub's layout."""

    def save(base: HubModel, folder: Path) -> None:
        transformer: Any = base.transformer
        transformer.save_pretrained(folder / "transformer")
        base.vae.save_pretrained(folder / "vae")
        encoders = {"text_encoder": base.text_encoder_name, **base.more_text_encoders}
        with torch.random.fork_rng():
            torch.manual_seed(1)
            for part, name in encoders.items():
                tokenizer().save_pretrained(folder / part.replace("text_encoder", "tokenizer"))
                width = "text_embed_2_dim" if part == "text_encoder_2" else base.embedding_width
                text_encoder(name, transformer.config[width]).save_pretrained(folder / part)

    return save


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", *WORDS]
    model = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]", chat_template=CHAT_TEMPLATE
    )


def text_encoder(name: str, width: int) -> Any:
    """An encoder of class ``name`` whose states have ``width`` entries."""
    t5: dict[str, Any] = {"vocab_size": 32, "d_model": width, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 2}
    qwen: dict[str, Any] = {
        "vocab_size": 32,
        "hidden_size": width,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    qwen3: dict[str, Any] = {**qwen, "head_dim": 8}
    axes: dict[str, Any] = {
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": width}
    configs: dict[str, Callable[[], Any]] = {
        "T5EncoderModel": lambda: transformers.T5Config(**t5),
        "UMT5EncoderModel": lambda: transformers.UMT5Config(**t5),
        "Qwen3Model": lambda: transformers.Qwen3Config(**qwen3),
        # FLUX.2 takes the states behind layers 9, 18 and 27 side by side.
        "Qwen3ForCausalLM": lambda: transformers.Qwen3Config(
            **{**qwen3, "hidden_size": width // 3, "num_hidden_layers": 28}
        ),
        "Qwen2_5_VLTextModel": lambda: transformers.Qwen2_5_VLTextConfig(**qwen, **axes),
        "Qwen2_5_VLForConditionalGeneration": lambda: transformers.Qwen2_5_VLConfig(
            text_config={**qwen, **axes}, vision_config=vision
        ),
    }
    return getattr(transformers, name)(configs[name]())
