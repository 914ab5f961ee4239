"""Two models along the sampler's paths, and a model against its clip: what `evaluation.diagnostics` measures.

P is the base model, Q the adapted one, and Q* the ideal one, that knows the clip x: its velocity is ``(x_t - x) / t``,
and its states are ``x_t = (1 - t) x + t eps``. The paper sees an adapted model as another measure over the sampler's
paths (section 3.1, appendix D.1), and stopping early as a knob between distortion and perception (appendix B.1,
proposition B.1, proof in D.2). All of it is of the model as the vector makes it: no indices steer.

**Path KL.** All models start from the same noise, and step with the same gamma. So along paths of Q

    KL(Q || P) = sum over steps of E_Q |mean_Q(x_t) - mean_P(x_t)|^2 / (2 gamma^2),

Girsanov's theorem for the discretised SDE. For fine steps of Euler-Maruyama with its ``g^2 = 2t / (1 - t)`` it tends to
the integral of ``(1 - t) / t E_Q |u_Q - u_P|^2 dt``, and, since that SDE is a noising process run backwards, to the KL
divergence of the latents where the path ends if both velocities are exact. In bits: the least that a coder which
shares P alone needs to tell a path of Q, so what the vector would cost as indices. The last step is deterministic
under both models, its KL infinite or nothing, and is left out.

**Velocity error** ``e(t) = E mean_i (u(x_t, t) - (eps - x))_i^2`` at the states of Q*: what flow matching minimises at
one t. The predicted clean latents ``x^ = x_t - t u`` are off by exactly ``t (eps - x - u)``, so by ``t^2 e(t)``.

**Early stop.** The decoder follows the ODE from eps to a state y_t, and shows ``x^(y_t)``. With the ideal state x_t of
the same eps, ``x^(y_t) - x = [x^(x_t) - x] + [x^(y_t) - x^(x_t)]``, and Minkowski's inequality gives

    error = E |x^(y_t) - x|^2  <=  bound = (sqrt(t^2 e(t)) + sqrt(state))^2,    state = E |x^(y_t) - x^(x_t)|^2.

The second term is the distribution part, what it costs that the decoder's states are not those of Q*: 0 at t = 1, it
gathers the errors of all steps so far.

The paper's proposition B.1 goes on from here. It takes the velocity to be L-Lipschitz, so ``|x^(y_t) - x^(x_t)| <=
(1 + t L) |y_t - x_t|``, and bounds the distance of the states by Groenwall's inequality from the velocity errors along
the clean path. On a grid of times, where the clean path is straight, that reads

    |y_s - x_s| <= |y_t - x_t| + (t - s) (L |y_t - x_t| + sqrt(e(t))),

and `Stop.proposition_term` is ``((1 + t L) |y_t - x_t|)^2`` with this in place of ``|y_t - x_t|``. It differs in three
things. The grid's sum stands for the paper's integral, so it holds for the decoder's own steps. L is not one constant
for all states, which nobody knows of a network, but the ratio ``|u(y_t) - u(x_t)| / |y_t - x_t|`` found at each step.
Norms are root mean squares over latent entries. ``state`` above is measured, needs no L, and is never above it.

Without a coupling of states, their drift is measured by

    KL(Q* || Q) down to t = sum over the steps so far of E |mean* - mean_Q|^2 / (2 gamma^2) at the states of Q*,

which for fine steps is D times the integral of ``(1 - t) / t e(t) dt`` from t to 1 (D latent entries), and grows
without limit as t falls to 0 where e(0) > 0. Hence the trade: stopping at a larger t leaves out the steps of the
largest KL and pays ``t^2 e(t)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor

from vov_lightning.bitstream.header import SteeredKernel
from vov_lightning.flow import Velocity, flow_loss, interpolate, ode_step, predict_clean
from vov_lightning.sampling.kernels import divergence_bits, transition

ETA = 1.0
"""Eta of the ancestral kernel: the full noise of the posterior."""
PAPERS_KERNEL: SteeredKernel = "euler_maruyama"


@dataclass(frozen=True)
class PathStep:
    """One step of a path: from ``x_t`` at t to s, by the clean latents that were predicted; both on the CPU."""

    t: float
    s: float
    x_t: Tensor
    clean: Tensor


@dataclass(frozen=True)
class Stop:
    """Terms of the early-stop bound at one time, from one noise; the KL is that of the step which begins there."""

    error: float
    velocity_term: float
    state_term: float
    proposition_term: float
    step_bits: float


def sample_path(
    velocity: Velocity, noise: Tensor, times: Sequence[float], kernel: SteeredKernel, generator: Generator
) -> list[PathStep]:
    """Stochastic steps of a model from ``noise`` [B, ...], all but the last.

    Args:
        velocity: The model.
        noise: Latents at the first time, 1.
        times: Descending, from 1 to 0.
        kernel: Of the steps.
        generator: Of the steps' noise (CPU).
    """
    x_t, path = noise, []
    for t, s in pairwise(times[:-1]):
        clean = _clean(velocity, x_t, t)
        path.append(PathStep(t, s, x_t.cpu(), clean.cpu()))
        mean, gamma = transition(kernel, ETA, x_t, clean, t, s)
        fresh = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype)
        x_t = mean + gamma * fresh.to(x_t.device)
    return path


def path_divergences(
    velocity: Velocity, path: Sequence[PathStep], kernel: SteeredKernel, device: torch.device
) -> list[float]:
    """KL divergence of each step in bits, from the model that took ``path`` to the one of ``velocity``."""
    bits = []
    for step in path:
        x_t, clean = step.x_t.to(device), step.clean.to(device)
        bits.append(_step_bits(kernel, x_t, clean, _clean(velocity, x_t, step.t), step.t, step.s))
    return bits


def velocity_errors(velocity: Velocity, clean: Tensor, noise: Tensor, times: Sequence[float]) -> list[float]:
    """``e(t)`` at each of ``times`` for clean latents and noise [B, ...], a mean over all entries."""
    errors = []
    for t in times:
        batch_t = _batch(t, noise)
        u = velocity(interpolate(clean, noise, batch_t), batch_t)
        errors.append(float(flow_loss(u, clean, noise).mean()))
    return errors


def early_stops(velocity: Velocity, clean: Tensor, noise: Tensor, times: Sequence[float]) -> list[Stop]:
    """Terms of the early-stop bound at each of ``times`` but the last, which is 0, along the decoder's ODE."""
    stops, state, drift = [], noise, 0.0  # drift: bound on |y_t - x_t|
    for t, s in pairwise(times):
        batch_t = _batch(t, noise)
        u = velocity(state, batch_t)
        shown = predict_clean(state, u, batch_t)
        ideal_state = interpolate(clean, noise, batch_t)
        u_ideal = velocity(ideal_state, batch_t)
        at_ideal = predict_clean(ideal_state, u_ideal, batch_t)
        apart = _square(state - ideal_state) ** 0.5
        lipschitz = _square(u - u_ideal) ** 0.5 / apart if apart > 0 else 0.0
        proposition = ((1 + t * lipschitz) * drift) ** 2
        drift += (t - s) * (lipschitz * drift + float(flow_loss(u_ideal, clean, noise).mean()) ** 0.5)
        bits = _step_bits(PAPERS_KERNEL, ideal_state, clean, at_ideal, t, s) if s > 0 else 0.0
        terms = (_square(shown - clean), _square(at_ideal - clean), _square(shown - at_ideal))
        stops.append(Stop(*terms, proposition, bits))
        state = ode_step(state, u, t, s)
    return stops


def _step_bits(kernel: SteeredKernel, x_t: Tensor, clean: Tensor, other: Tensor, t: float, s: float) -> float:
    mean, gamma = transition(kernel, ETA, x_t, clean, t, s)
    return divergence_bits((transition(kernel, ETA, x_t, other, t, s)[0] - mean) / gamma)


def _clean(velocity: Velocity, x_t: Tensor, t: float) -> Tensor:
    batch_t = _batch(t, x_t)
    return predict_clean(x_t, velocity(x_t, batch_t), batch_t)


def _batch(t: float, like: Tensor) -> Tensor:
    return torch.full((len(like),), t, dtype=torch.float32, device=like.device)


def _square(difference: Tensor) -> float:
    return float(difference.double().square().mean())
