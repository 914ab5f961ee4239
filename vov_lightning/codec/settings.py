"""A header's fields as the sampler's settings, and the settings as fields: each mapping beside its inverse."""

from dataclasses import replace

from vov_lightning.bitstream import Header
from vov_lightning.errors import BitstreamError, SettingError
from vov_lightning.sampling.config import SamplerConfig, SteeringConfig


def sampler_of(header: Header) -> SamplerConfig:
    """The sampler that ``header`` describes.

    Raises:
        BitstreamError: If its times do not fall from 1 to 0.
    """
    try:
        return SamplerConfig(
            steps=header.steps,
            grid=header.grid,
            shift=header.shift,
            guidance=header.guidance,
            seed=header.seed,
            compute_dtype=header.compute_dtype,
            scheduler=header.scheduler,
        )
    except SettingError as error:
        raise BitstreamError(f"the file's sampler cannot run: {error}") from None


def with_sampler(header: Header, sampler: SamplerConfig) -> Header:
    """``header`` that describes ``sampler``; the linear grid has no shift."""
    default = type(header).shift
    return replace(
        header,
        steps=sampler.steps,
        grid=sampler.grid,
        shift=sampler.shift if sampler.grid == "shifted" else default,
        guidance=sampler.guidance,
        seed=sampler.seed,
        compute_dtype=sampler.compute_dtype,
        scheduler=sampler.scheduler,
    )


def steering_of(header: Header) -> SteeringConfig:
    """What the file's indices choose from; the defaults for a file without any."""
    if header.kernel == "ode":
        return SteeringConfig()
    eta = header.eta if header.kernel == "ancestral" else 1.0
    return SteeringConfig(index_bits=header.index_bits, codebook=header.codebook, kernel=header.kernel, eta=eta)


def with_steering(header: Header, steering: SteeringConfig) -> Header:
    """``header`` of a file whose indices choose from what ``steering`` says; only the ancestral kernel has an eta."""
    eta = steering.eta if steering.kernel == "ancestral" else 0.0
    return replace(header, kernel=steering.kernel, eta=eta, codebook=steering.codebook, index_bits=steering.index_bits)
