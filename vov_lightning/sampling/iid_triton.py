"""Scores of independent candidates on a GPU: normals are drawn in registers and never stored.

One program a block of candidates of a group runs over the words of
`random_words`; the result equals `IidCodebook.scores` up to the order of sums.
Products are summed in place, and over a program's threads once at the end.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vov_lightning.randomness import normal_table, stream_key


@triton.jit
def _score_kernel(
    wish, table, key_bits, scores, length, words, num_candidates, blocks, CANDIDATES: tl.constexpr, WORDS: tl.constexpr
):
    # One axis: the second one of a grid ends at 65,535, which 2^22 candidates pass.
    group = (tl.program_id(0) // blocks).to(tl.int64)
    candidate = (tl.program_id(0) % blocks) * CANDIDATES + tl.arange(0, CANDIDATES)
    key = tl.load(key_bits).to(tl.uint64, bitcast=True)
    total = tl.zeros((CANDIDATES, WORDS), tl.float32)
    for start in range(0, words, WORDS):
        word = start + tl.arange(0, WORDS)
        position = (group * num_candidates + candidate[:, None]) * words + word[None, :]
        z = (position.to(tl.uint64) + 1) * 0x9E3779B97F4A7C15 + key
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB
        z = z ^ (z >> 31)
        for lane in tl.static_range(4):
            normal = tl.load(table + ((z >> (16 * lane)) & 0xFFFF).to(tl.int32))
            column = 4 * word + lane
            weight = tl.load(wish + group * length + column, mask=column < length, other=0.0)
            total += normal * weight[None, :]
    tl.store(scores + group * num_candidates + candidate, tl.sum(total, axis=1), mask=candidate < num_candidates)


def iid_scores(
    wish: Tensor, num_candidates: int, seed: int, stream: int, *, candidates: int = 32, words: int = 32
) -> Tensor:
    """Inner products [G, num_candidates] of ``wish`` [G, L] float32 with the candidates of each group.

    Args:
        wish: On the GPU.
        num_candidates: Candidates a group.
        seed: Of the step.
        stream: Of the candidates.
        candidates: Candidates a program takes.
        words: Words that it draws at once.
    """
    groups, length = wish.shape
    scores = torch.empty(groups, num_candidates, device=wish.device)
    key = stream_key(seed, stream)
    key_bits = torch.tensor([key - 2**64 if key >> 63 else key], device=wish.device)
    blocks = triton.cdiv(num_candidates, candidates)
    with torch.cuda.device_of(wish):
        _score_kernel[(groups * blocks,)](
            wish.contiguous(),
            normal_table(wish.device),
            key_bits,
            scores,
            length,
            -(-length // 4),
            num_candidates,
            blocks,
            CANDIDATES=candidates,
            WORDS=words,
        )
    return scores
