"""Commands run in this process on a tiny model; only what is about processes starts one."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from support import PowerCut

from vov_lightning.bases.nano.model import Nano
from vov_lightning.cli import fit
from vov_lightning.video import Signal, write_signal

ITERATIONS = 6


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory, tiny_nano_config) -> Path:
    """Weights of a `Nano` so small that a step takes milliseconds."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = Nano.untrained(tiny_nano_config, revision="tiny")
    model.autoencoder.transform.synthesis.weight.mul_(6)  # untrained, it would paint everything grey
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A 9-frame clip of 40 x 32 pixels with something in it."""
    path = tmp_path_factory.mktemp("clip") / "ramp.mp4"
    y, x, t = torch.meshgrid(torch.arange(40), torch.arange(32), torch.arange(9), indexing="ij")
    frames = torch.stack([6 * x, 5 * y, 20 * t], dim=0).permute(3, 0, 1, 2).byte()  # [T, 3, H, W]
    write_signal(Signal(frames, Fraction(30000, 1001), "ramp"), path)
    return path


@pytest.fixture
def fit_arguments(tiny_weights, clip, tmp_path, one_thread) -> list[str]:
    """Arguments of a fit that takes a second, into ``tmp_path / "runs"``."""
    return [
        "--config=nano.yaml",
        f"--data.path={clip}",
        "--data.height=32",
        "--data.width=32",
        f"--runs={tmp_path / 'runs'}",
        f"--model.base.weights={tiny_weights}",
        "--model.adapter.scheme=v1",
        "--model.adapter.k=64",
        "--model.sampler.steps=3",
        "--model.objective=vov_lightning.fitting.objectives.FlowMatching",
        "--model.objective.batch_size=2",
        "--stage1.learning_rate=2e-2",  # the configuration's are of a dictionary; a hashed vector would run away
        "--stage2.learning_rate=1.5e-2",
        f"--stage1.iterations={ITERATIONS}",
        f"--stage2.iterations={ITERATIONS}",
        "--stage2.lmbda=2e-2",  # the configuration's is the price of index bits, which some tests have none of
        "--scaling.target_bpp=null",
        "--scaling.bits=400",
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
        f"--trainer.val_check_interval={ITERATIONS}",
    ]


@pytest.fixture
def run_fit(fit_arguments) -> Callable[..., int]:
    """``run_fit(*more_arguments) -> exit status``."""
    return lambda *more: fit.main([*fit_arguments, *more])


@pytest.fixture
def set_arguments(fit_arguments, clip, tmp_path) -> Callable[[str, Iterable[str]], list[str]]:
    """``set_arguments(name, clips) -> arguments`` of a fit of ``tmp_path / "data" / name``, copies of ``clip``."""

    def make(name: str, clips: Iterable[str]) -> list[str]:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for one in clips:
            shutil.copyfile(clip, folder / f"{one}.mp4")
        return [*(given for given in fit_arguments if not given.startswith("--data.path")), f"--set={folder}"]

    return make


@pytest.fixture
def power_cut(monkeypatch) -> Callable[..., AbstractContextManager[None]]:
    """``power_cut(step, hook)``: a block whose fit loses power in ``hook`` of its checkpoints after ``step`` steps."""

    @contextmanager
    def block(step: int, hook: str = "on_train_batch_start") -> Iterator[None]:
        checkpoints = fit.checkpoint_callback

        def cut(trainer, *_) -> None:
            if trainer.global_step == step:
                raise PowerCut

        def dangerous(run):
            callback = checkpoints(run)
            setattr(callback, hook, cut)
            return callback

        with monkeypatch.context() as patch:
            patch.setattr(fit, "checkpoint_callback", dangerous)
            with pytest.raises(PowerCut):
                yield

    return block
