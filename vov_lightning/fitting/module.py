"""One signal, or several, as a LightningModule: frozen base model, hashed LoRA, quantiser, rate.

Objective (paper, eq. 6):
``L = distortion(v) + lmbda * bits(v) / k``; the distortion is an `Objective`.
Only the vector, the quantiser's step and the density are trained and saved.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vov_lightning.bases import BaseModel, ClipSize
from vov_lightning.bases.parallel import SharedTokens
from vov_lightning.bitstream import Limits, VovFile, short_float32
from vov_lightning.codec.build import build_file, context_of, for_clip, without_vector
from vov_lightning.codec.decode import decode, guided_velocity
from vov_lightning.errors import RunError
from vov_lightning.fitting.checks import check_siblings, check_trainer
from vov_lightning.fitting.data import SignalData
from vov_lightning.fitting.objectives import FlowMatching, Objective, Target, flow_losses
from vov_lightning.fitting.pool import latent_pool
from vov_lightning.fitting.processes import FROZEN, share_draws
from vov_lightning.fitting.quiet import without_chatter
from vov_lightning.fitting.stages import RateControlled
from vov_lightning.fitting.worth import WORTH_DRAWS, Worth, exchange_rate, index_budget_bits
from vov_lightning.randomness import TRAINING_STREAM, random_words
from vov_lightning.runs.joint import check_captions
from vov_lightning.runs.source import Source
from vov_lightning.sampling.config import SamplerConfig, ScalingConfig
from vov_lightning.sampling.sampler import initial_noise
from vov_lightning.vector.adapter import AdapterConfig, HashedLoRA
from vov_lightning.vector.quantizer import NoiseQuantizer, Quantizer, dequantize, quantize
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db
from vov_lightning.video.source import Clip

VALIDATION_TIMES = 8
VALIDATION_NOISES = 2
VALIDATION_WINDOWS = 16
VALIDATION_SEED = 0


class VOVModule(RateControlled):
    """Fits one vector to one signal, or to several, each under its own caption.

    Args:
        base: Frozen base model.
        adapter: Which layers are adapted, by how many numbers.
        quantizer: What training sees in place of rounding; a `NoiseQuantizer` when left out.
        objective: Distortion that is minimised; `FlowMatching` when left out.
        sampler: How the decoder samples.
        weight_decay: AdamW's decoupled weight decay of the vector (paper: 1e-4).
        betas: AdamW's averaging constants.
        init_range: The vector starts uniform in +- this (paper: 0.02); under scheme ``lora`` too, A and B alike: LoRA's
            own start, B zero, ended within 0.1 dB of it, and so only the hash differs between the schemes.
        rate_learning_rate: Learning rate of the quantiser's step and the density, as a multiple of the vector's.
        seed: Seed of the vector's start and of all draws, in [0, 2^64).
        fit_base: Model that `FlowMatching` draws go through, where it is not ``base``: the many-step model of which
            ``base``, which the file names and which decodes it, is a few-step sibling. Their adapted layers and
            latents must be alike. `Reconstruction` goes through ``base`` in any case.
    """

    def __init__(
        self,
        base: BaseModel,
        adapter: AdapterConfig = AdapterConfig(),
        quantizer: Quantizer | None = None,
        objective: Objective | None = None,
        sampler: SamplerConfig = SamplerConfig(),
        weight_decay: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        init_range: float = 0.02,
        rate_learning_rate: float = 1.0,
        seed: int = 0,
        fit_base: BaseModel | None = None,
    ) -> None:
        with without_chatter():
            from vov_lightning.vector.rate import FactorizedRate  # CompressAI takes half a second

        super().__init__()
        self.base = base.requires_grad_(False).eval()
        self.fit_base = None if fit_base is None else fit_base.requires_grad_(False).eval()
        self.quantizer = quantizer or NoiseQuantizer()
        self.objective = objective or FlowMatching()
        self.weight_decay, self.betas, self.rate_learning_rate = weight_decay, betas, rate_learning_rate
        self.seed = seed
        if adapter.k != 0:
            targets = adapter.targets or base.default_targets
            if fit_base is not None:
                check_siblings(base, fit_base, targets)
            self.adapters = [
                HashedLoRA(
                    one.adapted_layers(targets),
                    adapter.rank,
                    adapter.k,
                    adapter.seed,
                    adapter.scheme,
                    base.dictionary,
                )
                for one in self.bases
            ]
            adapter = replace(adapter, k=self.adapter.projection.k)
        self.objective.check_sampler(sampler)
        self.adapter_config, self.sampler = adapter, sampler
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.vector = nn.Parameter(torch.empty(adapter.k or 0).uniform_(-init_range, init_range))
            self.rate = FactorizedRate()
        self.scaling = ScalingConfig()
        """Index bits that will be added, which a vector can save."""
        self._loss_without: float | None = None
        self._sources: tuple[Source, ...] = ()
        self.previews: list[Signal] = []
        """What the decoder would show of each source, as of the last validation."""

    @property
    def bases(self) -> list[BaseModel]:
        """The model that decodes, then the one that is fitted on, where there is another."""
        return [self.base] if self.fit_base is None else [self.base, self.fit_base]

    @property
    def adapter(self) -> HashedLoRA:
        """Of the model that decodes."""
        return self.adapters[0]

    def _attach(self, vector: Tensor) -> None:
        for adapter in self.adapters:
            adapter.attach(vector)

    def _detach(self) -> None:
        for adapter in self.adapters:
            adapter.detach()

    @property
    def _shared_tokens(self) -> list[SharedTokens]:
        return [base.shared_tokens for base in self.bases if base.shared_tokens is not None]

    # Lightning saves and loads only what is fitted; the base model is named in the file instead.
    strict_loading = False

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(FROZEN)}
        checkpoint["fitted_to"] = self._identity()
        checkpoint["rate_constrained"] = self.rate_constrained

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["fitted_to"] != self._identity():
            names = " and ".join(source.name for source in self.sources)
            raise RunError(
                f"the checkpoint was fitted to other frames than {names} now hold, to another "
                "caption or on another base model; give the run another --name, or start again with --overwrite true"
            )
        self.rate_constrained = checkpoint["rate_constrained"]

    def _identity(self) -> str:
        digest = hashlib.blake2b(b"".join(base.fingerprint() for base in self.bases), digest_size=16)
        for source in self.sources:
            digest.update(source.caption.encode())
            digest.update(source.clip.digest)
        return digest.hexdigest()

    def prepare(self, data: SignalData) -> None:
        """Read signals, embed captions and build the headers, so that errors show before anything is written."""
        self._sources = data.load_all(self.base)
        for number, source in enumerate(self.sources):
            signal = source.clip.first.signal
            self.base.check_size(ClipSize(signal.num_frames, signal.height, signal.width))
            self.base.embed(source.caption)
            longest = signal.num_frames if source.clip.is_one_segment else source.clip.shape.longest
            Limits().check_header(self.to_file(number).header, longest)
        check_captions({source.name: source.caption for source in self.sources}, self.base)

    def setup(self, stage: str) -> None:
        check_trainer(self.trainer)
        share_draws(self.trainer, self)
        if not self._sources:
            self.prepare(self.trainer.datamodule)  # type: ignore[attr-defined]  # set by Trainer.fit(datamodule=...)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Sources that the vector is fitted to; most fits have one."""
        assert self._sources, "call prepare(data) first"
        return self._sources

    def on_fit_start(self) -> None:
        self._targets = [self._target_of(source) for source in self.sources]
        shape = tuple(self._targets[0].latents.shape[1:])
        for base in self.bases:
            base.prepare_fit(shape, self.objective.evaluations(self.sampler))

    def _target_of(self, source: Source) -> Target:
        latents = latent_pool(self.base, source.clip, self.seed)
        if self._windowed(source.clip, latents):
            self.objective.check_windows()
        return Target(
            latents=latents,
            weights=self.base.latent_weights(latents),
            decoder_noise=initial_noise(self.sampler.seed, tuple(latents.shape[1:])).to(latents.device),
            times=self.sampler.times().tolist(),
            context=self._known(latents),
            as_decoded=self.base.as_decoded,
            velocity=self.bases[-1].velocity(source.caption),
            decoder_velocity=guided_velocity(self.base, source.caption, self.sampler.guidance),
        )

    def _known(self, latents: Tensor) -> int:
        """Latent frames of the windows ``latents`` [N, C, T', h, w] that their decoder knows already."""
        if self.base.window is None or not self.base.context:
            return 0
        return max(0, latents.shape[2] - (self.base.window.frames - self.base.context))

    def begin_rate_constraint(self) -> None:
        """Set the quantiser's step from the vector's spread."""
        self.quantizer.initialise(self.vector)

    @property
    def index_budget_bits(self) -> float:
        """Bits of indices of all sources; 0 where they are not known beforehand."""
        return sum(index_budget_bits(self.scaling, source.clip.num_pixels) for source in self.sources)

    def exchange_rate(self) -> float:
        # Each source has a file of its own, which holds the vector.
        return exchange_rate(len(self.vector), self._loss_of(None), self.index_budget_bits / len(self.sources))

    def worth(self, files: Sequence[VovFile]) -> Worth:
        """What the vector takes and saves in the ``files`` of all sources (`to_file`); for vectors beside indices."""
        taken = sum(len(file.to_bytes()) - len(without_vector(file).to_bytes()) for file in files)
        loss_with = self._loss_of(self._decoded_vector(files[0]))
        return Worth(self._loss_of(None), loss_with, self.index_budget_bits / 8, taken)

    @torch.no_grad()
    def _loss_of(self, vector: Tensor | None) -> float:
        """Distortion under ``vector`` as a decoder has it, or of the base model, on draws that are always the same."""
        if vector is None and self._loss_without is not None:
            return self._loss_without
        self._detach()
        if vector is not None:
            self._attach(vector)
        generators = [torch.Generator().manual_seed(number) for number in range(WORTH_DRAWS)]
        loss = sum(self.objective.loss(self._targets, one).item() for one in generators) / WORTH_DRAWS
        self._detach()
        if vector is None:
            self._loss_without = loss
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        sharing = self.base.context_parallel
        generator = self._generator((batch_idx * self.trainer.world_size + self.global_rank) // sharing)
        bits = torch.zeros((), device=self.device)
        vector: Tensor = self.vector
        if self.rate_constrained:
            uniform = torch.rand(len(vector), generator=generator).to(self.device) - 0.5
            scaled = self.quantizer.relax(self.vector / self.quantizer.step, uniform)
            vector, bits = scaled * self.quantizer.step, self.rate.bits(scaled)
        self._attach(vector)
        for shared in self._shared_tokens:
            shared.begin()
        distortion = self.objective.loss(self._targets, generator)
        bits_per_entry = bits / len(self.vector)
        loss = distortion + self.lmbda * bits_per_entry
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss is {loss.item()} at step {self.global_step}; lower learning_rate in "
                "--stage1 or --stage2, or use --trainer.precision 32-true, and start again with --overwrite true"
            )
        self.log("train/distortion", distortion, prog_bar=True, sync_dist=True)
        if self.rate_constrained:
            self.log("train/bits_per_entry", bits_per_entry, prog_bar=True)
            self.log("train/step_size", self.quantizer.step)
        self.log("train/loss", loss, sync_dist=True)
        self.log("train/lmbda", self.lmbda)
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        # A process has the distortion's gradient of its own tokens, a share of ``sharing``; DDP takes the mean.
        return sharing * distortion + self.lmbda * bits_per_entry

    def on_after_backward(self) -> None:
        for shared in self._shared_tokens:
            shared.end()

    def on_train_batch_end(self, *_: Any) -> None:
        self._detach()

    def on_validation_start(self) -> None:
        self.previews = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure source ``batch_idx``: flow loss of the quantised vector on a fixed grid of (t, eps), and a preview.

        Lightning logs the means over the sources.
        """
        file, clip = self.to_file(batch_idx), self.sources[batch_idx].clip
        with torch.autocast(self.device.type, enabled=False):
            self._attach(self._decoded_vector(file))
            loss = self._validation_loss(self._targets[batch_idx])
            self._detach()
        windowed = self._windowed(clip, self._targets[batch_idx].latents)
        self.log("val/flow_loss", loss, prog_bar=windowed, batch_size=1, sync_dist=True)
        self.log("val/bpp", 8 * len(file.to_bytes()) / clip.num_pixels, prog_bar=True, batch_size=1, sync_dist=True)
        if not windowed:  # else a preview would cost as much as the fit
            preview = decode(file, self.base)
            self.previews.append(preview)
            self.log("val/psnr_db", psnr_db(preview, clip.target), prog_bar=True, batch_size=1, sync_dist=True)

    def to_file(self, number: int = 0) -> VovFile:
        """File of a source and the vector as it is now, without indices and in one segment.

        Before stage 2 the vector is quantised as stage 2 would begin.

        Args:
            number: Of the source.
        """
        source, symbols, step = self.sources[number], self.vector.detach(), 1.0
        if len(symbols):
            step = short_float32(self._step())
            symbols = quantize(self.vector, step, self.quantizer.limit)
            if self.adapter_config.scheme == "dictionary":  # whose last directions matter least
                used = symbols.nonzero()
                symbols = symbols[: 1 + int(used.max()) if len(used) else 1]
        file = build_file(
            self.base, source.clip.first, source.caption, symbols, step, self.adapter_config, self.sampler
        )
        return for_clip(file, source.clip, self.base)

    def _step(self) -> float:
        """Quantiser step; before stage 2, its starting value."""
        return (self.quantizer.step if self.rate_constrained else self.quantizer.initial_step(self.vector)).item()

    @torch.no_grad()
    def estimated_bits(self) -> float:
        """Bits of the rounded vector under the learned density; the file's own coder needs about as many."""
        if not len(self.vector):
            return 0.0
        symbols = quantize(self.vector, self._step(), self.quantizer.limit)
        return float(self.rate.bits(symbols.float()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rate_parameters = [p for p in (*self.quantizer.parameters(), *self.rate.parameters()) if p.requires_grad]
        groups = [
            {"params": [self.vector], "weight_decay": self.weight_decay, "lr_factor": 1.0},
            {"params": rate_parameters, "weight_decay": 0.0, "lr_factor": self.rate_learning_rate},
        ]
        return torch.optim.AdamW(groups, lr=1.0, betas=self.betas)

    def _generator(self, number: int) -> torch.Generator:
        """Random numbers of batch ``number`` of all processes together, whatever was drawn before.

        So a fit that is resumed goes on with the same ones.
        """
        # Mixed down to 32 bits: PyTorch's CPU generator drops the upper half of a seed.
        mixed = int(random_words(self.seed, TRAINING_STREAM, 1, start=number)[0]) >> 32
        return torch.Generator().manual_seed(mixed)

    def _windowed(self, clip: Clip, latents: Tensor) -> bool:
        """Whether ``clip`` is fitted by windows all over it, or by its segments, rather than as a whole."""
        first = clip.first.signal
        in_blocks = context_of(self.base, ClipSize(first.num_frames, first.height, first.width)) > 0
        return len(latents) > 1 or in_blocks or not clip.is_one_segment

    def _validation_loss(self, target: Target) -> Tensor:
        times = (torch.arange(VALIDATION_TIMES) + 0.5) / VALIDATION_TIMES
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        draws = min(VALIDATION_WINDOWS, VALIDATION_NOISES * len(target.latents))
        windows = torch.arange(draws) * len(target.latents) // draws
        losses = []
        for t in times:
            eps = torch.randn(draws, *target.latents.shape[1:], generator=generator)
            losses.append(flow_losses(target, t.expand(draws), eps, windows, generator).mean())
        return torch.stack(losses).mean()

    def _decoded_vector(self, file: VovFile) -> Tensor:
        return dequantize(torch.tensor(file.symbols), file.header.step).to(self.device)
