"""Fréchet distances between what a method decodes and the sources: of each clip, and of every set as a whole.

Features are summed by torchmetrics over all processes; features of a clip are kept, since its source is compared with
every method at every rate.
"""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from vov_lightning.evaluation.cache import Cache, Record
from vov_lightning.evaluation.metrics.fvd import FrechetVideoDistance, undefined_reason
from vov_lightning.evaluation.metrics.weights import load_i3d


class SetDistances(nn.Module):
    """One distance for each protocol, method and rate; every process has the same ones in the same order.

    Args:
        protocols: Keys of `fvd.PROTOCOLS`.
        methods: Methods that may be measured.
        rates: Names of the sets.
        cache: Keeps features.
        weights_dir: Folder of the network's weights; torch hub's cache if ``None``.
    """

    def __init__(
        self,
        protocols: Iterable[str],
        methods: Iterable[str],
        rates: Iterable[str],
        cache: Cache,
        weights_dir: Path | None,
    ) -> None:
        super().__init__()
        self.protocols, self.cache, self.weights_dir = tuple(protocols), cache, weights_dir
        self.keys = list(product(self.protocols, methods, rates))
        if self.keys:
            network = load_i3d(weights_dir)
            self.distances = nn.ModuleList(FrechetVideoDistance(network, protocol) for protocol, _, _ in self.keys)
        self.incomplete: list[Record] = []

    def start_over(self) -> None:
        """Forget every clip."""
        self.incomplete = []
        for key in self.keys:
            self._distance(*key).reset()

    def measure(self, method: str, rate: str, decoded: tuple[str, Tensor], source: tuple[str, Tensor]) -> Record:
        """Add a clip to its sets.

        Args:
            method: Which one decoded it.
            rate: Name of the set.
            decoded: A key for the cache, and frames ``[T, 3, H, W]`` uint8.
            source: The same of the source.

        Returns:
            ``values`` and ``reasons`` of the clip by itself.
        """
        found: Record = {"values": {}, "reasons": {}}
        for protocol in self.protocols:
            reason = undefined_reason(protocol, source[1])
            if reason is None:
                whole = self._distance(protocol, method, rate)
                own = FrechetVideoDistance(whole.network, protocol, sync_on_compute=False).to(whole.device)
                for (key, frames), real in ((decoded, False), (source, True)):
                    features = self._features(key, frames, own)
                    whole.update(features, real)
                    own.update(features, real)
                found["values"][protocol], reason = own.value()
            else:
                found["values"][protocol] = None
                self.incomplete.append({"protocol": protocol, "method": method, "rate": rate, "reason": reason})
            if reason is not None:
                found["reasons"][protocol] = reason
        return found

    def values(self, incomplete: Iterable[Record]) -> dict[tuple[str, str], Record]:
        """Figures and reasons of every set, by method and rate; waits for all processes.

        Args:
            incomplete: What `incomplete` holds in all processes: a set of which a clip is missing has no distance.
        """
        missing = {(item["protocol"], item["method"], item["rate"]): item["reason"] for item in incomplete}
        found: dict[tuple[str, str], Record] = {}
        for key in self.keys:
            value, reason = self._distance(*key).value()
            if key in missing:
                value, reason = None, missing[key]
            record = found.setdefault(key[1:], {"figures": {}, "reasons": {}})
            record["figures"][key[0]] = value
            if reason is not None:
                record["reasons"][key[0]] = reason
        return found

    def _distance(self, protocol: str, method: str, rate: str) -> FrechetVideoDistance:
        distance = self.distances[self.keys.index((protocol, method, rate))]
        assert isinstance(distance, FrechetVideoDistance)
        return distance

    def _features(self, key: str, frames: Tensor, metric: FrechetVideoDistance) -> Tensor:
        key = self.cache.key(clip=key, features=metric.protocol, weights=str(self.weights_dir))
        record = self.cache.load(key)
        if record is None:
            record = {"features": metric.features(metric.samples(frames)).cpu().tolist()}
            self.cache.save(key, record)
        return torch.tensor(record["features"])
