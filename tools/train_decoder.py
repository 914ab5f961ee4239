"""Train the decoder's network of a `nano` on clips as its own codec leaves them, and export the next revision.

The transformer is kept, so files cost what they cost; what they decode to is better. Every part leaves its result in
``--out``, and the same command again goes on where it stopped.

    python tools/train_decoder.py --source DIR --validation DIR
"""

import sys
from dataclasses import replace
from pathlib import Path

import lightning as L
from jsonargparse import auto_cli
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
from nano.autoencoder_module import CodedModule
from nano.coded import CodedStream, Coding, code_pool
from nano.data import PackSize, pack
from train_nano import Machine, Stage, stage_trainer

from vov_lightning.bases.nano.autoencoder import LappedAutoencoder
from vov_lightning.bases.nano.model import Nano


def train(
    source: Path,
    validation: Path,
    out: Path = Path("runs/decoder"),
    start: str = "",
    revision: str = "untagged",
    packed: PackSize = PackSize(clip_rows=144, photo_rows=224, segments=3, segment_frames=27),
    coding: Coding = Coding(),
    pool: int = 800,
    validation_pool: int = 24,
    photo_share: float = 0.15,
    past: int = 1,
    window: int = 8,
    stage: Stage = Stage(steps=600, batch_size=16, learning_rate=3e-4),
    perceptual_weight: float = 2.0,
    machine: Machine = Machine(precision="32-true"),
    max_minutes: float | None = None,
    seed: int = 0,
) -> None:
    """Train and export.

    Args:
        source: Folder of clips and photos, searched recursively.
        validation: Folder of clips that are never trained on.
        out: Folder of packs, coded clips, checkpoints, logs and exported weights.
        start: Folder of the model to go on from; empty for the bundled one.
        revision: Version of the new weights, written into every file that is coded with them.
        packed: What is kept of the source.
        coding: How clips are coded.
        pool: Clips that are coded, once.
        validation_pool: Clips that are coded for validation.
        photo_share: Fraction of them that are photos under a synthetic camera path.
        past: Latent frames before the present one that the new network sees.
        window: Side of the squares that are trained on, in latent positions.
        stage: Length of the training.
        perceptual_weight: Weight of LPIPS in the loss; 0 needs no LPIPS weights.
        machine: Where to train. Clips are coded on all cores of the CPU.
        max_minutes: Stop training after this time, with a checkpoint.
        seed: Seed of the draws.
    """
    packs = {"train": out / "train.pt", "validation": out / "validation.pt"}
    for folder, target in zip((source, validation), packs.values(), strict=True):
        if not target.exists():
            pack(folder, target, packed)
    base = Nano(start)
    factor = base.config.autoencoder.spatial_factor
    coded = {
        name: code_pool(packs[name], start, out / f"coded_{name}", count, coding, share)
        for name, count, share in (("train", pool, photo_share), ("validation", validation_pool, 0.0))
    }

    def loader(name: str, batch_size: int, side: int) -> DataLoader:
        return DataLoader(CodedStream(coded[name], side, factor, seed), batch_size)

    module = CodedModule(widened(base.autoencoder, past), stage.learning_rate, perceptual_weight)
    average = EMAWeightAveraging(decay=max(0.0, 1 - 10 / stage.steps))
    trainer = stage_trainer(stage, machine, out, max_minutes, [average])
    L.seed_everything(seed)
    held_out = loader("validation", 3, coding.side // factor)
    last = out / "last.ckpt"
    trainer.validate(module, held_out)
    trainer.fit(module, loader("train", stage.batch_size, window), held_out, ckpt_path=last if last.exists() else None)
    if trainer.global_step < stage.steps:
        trainer.save_checkpoint(last)
        raise SystemExit(f"stopped at step {trainer.global_step} of {stage.steps}; the same command goes on")
    trainer.validate(module, held_out)
    config = replace(base.config, autoencoder=module.autoencoder.config)
    exported = Nano.untrained(config, revision)
    exported.transformer.load_state_dict(base.transformer.state_dict())
    exported.words.load_state_dict(base.words.state_dict())
    exported.autoencoder.load_state_dict(module.autoencoder.state_dict())
    exported.save(out / "export")


def widened(autoencoder: LappedAutoencoder, past: int) -> LappedAutoencoder:
    """``autoencoder`` with a network that sees ``past`` latent frames before the present one, and ignores them yet."""
    wide = LappedAutoencoder(replace(autoencoder.config, past=past))
    tensors = autoencoder.state_dict()
    before = (past - autoencoder.config.past) * autoencoder.config.z_channels
    tensors["network.0.weight"] = nn.functional.pad(tensors["network.0.weight"], (0, 0, 0, 0, 0, before))
    wide.load_state_dict(tensors)
    return wide


if __name__ == "__main__":
    auto_cli(train, as_positional=False)
