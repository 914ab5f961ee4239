"""Memory against generality: while the vector learns its source, how far does everything else move?

The paper asks it in appendix B.4; the measure is ours. The adapted model
generates from prompts that have nothing to do with the source, from fixed
noise, and so did the model as it was:

``drift = sqrt(mean_i |x_v,i - x_i|^2 / mean_{i != j} |x_i - x_j|^2)``

over latents ``x_i`` of the unadapted model, one for each prompt and seed, and
``x_v,i`` of the adapted one. 0: nothing moved. 1: as far as two samples of the
unadapted model lie apart, so nothing of them is left. It needs no network
besides the base model.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from vov_lightning.bases import BaseModel
from vov_lightning.codec.build import build_file
from vov_lightning.codec.decode import decode, sample
from vov_lightning.errors import SettingError
from vov_lightning.files import atomic_write
from vov_lightning.fitting.callbacks import callbacks_of
from vov_lightning.fitting.curves import draw_curves
from vov_lightning.fitting.module import VOVModule
from vov_lightning.fitting.stages import total_iterations
from vov_lightning.runs.figures import finite
from vov_lightning.vector.adapter import AdapterConfig
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

ROWS, CURVES = "drift.jsonl", "drift.svg"
"""Files in the run folder."""


class DriftMonitor(L.Callback):
    """Measures drift and reconstruction every so many iterations, draws both, and can end the fit at a limit.

    Rows (``iteration``, ``drift``, ``prompts_psnr_db``: PSNR between the clips of both models, null where they are
    equal, ``psnr_db``: of the sources as the vector alone shows them, without index bits) go to the loggers as
    ``drift/...``, to ``drift.jsonl`` and as curves to ``drift.svg``. All of them are of the quantised vector, as a file
    would hold it.

    Args:
        every_n_iterations: Optimizer steps from one measurement to the next; empty for none at all. The first is
            before the fit, the last after it.
        prompts: Unrelated to the source; empty for the base model's `example_prompts`.
        seeds: Of the noise that each prompt starts from; better not the decoder's own.
        steps: Sampler steps of a measurement, at most the decoder's own.
        limit: The first measurement above this ends the fit, in either stage: the vector is quantised and written as
            it is then, without what is left of the schedule. Empty for no limit; a smaller ``every_n_iterations``
            overshoots less.
    """

    def __init__(
        self,
        every_n_iterations: int | None = None,
        prompts: list[str] | None = None,
        seeds: tuple[int, ...] = (1, 2),
        steps: int = 8,
        limit: float | None = None,
    ) -> None:
        if every_n_iterations is not None and every_n_iterations < 1:
            raise SettingError(f"every_n_iterations={every_n_iterations} is below 1; use 50, or null for no monitoring")
        if limit is not None and (every_n_iterations is None or not 0 < limit < math.inf):
            raise SettingError(f"limit={limit} needs every_n_iterations, and to be above 0; use 20 and 0.3")
        if steps < 1:
            raise SettingError(f"steps={steps} is below 1; use 8")
        samples = [seeds] if prompts is None else [seeds, prompts]
        repeated = any(len(set(some)) < len(some) for some in samples)
        if repeated or len(seeds) * len("ab" if prompts is None else prompts) < 2:
            raise SettingError(f"seeds={list(seeds)} with prompts={prompts} are not two samples or more that differ")
        if not all(0 <= seed < 2**64 for seed in seeds):
            raise SettingError(f"seeds={list(seeds)} are not all in 0 .. 2^64 - 1")
        self.every_n_iterations, self.prompts, self.seeds = every_n_iterations, prompts, tuple(seeds)
        self.steps, self.limit = steps, limit
        self.elapsed_s = 0.0
        self.rows: list[dict[str, Any]] = []
        self._unadapted: tuple[Tensor, Signal] | None = None

    @classmethod
    def of(cls, trainer: L.Trainer) -> "DriftMonitor | None":
        """The monitor among the callbacks of ``trainer``, if there is one."""
        return next((one for one in callbacks_of(trainer) if isinstance(one, cls) and one.enabled), None)

    @property
    def enabled(self) -> bool:
        """Whether anything is measured."""
        return self.every_n_iterations is not None

    @property
    def state_key(self) -> str:
        """Rows of other prompts are not gone on with."""
        return self._generate_state_key(prompts=self.prompts, seeds=self.seeds, steps=self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.elapsed_s = list(state_dict["rows"]), state_dict["elapsed_s"]

    def embed(self, base: BaseModel) -> None:
        """Embed the prompts, before the base model is on a GPU and anything is written.

        Raises:
            BaseModelError: If ``base`` cannot take one of them.
        """
        for prompt in self._prompts(base) if self.enabled else ():
            base.embed(prompt)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, VOVModule)
        self.embed(pl_module.base)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.rows:  # a fit that goes on; it may have stopped here already
            self._stop_at_limit(trainer)
        else:
            self._measure_once(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if self.every_n_iterations is not None and trainer.global_step % self.every_n_iterations == 0:
            self._measure_once(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step >= total_iterations(trainer):  # or the fit goes on later, without this row
            self._measure_once(trainer, pl_module)

    def report(self, trainer: L.Trainer) -> dict[str, Any]:
        """Entry for ``metrics.json``: the last row, and why the fit stopped early; null if it did not."""
        if not self.rows:
            raise SettingError(
                "drift was not watched in the fit that this one goes on from, which is finished; leave --drift out, or "
                "fit again under another --name"
            )
        last, stopped = self.rows[-1], None
        if self._beyond_limit(trainer):
            stopped = (
                f"drift {last['drift']:.3f} is above drift.limit={self.limit} after {last['iteration']} iterations"
            )
        return {**last, "limit": self.limit, "stopped": stopped}

    def stopped(self, trainer: L.Trainer) -> bool:
        """Whether the limit has ended the fit."""
        return bool(self.rows) and self._beyond_limit(trainer)

    def _measure_once(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, VOVModule)
        iteration = trainer.global_step
        if not self.enabled or (self.rows and self.rows[-1]["iteration"] == iteration):
            return
        started_s = time.perf_counter()
        module.adapter.detach()  # what the last training step attached; the file brings its own
        self.rows.append({"iteration": iteration, **self.measure(module)})
        self.elapsed_s += time.perf_counter() - started_s
        self._publish(trainer)
        self._stop_at_limit(trainer)

    def _stop_at_limit(self, trainer: L.Trainer) -> None:
        if self._beyond_limit(trainer):
            trainer.should_stop = True

    def _beyond_limit(self, trainer: L.Trainer) -> bool:
        last = self.rows[-1]
        unfinished = last["iteration"] < total_iterations(trainer)
        return self.limit is not None and last["drift"] > self.limit and unfinished

    @torch.no_grad()
    def measure(self, module: VOVModule) -> dict[str, float | None]:
        """Drift and reconstruction of ``module``'s vector as it is now; `DriftMonitor` says what they are."""
        if self._unadapted is None:
            self._unadapted = self._generate(module, torch.zeros(0), 1.0, AdapterConfig())
        files = [module.to_file(number) for number in range(len(module.sources))]
        symbols, step = torch.tensor(files[0].symbols), files[0].header.step
        latents, clips = self._generate(module, symbols, step, module.adapter_config)
        before, clips_before = self._unadapted
        apart = 2 * before.var(dim=0).mean()  # mean over pairs of the mean squared difference
        if not apart:
            raise SettingError(
                f"the unadapted model answers drift.prompts={list(self._prompts(module.base))} all alike; "
                "give prompts that differ, or more seeds"
            )
        pairs = zip(files, module.sources, strict=True)
        shown = [psnr_db(decode(file, module.base), source.clip.target) for file, source in pairs]
        return {
            "drift": float(((latents - before).square().mean() / apart).sqrt()),
            "prompts_psnr_db": finite(psnr_db(clips, clips_before)),
            "psnr_db": finite(sum(shown) / len(shown)),
        }

    def _generate(
        self, module: VOVModule, symbols: Tensor, step: float, adapter: AdapterConfig
    ) -> tuple[Tensor, Signal]:
        """Latents [N, C, T', h, w] of every prompt and seed on the CPU, and their clips one after the other."""
        base, fitted = module.base, module.sources[0].clip.first
        latents, frames = [], []
        for prompt in self._prompts(base):
            for seed in self.seeds:
                sampler = replace(module.sampler, seed=seed, steps=min(self.steps, module.sampler.steps))
                found = sample(build_file(base, fitted, prompt, symbols, step, adapter, sampler), base)
                frames.append(base.decode(found, fitted.signal.num_frames))
                latents.append(found.cpu())
        return torch.cat(latents), Signal(torch.cat(frames), fitted.signal.fps, "generated")

    def _prompts(self, base: BaseModel) -> Sequence[str]:
        return base.example_prompts if self.prompts is None else self.prompts

    def _publish(self, trainer: L.Trainer) -> None:
        figures = {f"drift/{key}": value for key, value in self.rows[-1].items() if value is not None}
        iteration = figures.pop("drift/iteration")
        for logger in trainer.loggers:
            logger.log_metrics(figures, iteration)
        folder = Path(trainer.default_root_dir)
        atomic_write(folder / ROWS, "".join(json.dumps(row) + "\n" for row in self.rows).encode())
        curves = {
            "drift of unrelated prompts": [row["drift"] for row in self.rows],
            "PSNR of the source, dB": [row["psnr_db"] for row in self.rows],
        }
        svg = draw_curves([row["iteration"] for row in self.rows], curves, "iterations")
        atomic_write(folder / CURVES, svg.encode())
