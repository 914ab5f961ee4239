"""Train the bundled `nano` model: pack the data, train the autoencoder, train the flow transformer, export.

Each stage leaves a checkpoint in ``--out``; the same command again goes on
where it stopped. Data is any folder of clips and photos.

    python tools/train_nano.py --config configs/train_nano.yaml --data.source DIR --data.validation DIR
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from jsonargparse import auto_cli
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
from nano.autoencoder_module import AutoencoderModule
from nano.data import ClipStream, pack
from nano.flow_module import FlowModule

from vov_lightning.bases.nano import Nano, NanoConfig


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
    autoencoder: Stage = Stage(steps=3600, batch_size=24, learning_rate=2e-3),
    transformer: Stage = Stage(steps=2600, batch_size=16, learning_rate=1e-3),
    revision: str = "0",
    seed: int = 0,
) -> None:
    """Train `nano` and export it.

    Args:
        data: What to train on.
        out: Folder of packs, checkpoints, logs, exported weights and ``report.json``.
        model: Sizes of the model.
        autoencoder: Length of stage 1.
        transformer: Length of stage 2.
        revision: Version of the weights, written into every file that is fitted on them.
        seed: Seed of weights and data.
    """
    packs = {"train": out / "train.pt", "validation": out / "validation.pt"}
    for source, target in zip((data.source, data.validation), packs.values(), strict=True):
        if not target.exists():
            pack(source, target)

    def loader(name: str, batch_size: int, photo_share: float, stream_seed: int) -> DataLoader:
        stream = ClipStream(packs[name], frames=data.frames, size=data.size, photo_share=photo_share, seed=stream_seed)
        return DataLoader(stream, batch_size)

    def run(module: L.LightningModule, stage: Stage, folder: Path, *callbacks: L.Callback) -> dict[str, float]:
        """Train ``module`` unless ``folder`` says that it is done, and load the result; returns validation figures."""
        final, last = folder / "final.pt", folder / "last.ckpt"
        held_out = loader("validation", 8, 0.0, 0)
        untrained = stage_trainer(stage, folder).validate(module, held_out, verbose=False)[0]
        if not final.exists():
            if stage.compile:
                module.network.compile()
            trainer = stage_trainer(stage, folder, list(callbacks))
            # A resumed run draws clips that its first part did not.
            resumed_at = torch.load(last, weights_only=False)["global_step"] if last.exists() else 0
            L.seed_everything(seed + resumed_at)
            training = loader("train", stage.batch_size, data.photo_share, resumed_at)
            checkpoint = last if last.exists() else None
            trainer.fit(module, training, held_out, ckpt_path=checkpoint, weights_only=False)
            torch.save(module.state_dict(), final)
        module.load_state_dict(torch.load(final))
        figures = {f"untrained {key}": value for key, value in untrained.items()}
        for name in packs:
            found = stage_trainer(stage, folder).validate(module, loader(name, 8, 0.0, 0), verbose=False)[0]
            figures |= {key.replace("val", name): value for key, value in found.items()}
        return figures

    L.seed_everything(seed)
    first = AutoencoderModule(model.autoencoder, autoencoder.learning_rate)
    report = {"autoencoder": run(first, autoencoder, out / "autoencoder")}
    second = FlowModule(first.autoencoder, model, transformer.learning_rate)
    report["transformer"] = run(second, transformer, out / "transformer", EMAWeightAveraging(decay=0.999))
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")

    exported = Nano.untrained(model, revision)
    exported.autoencoder.load_state_dict(second.autoencoder.state_dict())
    exported.transformer.load_state_dict(second.transformer.state_dict())
    exported.words.load_state_dict(second.words.state_dict())
    exported.save(out / "export")


def stage_trainer(stage: Stage, folder: Path, callbacks: list[L.Callback] | None = None) -> L.Trainer:
    """Trainer of one stage: a checkpoint every 250 steps, validation every 500, a CSV log."""
    checkpoint = ModelCheckpoint(
        folder, save_last=True, every_n_train_steps=250, save_top_k=0, enable_version_counter=False
    )
    return L.Trainer(
        max_steps=stage.steps,
        precision=stage.precision,
        gradient_clip_val=1.0,
        val_check_interval=500,
        check_val_every_n_epoch=None,
        limit_val_batches=8,
        logger=CSVLogger(folder, name="log"),
        callbacks=[checkpoint, TQDMProgressBar(refresh_rate=25), *(callbacks or [])],
    )


if __name__ == "__main__":
    auto_cli(train, as_positional=False)
