"""The GPU kernel in Triton's interpreter, and on a GPU where there is one."""

import os
import subprocess
import sys

import pytest
import torch

from vov_lightning.sampling.candidates import IidCodebook

pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA on Linux")

PROGRAM = """
import torch
from vov_lightning.randomness import CANDIDATE_STREAM
from vov_lightning.sampling.candidates import IidCodebook
from vov_lightning.sampling.iid_triton import iid_scores

for length, bits in ((5, 3), (37, 4)):
    wish = torch.randn(3, length, generator=torch.Generator().manual_seed(0))
    codebook = IidCodebook(bits, seed=2**63 + 7)
    scores = iid_scores(wish, 2**bits, codebook._step_seed(4), CANDIDATE_STREAM, candidates=4, words=4)
    torch.testing.assert_close(scores, codebook.scores(wish, 4))
"""


def test_the_kernel_scores_the_same_candidates():
    """In a process of its own: Triton looks at the variable when it is imported."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_22_bits_do_not_pass_the_grids_second_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    from vov_lightning.sampling import iid_triton

    grids: list[tuple[int, ...]] = []

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]):
            grids.append(grid)
            return lambda *args, **options: None

    monkeypatch.setattr(iid_triton, "_score_kernel", Kernel())
    iid_triton.iid_scores(torch.zeros(2, 5), 2**22, 0, 0)
    ((blocks, *others),) = grids
    assert 2 * 2**22 <= 32 * blocks < 2**31
    assert all(count <= 65535 for count in others)


def test_threads_exchange_sums_once_a_candidate() -> None:
    """Compiled for an H100 as it would be there; in the loop a shuffle costs more than the load that it belongs to."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vov_lightning.sampling.iid_triton import _score_kernel

    numbers = dict.fromkeys(("length", "words", "num_candidates", "blocks"), "i32")
    pointers = {"wish": "*fp32", "table": "*fp32", "key_bits": "*i64", "scores": "*fp32"}
    sizes = {"CANDIDATES": 32, "WORDS": 32}
    source = ASTSource(_score_kernel, pointers | numbers | dict.fromkeys(sizes, "constexpr"), sizes)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    halvings = 5  # of the 32 threads of a warp
    assert compiled.asm["ptx"].count("shfl") <= halvings * sizes["CANDIDATES"] / compiled.metadata.num_warps
    assert "ld.local" not in compiled.asm["ptx"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_scores_the_same_candidates():
    wish = torch.randn(2, 3648, generator=torch.Generator().manual_seed(0))
    codebook = IidCodebook(12, seed=1)
    torch.testing.assert_close(codebook.scores(wish.cuda(), 4).cpu(), codebook.scores(wish, 4), rtol=1e-4, atol=1e-3)
