"""A Qwen2.5-VL of 100,000 weights, fitted here to name a colour: the whole path from pixels to text, for real.

Not covered: downloading from the hub (no network in tests), the size of real models, CUDA.
"""

import sys

import pytest
import torch
from torch.nn import functional as F

from vov_lightning.captioners import LocalCaptioner
from vov_lightning.captioners import local as local_module
from vov_lightning.errors import CaptionError, SettingError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIAL += ["<|video_pad|>"]
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>\
{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PROMPT = "Colour?"
ANSWERS = {"A red wall.": (220, 30, 30), "A blue sky.": (30, 30, 220)}


def clip(colour, frames=5):
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(frames, 3, 56, 56)


def tiny_processor(transformers):
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = {piece: index for index, piece in enumerate([*sorted(ByteLevel.alphabet()), *SPECIAL])}
    tokenizer = transformers.Qwen2TokenizerFast(
        vocab=vocabulary, merges=[], eos_token="<|im_end|>", extra_special_tokens=SPECIAL[1:]
    )
    images = transformers.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=56 * 56)
    return transformers.Qwen2_5_VLProcessor(
        images, tokenizer, transformers.Qwen2VLVideoProcessor(), chat_template=TEMPLATE
    )


def tiny_model(transformers, tokens):
    text = {
        "vocab_size": len(tokens),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "bos_token_id": tokens["<|endoftext|>"],
        "eos_token_id": tokens["<|im_end|>"],
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
    }
    ids = {f"{name}_token_id": tokens[f"<|{name}|>"] for name in ("vision_start", "vision_end")}
    ids |= {"image_token_id": tokens["<|image_pad|>"], "video_token_id": tokens["<|video_pad|>"]}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of a model that answers `PROMPT` on two frames with one of `ANSWERS`."""
    import transformers  # takes seconds

    path = tmp_path_factory.mktemp("vlm")
    processor = tiny_processor(transformers)
    asking = LocalCaptioner(str(path), prompt=PROMPT, frames=2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tiny_model(transformers, processor.tokenizer.get_vocab())
        chats = []
        for answer, colour in ANSWERS.items():
            question = asking._content(local_module.spread_pictures(clip(colour), 2))
            reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
            chats.append([{"role": "user", "content": question}, reply])
        batch = processor.apply_chat_template(chats, tokenize=True, return_dict=True, return_tensors="pt")
        replies = max(map(len, ANSWERS)) + 2  # answers are as long as each other; <|im_end|> and a line break follow
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(200):
            logits = model(**batch).logits[:, -replies - 1 : -1]
            loss = F.cross_entropy(logits.flatten(0, 1), batch["input_ids"][:, -replies:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loss < 0.01:
                break
    torch.set_num_threads(threads)
    processor.save_pretrained(path)
    model.save_pretrained(path)
    return path


@pytest.fixture
def captioner(folder, one_thread):
    return lambda **settings: LocalCaptioner(str(folder), **{"prompt": PROMPT, "frames": 2, **settings})


@pytest.mark.parametrize("answer", ANSWERS)
def test_says_what_the_frames_show(answer, captioner):
    assert captioner().caption(clip(ANSWERS[answer])) == answer


def test_every_picture_is_shown(captioner, monkeypatch):
    shown = []
    load = LocalCaptioner._load

    def spy(self):
        processor, model = load(self)
        generate = model.generate
        model.generate = lambda **inputs: shown.append(inputs) or generate(**inputs)
        return processor, model

    monkeypatch.setattr(LocalCaptioner, "_load", spy)
    captioner(frames=2).caption(clip(ANSWERS["A red wall."]))
    assert len(shown[0]["image_grid_thw"]) == 2
    assert shown[0]["do_sample"] is False


def test_cut_off_reply_is_refused(captioner):
    frames = clip(ANSWERS["A red wall."])
    with pytest.raises(CaptionError, match="cut off at max_tokens=11"):
        captioner(max_tokens=11).caption(frames)
    assert captioner(max_tokens=12).caption(frames) == "A red wall."  # 11 letters and the end


def test_global_generator_is_left_alone(captioner):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    captioner().caption(clip(ANSWERS["A red wall."]))
    assert torch.equal(torch.get_rng_state(), before)


def test_precision(captioner):
    assert captioner(dtype="bfloat16")._load()[1].dtype == torch.bfloat16


def test_weights_that_could_run_code_are_not_loaded(folder, captioner, tmp_path):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(captioner()._load()[1].state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CaptionError, match=r"the folder .* cannot be loaded .*\.safetensors"):
        LocalCaptioner(str(tmp_path)).caption(clip((1, 2, 3)))


def test_code_of_the_model_is_not_run(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoProcessor": "mine.Config"}}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(CaptionError, match="cannot be loaded"):
        LocalCaptioner(str(tmp_path)).caption(clip((1, 2, 3)))
    assert not (tmp_path / "ran").exists()


def test_model_that_is_not_here(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CaptionError, match=f"nobody/nothing@{COMMIT} cannot be loaded"):
        LocalCaptioner("nobody/nothing", COMMIT).caption(clip((1, 2, 3)))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingError, match=r'needs transformers .*; pip install "transformers>=5"'):
        LocalCaptioner().caption(clip((1, 2, 3)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "somebody/vlm"}, r"revision=None does not pin model=somebody/vlm; .* 40 hexadecimal"),
        ({"model": "somebody/vlm", "revision": "main"}, "revision=main does not pin"),
        ({"model": ".", "revision": COMMIT}, "is a folder; leave it out"),
        ({"max_tokens": 0}, "max_tokens=0 is below 1"),
        ({"frames": 0}, "frames=0 is below 1"),
        ({"prompt": ""}, "prompt is empty"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(SettingError, match=message):
        LocalCaptioner(**settings).caption(clip((1, 2, 3)))


def test_pinned_models():
    default = LocalCaptioner()
    commit = local_module.pinned_revision(default.model, default.revision)
    assert commit == "cc594898137f460bfe9f0759e9844b3ce807cfb5"
    assert local_module.pinned_revision("somebody/vlm", COMMIT) == COMMIT
