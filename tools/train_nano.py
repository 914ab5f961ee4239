"""Train a `nano` model: pack, train transform and decoder, encode, train the flow transformer, export.

Every part leaves its result in ``--out``; the same command again goes on where
it stopped, on this machine or on another one to which the folder was copied
(the packs are small, and where they lie in it the data's folders are not read).

    python tools/train_nano.py --config configs/train_nano.yaml --data.source DIR --data.validation DIR

``configs/train_nano3.yaml`` makes a model that takes the past as context, from an exported one without, and
``configs/train_nano_few_steps.yaml`` one for a decoder of few steps.
"""

import json
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from jsonargparse import auto_cli
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, Timer, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
from nano.autoencoder_module import DecoderModule, TransformModule, to_unit
from nano.data import ClipStream, PackSize, pack
from nano.few_step_module import FewStepModule
from nano.flow_module import FlowModule, start_from
from nano.latents import LatentStream, encode_pool

from vov_lightning.bases.nano.autoencoder import BLOCK_FRAMES, to_blocks
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.files import atomic_path


@dataclass
class Data:
    """What to train on."""

    source: Path
    """Folder of clips and photos, searched recursively."""
    validation: Path
    """Folder of clips that are never trained on."""
    frames: int = 9
    """Frames of a training clip."""
    size: int = 64
    """Height and width of a training clip in pixels."""
    packed: PackSize = field(default_factory=PackSize)
    """What is kept of the source."""
    whole_share: float = 0.5
    """Fraction of crops that are as large as can be; the others are of any side from ``size`` on."""
    photo_share: float = 0.3
    """Fraction of training clips that are photos under a synthetic camera path."""
    pool: int = 40000
    """Clips that are encoded for the transformer, once."""
    workers: int = 0
    """Processes that cut clips while the network trains; use as many as there are cores beside a GPU."""


@dataclass
class Stage:
    """Length of one stage."""

    steps: int
    """Optimizer steps."""
    batch_size: int
    """Clips a step and process."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    compile: bool = False
    """Compile the trained network, which needs a C++ compiler."""


@dataclass
class Machine:
    """Where to train."""

    accelerator: str = "auto"
    """Lightning's ``accelerator``: auto, cpu, gpu."""
    devices: int = 1
    """Processes: one a GPU, or one a CPU core."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true"] = "bf16-mixed"
    """Lightning's ``precision``."""


