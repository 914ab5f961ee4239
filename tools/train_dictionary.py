"""Learn the dictionary of a `nano` model: low-rank updates of its layers, weighed for each clip.

Adapted layers compute ``W x + B diag(s) A x``. ``A`` and ``B`` are shared; every training clip has weights ``s`` of its
own, and all are fitted together (an auto-decoder: Park et al. 2019, https://arxiv.org/abs/1901.05103). The loss is that
of flow matching on windows of the clip, given the past as a decoder shows it. Afterwards the principal components of
the clips' weights become the first directions of the dictionary.

    python tools/train_dictionary.py --source DIR --out runs/dictionary

Latents of the clips are kept in ``--out``; training goes on from its checkpoint.
"""

import sys
import time
from pathlib import Path

import torch
from jsonargparse import auto_cli
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from nano.clips import ClipWindows, encode_clips

from vov_lightning.bases.nano.model import DICTIONARY, Nano, transformer_velocity
from vov_lightning.files import atomic_path
from vov_lightning.flow import interpolate, shift_time
from vov_lightning.vector.dictionary import PARTS

START_SCALE = 0.02
"""Standard deviation of the matrices before training."""


class Mixed(nn.Module):
    """Low-rank updates of a model's layers, weighed for each sample."""

    def __init__(self, layers: dict[str, nn.Linear], rank: int, clips: int) -> None:
        """
        Args:
            layers: Layers that are adapted.
            rank: Updates of each layer.
            clips: Clips that have weights of their own.
        """
        super().__init__()
        self.names, self.rank = list(layers), rank
        self.lora_a = nn.ParameterList(
            [nn.Parameter(START_SCALE * torch.randn(rank, x.in_features)) for x in layers.values()]
        )
        self.lora_b = nn.ParameterList(
            [nn.Parameter(START_SCALE * torch.randn(x.out_features, rank)) for x in layers.values()]
        )
        self.codes = nn.Embedding(clips, len(layers) * rank, sparse=True)
        nn.init.ones_(self.codes.weight)
        self.weights = torch.ones(1, len(layers) * rank)
        for number, layer in enumerate(layers.values()):
            layer.register_forward_hook(self._hook(number))

    def _hook(self, number: int):
        def add(_layer, inputs, output: Tensor) -> Tensor:
            own = self.weights[:, number * self.rank : (number + 1) * self.rank]
            reduced = inputs[0] @ self.lora_a[number].T
            return output + (reduced * own.unsqueeze(1)) @ self.lora_b[number].T

        return add

    def choose(self, clips: Tensor) -> None:
        """Weigh the updates of the samples that follow as their ``clips`` [B] do."""
        self.weights = self.codes(clips)

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """What `vov_lightning.vector.dictionary.Dictionary` loads; directions in the order of how far clips differ."""
        start = self.codes.weight.mean(0)
        _, _, axes = torch.linalg.svd(self.codes.weight - start, full_matrices=True)
        tensors: dict[str, Tensor] = {}
        parts = self.lora_a, self.lora_b, start.split(self.rank), axes.T.split(self.rank)
        for name, *own in zip(self.names, *parts, strict=True):
            tensors |= {f"{name}.{part}": tensor for part, tensor in zip(PARTS, own, strict=True)}
        return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


def train(
    source: Path,
    out: Path = Path("runs/dictionary"),
    weights: str = "",
    rank: int = 16,
    clips: int = 96,
    steps: int = 550,
    clips_a_step: int = 4,
    windows: int = 8,
    learning_rate: float = 3e-3,
    code_rate: float = 0.3,
    shift: float = 3.0,
    max_minutes: float = 600.0,
    seed: int = 0,
) -> None:
    """Learn a dictionary.

    Args:
        source: Folder of clips.
        out: Folder of latents, checkpoint and ``dictionary.safetensors``.
        weights: Folder of a nano with context; empty for the bundled one.
        rank: Updates of each layer.
        clips: Clips to learn from.
        steps: Optimizer steps.
        clips_a_step: Clips of a step.
        windows: Windows of each of them.
        learning_rate: Peak rate of Adam for what clips share.
        code_rate: Peak rate of Adam for the weights of each clip.
        shift: ``c`` of the time density.
        max_minutes: Stop after this time, with a checkpoint.
        seed: Of weights and draws.
    """
    torch.manual_seed(seed)
    started_s = time.monotonic()
    base = Nano(weights)
    pool = ClipWindows(encode_clips(base, source, out / "latents", clips), base)
    layers = base.adapted_layers(base.default_targets)
    mixed = Mixed(layers, rank, len(pool))
    shared = [*mixed.lora_a, *mixed.lora_b]
    optimizers = [torch.optim.Adam(shared, betas=(0.9, 0.98)), torch.optim.SparseAdam(list(mixed.codes.parameters()))]
    checkpoint, first = out / "last.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        mixed.load_state_dict(state["mixed"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first = state["step"]
        torch.manual_seed(seed + first)

    def save(step: int) -> None:
        state = {"mixed": mixed.state_dict(), "optimizers": [one.state_dict() for one in optimizers], "step": step}
        with atomic_path(checkpoint) as temporary:
            torch.save(state, temporary)
        with atomic_path(out / DICTIONARY) as temporary:
            save_file(mixed.tensors(), temporary)

    step = first - 1
    bar = tqdm(range(first, steps), initial=first, total=steps)
    recent: list[float] = []
    for step in bar:
        rate = min(1.0, (step + 1) / 20) * (1 - step / steps)
        for optimizer, peak in zip(optimizers, (learning_rate, code_rate), strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate
        chosen = torch.randperm(len(pool))[:clips_a_step]
        latents, past, rows = pool.draw(chosen, windows)
        t = shift_time((torch.randperm(len(latents)) + torch.rand(len(latents))) / len(latents), shift)[:, None]
        noise = torch.randn_like(latents)
        mixed.choose(chosen.repeat_interleave(windows))
        velocity = transformer_velocity(base.transformer, interpolate(latents, noise, t), t, base.words(rows), past)
        loss = (velocity - (noise - latents)).square().mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent = [*recent[-49:], loss.item()]
        if step % 10 == 0:
            bar.set_postfix(loss=sum(recent) / len(recent), spread=mixed.codes.weight.std().item())
        if step % 50 == 49:
            save(step + 1)
            print(f"\nstep {step + 1}: loss {sum(recent) / len(recent):.4f}", flush=True)
        if time.monotonic() - started_s > 60 * max_minutes:
            break
    save(min(steps, step + 1))


if __name__ == "__main__":
    auto_cli(train, as_positional=False)
