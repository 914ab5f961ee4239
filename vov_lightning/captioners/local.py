"""A caption from a vision-language model on this machine, through Hugging Face's transformers.

The code path is Qwen2.5-VL's (https://arxiv.org/abs/2502.13923), which other
chat models with pictures share: processor, chat template, greedy decoding. A
model from the hub is pinned to a commit, its weights are safetensors, and no
code that comes with it is run.
"""

import re
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from vov_lightning.bitstream.header import FloatType
from vov_lightning.captioners.base import DEFAULT_PROMPT, Captioner, check_prompting, spread_pictures
from vov_lightning.captioners.text import tidy_reply
from vov_lightning.errors import CaptionError, SettingError

PINNED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": "66285546d2b821cf421d4f5eb2576359d3770cd3",
    "Qwen/Qwen2.5-VL-7B-Instruct": "cc594898137f460bfe9f0759e9844b3ce807cfb5",
}
"""Commits of models that need no ``revision``."""


class LocalCaptioner(Captioner):
    """Runs a vision-language model with transformers; needs ``pip install "transformers>=5"``.

    The model is loaded for one caption and freed again, so that the fit has the memory.

    Args:
        model: Name on the Hugging Face hub (downloaded at first use), or a folder.
        revision: Commit of a model from the hub, 40 hexadecimal digits; Qwen2.5-VL's 3B and 7B need none.
        prompt: What is asked of the model.
        frames: Number of frames that it is shown, evenly spaced.
        max_tokens: Longest reply in the model's tokens.
        device: Where it runs: cpu, cuda, cuda:1 ...
        dtype: Precision of its weights; ``auto`` for the stored one. The 7B model takes 17 GB in bfloat16.
    """

    def __init__(
        self,
        model: str = "Qwen/Qwen2.5-VL-7B-Instruct",
        revision: str | None = None,
        prompt: str = DEFAULT_PROMPT,
        frames: int = 4,
        max_tokens: int = 300,
        device: str = "cpu",
        dtype: Literal["auto", FloatType] = "auto",
    ) -> None:
        self.model, self.revision, self.prompt, self.frames = model, revision, prompt, frames
        self.max_tokens, self.device, self.dtype = max_tokens, device, dtype

    @torch.no_grad()
    def caption(self, frames: Tensor) -> str:
        check_prompting(self.prompt, self.frames)
        if self.max_tokens < 1:
            raise SettingError(f"max_tokens={self.max_tokens} is below 1; a caption takes about 100")
        processor, model = self._load()
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": self._content(spread_pictures(frames, self.frames))}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        sequence = model.generate(
            **inputs,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
        )
        reply = sequence[0, inputs["input_ids"].shape[1] :]
        if len(reply) == self.max_tokens and int(reply[-1]) not in _end_tokens(model):
            raise CaptionError(
                f"{self.model} was cut off at max_tokens={self.max_tokens}; raise it, or ask for fewer words in prompt"
            )
        return tidy_reply(processor.decode(reply, skip_special_tokens=True), self.model)

    def _content(self, pictures: list[Image.Image]) -> list[dict[str, Any]]:
        return [*({"type": "image", "image": picture} for picture in pictures), {"type": "text", "text": self.prompt}]

    def _load(self) -> tuple[Any, Any]:
        """Processor and model."""
        revision = pinned_revision(self.model, self.revision)
        try:
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise SettingError(f'LocalCaptioner needs transformers ({error}); pip install "transformers>=5"') from error
        trusted = {"revision": revision, "trust_remote_code": False}
        try:
            processor = AutoProcessor.from_pretrained(self.model, **trusted)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                self.model, use_safetensors=True, dtype=self.dtype, **trusted
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            where = f"{self.model}@{revision}" if revision else f"the folder {self.model}"
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise CaptionError(
                f"{where} cannot be loaded as a vision-language model ({reason}); check model and revision, that its "
                "weights are .safetensors, and the network where it has to be downloaded"
            ) from error
        return processor, model.to(self.device).eval()


def pinned_revision(model: str, revision: str | None) -> str | None:
    """Commit of ``model`` on the hub; None for a folder.

    Raises:
        SettingError: If ``revision`` is no commit, is missing, or is given for a folder.
    """
    if Path(model).is_dir():
        if revision is not None:
            raise SettingError(f"revision={revision} is for the hub, and model={model} is a folder; leave it out")
        return None
    pinned = PINNED.get(model) if revision is None else revision
    if pinned is None or not re.fullmatch(r"[0-9a-f]{40}", pinned):
        raise SettingError(
            f"revision={revision} does not pin model={model}; give the commit's 40 hexadecimal digits (on the hub: "
            "Files, History), since names such as main move"
        )
    return pinned


def _end_tokens(model: Any) -> list[int]:
    found = model.generation_config.eos_token_id
    return found if isinstance(found, list) else [] if found is None else [found]