def train(
    data: Data,
    out: Path = Path("runs/nano"),
    model: NanoConfig = NanoConfig(),
    transform: Stage = Stage(steps=600, batch_size=16, learning_rate=3e-4),
    decoder: Stage = Stage(steps=3000, batch_size=16, learning_rate=5e-4),
    transformer: Stage = Stage(steps=3200, batch_size=32, learning_rate=1e-3),
    perceptual_weight: float = 1.0,
    machine: Machine = Machine(),
    max_minutes: float | None = None,
    start: Path | None = None,
    few_steps: int | None = None,
    revision: str = "untagged",
    seed: int = 0,
) -> None:
    """Train `nano` and export it.

    Args:
        data: What to train on.
        out: Folder of packs, checkpoints, logs, exported weights and ``report.json``.
        model: Sizes of the model.
        transform: Length of stage 1, the autoencoder's transform.
        decoder: Length of stage 2, the network that improves its pictures.
        transformer: Length of stage 3.
        perceptual_weight: Weight of LPIPS in the decoder's loss; 0 needs no LPIPS weights.
        machine: Where to train.
        max_minutes: Stop a stage after this time, with a checkpoint; the same command goes on from it.
        start: Folder of an exported model to go on from: its autoencoder is kept, so stages 1 and 2 are left out, and
            stage 3 begins with its transformer.
        few_steps: Steps of a sibling of ``start`` to distil, in place of stage 3: each learns to do what several steps
            of ``start`` do.
        revision: Version of the weights, written into every file that is fitted on them.
        seed: Seed of weights and data.
    """
    if few_steps is not None and start is None:
        raise SystemExit(f"few_steps={few_steps} follows a trained model; give its folder as start")
    packs = {"train": out / "train.pt", "validation": out / "validation.pt"}
    for source, target in zip((data.source, data.validation), packs.values(), strict=True):
        if not target.exists():
            pack(source, target, data.packed)

    def clips(name: str, batch_size: int, stream_seed: int) -> DataLoader:
        share = data.photo_share if name == "train" else 0.0
        stream = ClipStream(
            packs[name],
            frames=data.frames,
            size=data.size,
            photo_share=share,
            whole_share=data.whole_share,
            seed=stream_seed,
        )
        return DataLoader(stream, batch_size, num_workers=data.workers)

    def run(module: L.LightningModule, stage: Stage, folder: Path, loader, *callbacks: L.Callback) -> dict[str, float]:
        """Train ``module`` unless ``folder`` says that it is done, and load the result; returns validation figures."""
        final, last = folder / "final.pt", folder / "last.ckpt"
        held_out = loader("validation", 8, 0)
        val_batches = 8 if few_steps is None else 2  # the teacher's way is walked for every time
        trainer = stage_trainer(stage, machine, folder, max_minutes, val_batches, list(callbacks))
        untrained = trainer.validate(module, held_out, verbose=False)[0]
        if not final.exists():
            if stage.compile:
                network = module.network
                assert isinstance(network, torch.nn.Module)
                network.compile()
            # A resumed run draws clips that its first part did not.
            resumed_at = torch.load(last, weights_only=True)["global_step"] if last.exists() else 0
            L.seed_everything(seed + resumed_at)
            training = loader("train", stage.batch_size, resumed_at)
            trainer.fit(module, training, held_out, ckpt_path=last if last.exists() else None, weights_only=True)
            if trainer.global_step < stage.steps:
                trainer.save_checkpoint(last)
                raise SystemExit(f"stopped at step {trainer.global_step} of {stage.steps}; the same command goes on")
            if trainer.is_global_zero:
                with atomic_path(final) as temporary:
                    torch.save(module.state_dict(), temporary)
            trainer.strategy.barrier()
        module.load_state_dict(torch.load(final, weights_only=True))
        figures = {f"untrained {key}": value for key, value in untrained.items()}
        for name in packs:
            found = trainer.validate(module, loader(name, 8, 0), verbose=False)[0]
            figures |= {key.replace("val", name): value for key, value in found.items()}
        return figures

    def average(stage: Stage) -> L.Callback:
        return EMAWeightAveraging(decay=max(0.0, 1 - 10 / stage.steps))  # over a tenth of the run

    L.seed_everything(seed)
    exported = Nano.untrained(model, revision)
    autoencoder, report = exported.autoencoder, {}
    if start is not None:
        autoencoder.load_state_dict(Nano(str(start)).autoencoder.state_dict())
    else:
        some_clips = to_unit(next(iter(clips("train", min(data.pool, 1024), 0)))[:, :BLOCK_FRAMES])
        autoencoder.transform.start_from_principal_components(to_blocks(some_clips).flatten(0, 1))
        first = TransformModule(autoencoder, transform.learning_rate)
        report["transform"] = run(first, transform, out / "transform", clips)
        autoencoder.set_scales(some_clips)
        second = DecoderModule(autoencoder, decoder.learning_rate, perceptual_weight)
        report["decoder"] = run(second, decoder, out / "decoder", clips, average(decoder))

    for name, size in (("train", data.pool), ("validation", 64)):
        encode_pool(autoencoder, partial(clips, name, 16, 0), size, out / f"{name}_latents")

    def latents(name: str, batch_size: int, stream_seed: int) -> DataLoader:
        return DataLoader(LatentStream(out / f"{name}_latents", stream_seed), batch_size)

    third = FlowModule(model, autoencoder, transformer.learning_rate)
    if start is not None and few_steps is not None:
        third = FewStepModule(model, autoencoder, Nano(str(start)), few_steps, transformer.learning_rate)
    if start is not None:
        start_from(third, Nano(str(start)))
    report["transformer"] = run(third, transformer, out / "transformer", latents, average(transformer))
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")

    exported.transformer.load_state_dict(third.transformer.state_dict())
    exported.words.load_state_dict(third.words.state_dict())
    exported.save(out / "export")


class ThisRunsTimer(Timer):
    """Stops after some minutes of this run; Lightning's own counts those before a resume too."""

    def __init__(self, max_minutes: float | None) -> None:
        super().__init__(None if max_minutes is None else timedelta(minutes=max_minutes))

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        pass


def stage_trainer(
    stage: Stage,
    machine: Machine,
    folder: Path,
    max_minutes: float | None,
    val_batches: int,
    callbacks: list[L.Callback],
) -> L.Trainer:
    """Trainer of one stage: a checkpoint every three minutes, validation four times, a CSV log."""
    checkpoint = ModelCheckpoint(
        folder,
        save_last=True,
        train_time_interval=timedelta(minutes=3),
        save_top_k=0,
        enable_version_counter=False,
    )
    return L.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        precision=machine.precision,
        max_steps=stage.steps,
        gradient_clip_val=1.0,
        val_check_interval=max(1, stage.steps // 4),
        check_val_every_n_epoch=None,
        limit_val_batches=val_batches,
        logger=CSVLogger(folder, name="log"),
        callbacks=[checkpoint, ThisRunsTimer(max_minutes), TQDMProgressBar(refresh_rate=25), *callbacks],
    )


if __name__ == "__main__":
    auto_cli(train, as_positional=False)
