"""One clip fitted by two processes: the vector of one process that takes as many draws, and one set of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

COMMAND = "import sys\nfrom vov_lightning.cli.start import fit\nsys.exit(fit())\n"
SIGNALLED = """
import os, signal, sys, time
from vov_lightning.cli.start import fit
from vov_lightning.fitting.{module} import {owner}

number, original = 0, {owner}.{function}

def signalled(*args, **options):
    global number
    number += 1
    if number == {call} and os.environ.get("LOCAL_RANK", "0") == "{process}":
        os.kill(os.getpid(), signal.SIGTERM)
    return original(*args, **options)

{owner}.{function} = signalled
sys.exit(fit())
"""
TINY_WAN = """
import sys
import torch
from vov_lightning.bases.wan import Wan13B
from vov_lightning.cli.start import fit

class TinyWan(Wan13B):
    def __init__(self, context_parallel: int = 1) -> None:
        torch.nn.Module.__init__(self)
        torch.manual_seed(0)
        self.__dict__.update(Wan13B.untrained().__dict__)
        self.context_parallel = context_parallel

sys.exit(fit())
"""
NEVER_READY = """
import os, signal, sys, time
if "LOCAL_RANK" in os.environ:
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(3600)
from vov_lightning.cli.start import fit
sys.exit(fit())
"""
SETTINGS = [
    "--config=nano.yaml",
    "--stage1.iterations=3",
    "--stage2.iterations=3",
    "--stage1.warmup=0",
    "--stage1.learning_rate=2e-2",
    "--stage2.learning_rate=1.5e-2",
    "--stage2.lmbda=2e-2",
    "--model.adapter.scheme=v1",
    "--model.adapter.k=256",
    "--trainer.val_check_interval=12",
    "--data.frames=5",
    "--data.height=64",
    "--data.width=64",
    "--scaling.target_bpp=null",
    "--model.sampler.steps=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.logger=false",
    "--model.objective.batch_size=1",
]
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]


def started(folder: Path, *arguments: str, script_text: str = COMMAND) -> subprocess.Popen[str]:
    script = folder / "vov-fit"  # Lightning starts the second process by the name of the first one's script
    script.write_text(script_text)
    command = [sys.executable, str(script), *SETTINGS, f"--runs={folder}", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fitted(folder: Path, *arguments: str, script_text: str = COMMAND) -> tuple[str, torch.Tensor]:
    process = started(folder, *arguments, script_text=script_text)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    checkpoint = torch.load(folder / "sample" / "checkpoints" / "last.ckpt", weights_only=True)
    return out, checkpoint["state_dict"]["vector"]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_two_processes_fit_what_one_does_with_as_many_draws(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    _, one = fitted(tmp_path / "one", "--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=24")
    out, two = fitted(tmp_path / "two", "--trainer.accumulate_grad_batches=2", *TWO)
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)  # sums in another order, through six steps of AdamW
    assert out.count("psnr") + out.count("PSNR") <= 2  # figures are said once
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    rows = [
        [json.loads(line) for line in (tmp_path / name / "sample" / "history.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]


def test_two_processes_that_share_the_tokens_of_each_draw_fit_what_one_does(tmp_path: Path) -> None:
    # A rate that counts: AdamW does not tell gradients apart that differ by a factor, unless two parts do.
    wan = ["--model.base=__main__.TinyWan", "--stage2.lmbda=1", "--stage2.lmbda_warmup=0"]
    more = {"one": [], "two": ["--model.base.context_parallel=2", *TWO]}
    vectors = []
    for name, arguments in more.items():
        (tmp_path / name).mkdir()
        vectors.append(fitted(tmp_path / name, *wan, *arguments, script_text=TINY_WAN)[1])
    torch.testing.assert_close(vectors[1], vectors[0], rtol=1e-5, atol=1e-6)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    (file,) = (tmp_path / "one").rglob("*.vov")
    assert (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("module", "owner", "function", "call", "process", "iteration"),
    [
        ("module", "VOVModule", "training_step", 3, 0, 3),
        ("module", "VOVModule", "training_step", 3, 1, 3),
        ("module", "VOVModule", "validation_step", 1, 0, 4),
        ("checkpoints", "Checkpoints", "_save_checkpoint", 1, 0, 4),
    ],
    ids=["step of the first", "step of the second", "validation of the first", "first writes a checkpoint"],
)
def test_a_signal_to_one_process_stops_both_at_one_iteration(
    tmp_path: Path, module: str, owner: str, function: str, call: int, process: int, iteration: int
) -> None:
    long = ["--stage1.iterations=4000", "--trainer.val_check_interval=5", "--trainer.accumulate_grad_batches=1"]
    names = {"module": module, "owner": owner, "function": function, "call": call, "process": process}
    fit = started(tmp_path, *long, *TWO, script_text=SIGNALLED.format(**names))
    _, err = fit.communicate(timeout=300)
    assert fit.returncode == 143, err
    assert f"SIGTERM: stopped at iteration {iteration} of 4003" in err
    assert "Error" not in err  # the other process was not left in a collective
    checkpoint = torch.load(tmp_path / "sample" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == iteration


def test_a_signal_ends_the_wait_for_a_process_that_starts(tmp_path: Path) -> None:
    fit = started(tmp_path, *TWO, script_text=NEVER_READY)
    _, err = fit.communicate(timeout=300)
    assert fit.returncode == 143, err
    assert "SIGTERM: stopped before the first iteration" in err


def test_a_set_is_not_shared_by_processes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(next(Path("docs").resolve().glob("*.png")))
    process = started(tmp_path, f"--set={tmp_path / 'set'}", *TWO)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "for a set give each GPU its own clips with --part" in err
