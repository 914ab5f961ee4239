"""What the fit minimises besides the rate.

`FlowMatching` is the paper's objective. `Reconstruction` runs the decoder's
own sampler and measures where it ends, which stores one clip from one noise in
fewer evaluations, and says nothing about other seeds or grids.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vov_lightning.bases.context import with_context
from vov_lightning.errors import SettingError
from vov_lightning.fitting.times import ShiftedTime, TimeDensity
from vov_lightning.flow import Velocity, flow_loss, interpolate
from vov_lightning.sampling.config import SamplerConfig
from vov_lightning.sampling.sampler import integrate


@dataclass(frozen=True)
class Target:
    """One signal, as an objective sees it."""

    latents: Tensor
    """Clean latents [N, C, T', h, w]: of a clip that the model takes at once, N = 1; else of windows all over it."""
    weights: Tensor
    """What a squared error in a latent costs (`BaseModel.latent_weights`), broadcastable to the latents."""
    decoder_noise: Tensor
    """Noise [1, C, T', h, w] that the decoder starts from, where N = 1."""
    times: list[float]
    """Times that the decoder visits, from 1 to 0."""
    velocity: Velocity
    """The model under the signal's caption, without guidance."""
    decoder_velocity: Velocity
    """The model with the decoder's guidance."""
    context: int = 0
    """Latent frames at the beginning of the windows that are given; the others are denoised."""
    as_decoded: Callable[[Tensor, Generator], Tensor] = lambda latents, _: latents
    """What a decoder shows of them (`BaseModel.as_decoded`)."""


class Objective(ABC):
    """Distortion that the vector is fitted to reduce."""

    @abstractmethod
    def loss(self, targets: Sequence[Target], generator: Generator) -> Tensor:
        """Scalar, a mean over latent entries.

        Args:
            targets: The signals, of one size; their velocities hold the vector as it is now. Most fits have one.
            generator: Where random numbers come from (CPU), seeded by the number of the iteration.
        """

    def evaluations(self, sampler: SamplerConfig) -> int:
        """Network evaluations that a loss keeps for ``backward`` at once, under the decoder's ``sampler``."""
        return 1

    def check_sampler(self, sampler: SamplerConfig) -> None:  # noqa: B027  # most objectives know no sampler
        """Refuse a decoder's ``sampler`` that the distortion does not know.

        Raises:
            SettingError: If it is one.
        """

    def check_windows(self) -> None:  # noqa: B027  # most objectives take any number
        """Refuse a clip of several windows or segments.

        Raises:
            SettingError: If the distortion is of a single noise.
        """


KEY_DRAWS = 0.3
"""Fraction of the draws of a clip with context that are denoised without a past, as the first block of a segment is.
That block is the past of all others: a vector that was fitted without such draws made it worse."""


class FlowMatching(Objective):
    """``E_{t, eps} mean_i (u(x_t, t) - (eps - x))_i^2`` (paper, eq. 6); with several signals, every draw has its own.

    Args:
        time_density: Distribution of t; a `ShiftedTime` when left out.
        batch_size: Draws of (t, eps) a step (times ``trainer.accumulate_grad_batches``).
        stratified: One draw of t in each of ``batch_size`` equal parts of the density, rather than independent draws.
        decoder_noise: Fraction of draws whose eps is the noise that the decoder starts from. 0 is the paper; above
            0 stores this clip from this noise more cheaply, and the model under other seeds less well.
        loss_weight_power: ``p`` of the loss weight ``t^p``: 0 weighs the velocity's error evenly (the paper), 2
            that of the predicted clean latents.
    """

    def __init__(
        self,
        time_density: TimeDensity | None = None,
        batch_size: int = 8,
        stratified: bool = True,
        decoder_noise: float = 0.0,
        loss_weight_power: float = 0.0,
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"batch_size={batch_size} is below 1; use 8 on a CPU, 64 as the paper does")
        if not 0 <= decoder_noise <= 1:
            raise SettingError(f"decoder_noise={decoder_noise} is outside [0, 1]; it is a fraction of the draws")
        self.time_density = time_density or ShiftedTime()
        self.batch_size, self.stratified = batch_size, stratified
        self.decoder_noise, self.loss_weight_power = decoder_noise, loss_weight_power

    def evaluations(self, sampler: SamplerConfig) -> int:
        return self.batch_size

    def check_windows(self) -> None:
        if self.decoder_noise:
            raise SettingError(
                f"decoder_noise={self.decoder_noise} fits a clip to one noise, and this clip has several windows, "
                "blocks or segments with noises of their own; set it to 0"
            )

    def loss(self, targets: Sequence[Target], generator: Generator) -> Tensor:
        t, eps = self.draw(targets[0].decoder_noise, generator)
        drawn = draw_evenly(len(targets), self.batch_size, generator)
        weights = t.to(targets[0].latents.device) ** self.loss_weight_power
        total = torch.zeros((), device=weights.device)
        for number in drawn.unique().tolist():  # a velocity has one caption
            own = drawn == number
            windows = draw_evenly(len(targets[number].latents), int(own.sum()), generator)
            losses = flow_losses(targets[number], t[own], eps[own], windows, generator)
            total = total + (losses * weights[own.to(weights.device)]).sum()
        return total / weights.sum()

    def draw(self, decoder_noise: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Times [B] and noises [B, C, T', h, w] of one step, on the CPU."""
        r = torch.rand(self.batch_size, generator=generator)
        if self.stratified:
            r = (torch.arange(self.batch_size) + r) / self.batch_size
        eps = torch.randn(self.batch_size, *decoder_noise.shape[1:], generator=generator)
        if self.decoder_noise:
            shared = torch.rand(self.batch_size, generator=generator) < self.decoder_noise
            eps[shared] = decoder_noise.cpu().expand_as(eps)[shared]
        return self.time_density.quantile(r), eps


class Reconstruction(Objective):
    """Squared error of the latents at the end of the decoder's sampler, differentiated through every step.

    Latents are weighted by what their errors cost in pixels. An iteration
    costs as many evaluations as the sampler has steps, and keeps all of their
    activations. With several signals every iteration draws one.
    """

    def evaluations(self, sampler: SamplerConfig) -> int:
        return sampler.steps if sampler.guidance == 1 else 2 * sampler.steps

    def check_sampler(self, sampler: SamplerConfig) -> None:
        if sampler.scheduler != "flow_euler":
            raise SettingError(
                f"scheduler={sampler.scheduler} is not what Reconstruction differentiates; set model.sampler.scheduler "
                "to flow_euler, or model.objective to FlowMatching"
            )

    def check_windows(self) -> None:
        raise SettingError(
            "model.objective Reconstruction fits one window from its noise, and the clip has several windows, "
            "blocks or segments; set it to FlowMatching, or choose fewer pixels with --data.height and --data.frames"
        )

    def loss(self, targets: Sequence[Target], generator: Generator) -> Tensor:
        target = targets[int(draw_evenly(len(targets), 1, generator))]
        latents = integrate(target.decoder_velocity, target.decoder_noise, target.times)
        return (target.weights * (latents - target.latents).square()).mean()


def draw_evenly(count: int, draws: int, generator: Generator) -> Tensor:
    """Random numbers below ``count``, ``[draws]``; zeros, without drawing, where ``count`` is 1."""
    return torch.randint(count, (draws,), generator=generator) if count > 1 else torch.zeros(draws, dtype=torch.long)


def flow_losses(target: Target, t: Tensor, eps: Tensor, windows: Tensor, generator: Generator) -> Tensor:
    """Flow-matching loss [B] of ``windows`` [B] (rows of the latents) at times ``t`` [B] from noises ``eps``.

    With context it is the loss of the present, given the past as a decoder shows it; or for `KEY_DRAWS` of the draws,
    that of a window's first latent frames, given nothing.
    """
    device = target.latents.device
    t, eps, latents = t.to(device), eps.to(device), target.latents[windows.to(device)]

    def losses(velocity: Velocity, latents: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return flow_loss(velocity(interpolate(latents, eps, t), t), latents, eps)

    known = target.context
    if not known:
        return losses(target.velocity, latents, eps, t)
    past, present = latents[:, :, :known], latents[:, :, known:]
    given = target.as_decoded(past, generator)
    key = (torch.rand(len(t), generator=generator) < KEY_DRAWS).to(device)
    found = torch.zeros_like(t)
    if key.any():
        first = latents[key, :, : present.shape[2]]
        found = found.masked_scatter(key, losses(target.velocity, first, eps[key, :, known:], t[key]))
    if not key.all():
        velocity = with_context(target.velocity, given[~key])
        rest = losses(velocity, present[~key], eps[~key, :, known:], t[~key])
        found = found.masked_scatter(~key, rest)
    return found
