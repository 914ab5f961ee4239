"""Train the bundled `nano` model: pack the data, train the autoencoder, train the flow transformer, export.

Each stage leaves a checkpoint in ``--out``; the same command again goes on
where it stopped. Data is any folder of clips and photos.

    python tools/train_nano.py --config configs/train_nano.yaml --data.source DIR --data.validation DIR
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from jsonargparse import auto_cli
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
from nano.autoencoder_module import AutoencoderModule
from nano.data import ClipStream, pack
from nano.flow_module import FlowModule

from vov_lightning.bases.nano import NanoConfig


@dataclass
class Data:
    """What to train on."""

    source: Path
    """Folder of clips and photos, searched recursively."""
    validation: Path
    """Folder of clips that are never trained on."""
    frames: int = 9
    """Frames of a training clip, ``1 + 4 n``."""
    size: int = 64
    """Height and width of a training clip in pixels."""
    photo_share: float = 0.3
    """Fraction of training clips that are photos under a synthetic camera path."""


@dataclass
class Stage:
    """Length of one stage."""

    steps: int
    """Optimizer steps."""
    batch_size: int
    """Clips a step."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    precision: str = "bf16-mixed"
    """Lightning's ``precision``."""
    compile: bool = False
    """Compile the trained network: 1.4 times faster on a CPU after a minute, and it needs a C++ compiler."""


def train(
    data: Data,
    out: Path = Path("runs/nano"),
    model: NanoConfig = NanoConfig(),
    autoencoder: Stage = Stage(steps=4500, batch_size=24, learning_rate=2e-3),
    transformer: Stage = Stage(steps=6000, batch_size=16, learning_rate=1e-3),
    seed: int = 0,
) -> None:
    """Train `nano` and export it.

    Args:
        data: What to train on.
        out: Folder of packs, checkpoints, logs and exported weights.
        model: Sizes of the model.
        autoencoder: Length of stage 1.
        transformer: Length of stage 2.
        seed: Seed of weights and data.
    """
    train_pack, validation_pack = out / "train.pt", out / "validation.pt"
    for source, target in ((data.source, train_pack), (data.validation, validation_pack)):
        if not target.exists():
            pack(source, target)

    def run(module: L.LightningModule, stage: Stage, name: str, callbacks: list[L.Callback]) -> None:
        L.seed_everything(seed)
        if stage.compile:
            module.network.compile()
        folder = out / name
        last = folder / "last.ckpt"
        geometry = {"frames": data.frames, "size": data.size}
        stream = ClipStream(train_pack, **geometry, photo_share=data.photo_share, seed=_resumed_step(last))
        held_out = ClipStream(validation_pack, **geometry, photo_share=0.0, seed=0)
        trainer = L.Trainer(
            max_steps=stage.steps,
            precision=stage.precision,
            gradient_clip_val=1.0,
            val_check_interval=500,
            limit_val_batches=8,
            check_val_every_n_epoch=None,
            logger=L.pytorch.loggers.CSVLogger(folder, name="log"),
            callbacks=[
                ModelCheckpoint(folder, save_last=True, every_n_train_steps=250, save_top_k=0, enable_version_counter=False),
                TQDMProgressBar(refresh_rate=25),
                *callbacks,
            ],
        )
        trainer.fit(
            module,
            DataLoader(stream, stage.batch_size),
            DataLoader(held_out, 8),
            ckpt_path=last if last.exists() else None,
            weights_only=False,
        )
        torch.save(module.state_dict(), folder / "final.pt")


    first = AutoencoderModule(model.autoencoder, autoencoder.learning_rate)
    if not (out / "autoencoder" / "final.pt").exists():
        run(first, autoencoder, "autoencoder", [])
    first.load_state_dict(torch.load(out / "autoencoder" / "final.pt"))

    second = FlowModule(first.autoencoder, model, transformer.learning_rate)
    if not (out / "transformer" / "final.pt").exists():
        run(second, transformer, "transformer", [EMAWeightAveraging(decay=0.999)])
    second.load_state_dict(torch.load(out / "transformer" / "final.pt"))


def _resumed_step(checkpoint: Path) -> int:
    """Step of ``checkpoint``; it seeds the data, so that a resumed run draws clips that the first part did not."""
    return torch.load(checkpoint, weights_only=False)["global_step"] if checkpoint.exists() else 0


if __name__ == "__main__":
    auto_cli(train, as_positional=False)
