"""A GPU that is too small is noticed before anything is moved there."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vov_lightning.bases import memory
from vov_lightning.bases.memory import check_gpu_memory
from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli.common import command
from vov_lightning.codec import decode as codec
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import place
from vov_lightning.errors import BaseModelError
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.run import train_and_finish
from vov_lightning.runs.folder import RunFolder
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Fitted, Padding, Signal

CLIP = Signal(torch.zeros(5, 3, 16, 24, dtype=torch.uint8), Fraction(25), "black")


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where models were moved, on a machine whose GPU has 1000 bytes."""
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", lambda device: (1000, 2**30))
    found: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: found.append(str(device)) or module)
    return found


def file_of(base: Nano) -> VovFile:
    return build_file(
        base, Fitted(CLIP, Padding()), "red", torch.zeros(0), 1.0, AdapterConfig(k=0), SamplerConfig(steps=2)
    )


def test_a_model_that_does_not_fit_is_not_moved(
    tiny_nano: Nano, moved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "check_device", lambda device: None)  # as if there were a second GPU
    file = file_of(tiny_nano)
    with pytest.raises(BaseModelError, match=r"nano needs \d\.\d GiB on cuda:1 for its weights, 0\.0 GiB are free; "):
        place(tiny_nano, file, "cuda:1")
    assert moved == []
    place(tiny_nano, file, "cpu")
    assert moved == ["cpu"]


def test_weights_and_buffers_count_in_their_own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.BatchNorm1d(100).bfloat16()  # two weights and two buffers of 200 bytes, a counter of 8
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", lambda device: (808, 2**30))
    check_gpu_memory(layer, "cuda", "x")
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", lambda device: (807, 2**30))
    with pytest.raises(BaseModelError, match="x needs"):
        check_gpu_memory(layer, "cuda", "x")


def test_a_fit_asks_before_it_trains(tiny_nano: Nano, moved: list[str], tmp_path: Path) -> None:
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda", 0)))
    module = VOVModule(tiny_nano, AdapterConfig(k=0), sampler=SamplerConfig(steps=2))
    data, run = SignalData.of(CLIP, caption="red"), RunFolder(tmp_path / "run", "black")
    with pytest.raises(BaseModelError, match="on cuda:0 for its weights"):
        train_and_finish(trainer, module, data, run, ScalingConfig())
    assert moved == []


def test_commands_say_out_of_memory_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def run(args: list[str] | None) -> int:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free. If reserved but unallocated"
        )

    assert run([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "out of GPU memory: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free. End" in line
    assert "--model.base.checkpointing all" in line
