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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_scores_the_same_candidates():
    wish = torch.randn(2, 3648, generator=torch.Generator().manual_seed(0))
    codebook = IidCodebook(12, seed=1)
    torch.testing.assert_close(codebook.scores(wish.cuda(), 4).cpu(), codebook.scores(wish, 4), rtol=1e-4, atol=1e-3)
