"""Speed of the parts that the file format fixes: hash table, projection, entropy coder, at the paper's sizes.

python tools/studies/coder.py
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from vov_lightning.bitstream import decode_symbols, encode_symbols, entropy_bits
from vov_lightning.vector.hashing import HashProjection

K, NUM_ENTRIES = 131_072, 737_280


def median_ms(run: Callable[[], object], repeats: int = 21) -> float:
    """Median wall time of ``run`` in milliseconds, after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * sorted(times)[repeats // 2]


def main() -> None:
    projection = HashProjection(K, NUM_ENTRIES, seed=0)
    vector = torch.randn(K, requires_grad=True)
    gradient = torch.randn(NUM_ENTRIES)
    symbols = np.random.default_rng(0).laplace(scale=1.0, size=K).round().astype(np.int32)
    table, payload = encode_symbols(symbols)
    excess = len(payload) - entropy_bits(np.unique(symbols, return_counts=True)[1]) / 8
    rows = {
        "build the hash index, ms": median_ms(lambda: HashProjection(K, NUM_ENTRIES, seed=0), repeats=5),
        "project forward and backward, ms": median_ms(lambda: projection(vector).backward(gradient)),
        "encode the symbols, ms": median_ms(lambda: encode_symbols(symbols)),
        "decode the symbols, ms": median_ms(lambda: decode_symbols(table + payload, K)),
        "count table, bytes": len(table),
        "payload above its entropy, bytes": excess,
    }
    for name, value in rows.items():
        print(f"{name:34s} {value:8.2f}")


if __name__ == "__main__":
    main()
