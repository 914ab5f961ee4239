"""Codebooks: the candidates among which an index chooses the noise of a step, redrawn by the decoder.

Latent entries are permuted (seeded) and cut into groups; each group has its own
candidates, and an index names one of them. Candidates are functions of (seed,
step, group, index), part of the format (FORMAT.md, "Candidates").
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vov_lightning.randomness import CANDIDATE_STREAM, GROUPING_STREAM, normal_table, random_words, words_at

CHUNK = 2**22
"""Numbers that a codebook holds in memory at once."""


class Codebook(ABC):
    """``2^bits`` candidates a group.

    Args:
        bits: Of an index, 1 to 24.
        seed: In [0, 2^64).
    """

    def __init__(self, bits: int, seed: int) -> None:
        self.bits, self.seed = bits, seed

    @property
    def num_candidates(self) -> int:
        """Candidates a group."""
        return 2**self.bits

    @abstractmethod
    def scores(self, wish: Tensor, step: int) -> Tensor:
        """Inner products [G, 2^bits] of ``wish`` [G, L] with the candidates of each group."""

    @abstractmethod
    def draw(self, indices: Tensor, length: int, step: int) -> Tensor:
        """Candidates [G, length] that ``indices`` [G] name, float32 on the indices' device."""

    def _step_seed(self, step: int) -> int:
        return int(random_words(self.seed, CANDIDATE_STREAM, 1, start=step)[0])


class HadamardCodebook(Codebook):
    """Columns of a randomised Hadamard transform: orthogonal, near-Gaussian, all scored by one fast transform.

    ``z_m = n^(-1/2) S2 H S1 H e_m`` with the Walsh-Hadamard matrix H of entries
    +-1, ``n`` the least power of two that holds a group and all candidates, and
    sign flips S1, S2 of the step and group's own. Each
    has norm ``sqrt(n)`` before the padding is cut off.
    """

    def scores(self, wish: Tensor, step: int) -> Tensor:
        size, parts = self._size(wish.shape[1]), []
        for start, part in self._chunks(wish, size):
            first, second = self._signs(start, len(part), size, step, wish.device)
            padded = torch.nn.functional.pad(part, (0, size - part.shape[1]))
            products = walsh_hadamard(first * walsh_hadamard(second * padded))
            parts.append(products[:, : self.num_candidates] * size**-0.5)
        return torch.cat(parts)

    def draw(self, indices: Tensor, length: int, step: int) -> Tensor:
        size, parts = self._size(length), []
        for start, part in self._chunks(indices, size):
            first, second = self._signs(start, len(part), size, step, indices.device)
            chosen = torch.zeros_like(first).scatter_(1, part.long()[:, None], 1.0)
            integers = second * walsh_hadamard(first * walsh_hadamard(chosen))  # exact: below 2^24
            parts.append((integers * size**-0.5)[:, :length])
        return torch.cat(parts)

    def _size(self, length: int) -> int:
        return max(self.num_candidates, 1 << (length - 1).bit_length())

    def _chunks(self, rows: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
        """First group of each chunk, and the chunk."""
        count = max(1, CHUNK // size)
        return ((start, rows[start : start + count]) for start in range(0, len(rows), count))

    def _signs(self, start: int, groups: int, size: int, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """S1 and S2 [groups, size] of +-1, of the groups from ``start`` on."""
        begin, count = 2 * start * size, 2 * groups * size
        first_word = begin // 64
        num_words = -(-(begin + count) // 64) - first_word
        words = random_words(self._step_seed(step), CANDIDATE_STREAM, num_words, start=first_word)
        bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")[begin % 64 :][:count]
        signs = torch.from_numpy(bits).to(device).view(groups, 2, size) * 2.0 - 1
        return signs[:, 0], signs[:, 1]


class IidCodebook(Codebook):
    """Independent normals, as in the paper: every candidate of every group is drawn and scored on its own."""

    def scores(self, wish: Tensor, step: int) -> Tensor:
        if wish.is_cuda:
            from vov_lightning.sampling.iid_triton import iid_scores  # Triton comes with PyTorch for CUDA only

            return iid_scores(wish, self.num_candidates, self._step_seed(step), CANDIDATE_STREAM)
        groups, length = wish.shape
        words = -(-length // 4)
        scores = wish.new_empty(groups, self.num_candidates)
        chunk = max(1, CHUNK // (4 * words))
        for group in range(groups):
            for start in range(0, self.num_candidates, chunk):
                stop = min(start + chunk, self.num_candidates)
                scores[group, start:stop] = self._normals(group, start, stop, length, step, wish.device) @ wish[group]
        return scores

    def draw(self, indices: Tensor, length: int, step: int) -> Tensor:
        words = -(-length // 4)
        named = np.arange(len(indices)) * self.num_candidates + indices.cpu().numpy()
        positions = named[:, None] * words + np.arange(words)
        drawn = words_at(self._step_seed(step), CANDIDATE_STREAM, positions)
        return _normals_of(drawn, indices.device)[:, :length]

    def _normals(self, group: int, start: int, stop: int, length: int, step: int, device: torch.device) -> Tensor:
        """Candidates ``start`` to ``stop - 1`` of a group [stop - start, length]."""
        words = -(-length // 4)
        first = (group * self.num_candidates + start) * words
        drawn = random_words(self._step_seed(step), CANDIDATE_STREAM, (stop - start) * words, start=first)
        return _normals_of(drawn.reshape(-1, words), device)[:, :length]


def _normals_of(words: np.ndarray, device: torch.device) -> Tensor:
    """Normals [n, 4 w] of words [n, w]: four a word, lowest bits first."""
    places = torch.from_numpy(words.astype("<u8").view("<u2").astype(np.int32)).to(device)
    return normal_table(device)[places]


class Groups:
    """Latents in groups whose sizes differ by one at most: of the entries in a seeded order, group g takes every G-th.

    Args:
        num_entries: D, entries of the latents.
        seed: In [0, 2^64).
    """

    def __init__(self, num_entries: int, seed: int) -> None:
        words = random_words(seed, GROUPING_STREAM, num_entries)
        self.order = torch.from_numpy(np.argsort(words, kind="stable"))

    def split(self, latents: Tensor, groups: int) -> Tensor:
        """Entries of ``latents`` [1, ...] as [groups, ceil(D / groups)], filled up with zeros."""
        entries = latents.flatten()[self.order.to(latents.device)]
        length = self.length(groups)
        return torch.nn.functional.pad(entries, (0, groups * length - len(entries))).view(length, groups).T

    def join(self, entries: Tensor, like: Tensor) -> Tensor:
        """The inverse of `split`, of the shape of ``like``."""
        flat = torch.empty_like(like).flatten()
        flat[self.order.to(like.device)] = entries.T.flatten()[: flat.numel()]
        return flat.view_as(like)

    def length(self, groups: int) -> int:
        """Entries of a group, padding included."""
        return -(-len(self.order) // groups)


def walsh_hadamard(x: Tensor) -> Tensor:
    """``H x`` along the last axis, whose length is a power of two, in Sylvester's order and without a scale."""
    span = 1
    while span < x.shape[-1]:
        low, high = x.unflatten(-1, (-1, 2, span)).unbind(-2)
        x = torch.stack([low + high, low - high], dim=-2).flatten(-3)
        span *= 2
    return x
