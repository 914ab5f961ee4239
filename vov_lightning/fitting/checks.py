"""What a fit asks of Lightning's trainer, whole weights and draws that are shared, and of the device."""

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from vov_lightning.bases import BaseModel
from vov_lightning.bitstream.header import ComputeDtype
from vov_lightning.errors import RunError, SettingError


def check_trainer(trainer: L.Trainer) -> None:
    """Refuse a trainer that cannot fit a vector.

    Raises:
        RunError: If it has a strategy that cuts up weights, or a precision that changes them.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise RunError(
            f"trainer.strategy={type(trainer.strategy).__name__} cuts up what is fitted; use --trainer.strategy ddp on "
            "several devices, and auto on one"
        )
    if trainer.precision.endswith("-true") and trainer.precision != "32-true":
        raise RunError(
            f"trainer.precision={trainer.precision} would change the vector or the base model's weights; "
            "use bf16-mixed, 16-mixed or 32-true"
        )


def check_arithmetic(compute_dtype: ComputeDtype, weights: torch.dtype, device: torch.device) -> None:
    """Try the sampler's arithmetic on ``device``: not every CPU, and not every PyTorch, has float16.

    Args:
        compute_dtype: Of the sampler.
        weights: Type of the base model's weights.
        device: That decodes.

    Raises:
        SettingError: If it is not there.
    """
    own = compute_dtype == "weights"
    dtype = weights if own else getattr(torch, compute_dtype)
    if dtype == torch.float32:
        return
    stored = weights if own else torch.float32
    tokens = torch.zeros(1, 1, 4, 8, device=device, dtype=stored)
    volume = torch.zeros(1, 8, 2, 2, 2, device=device, dtype=stored)
    try:
        with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=not own):
            torch.nn.functional.linear(tokens, tokens[0, 0])
            torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
            torch.nn.functional.conv3d(volume, volume)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise SettingError(
            f"compute_dtype={compute_dtype} does not work on {device} ({reason}); use --model.sampler.compute_dtype "
            "float32, or bfloat16"
        ) from error


def check_siblings(base: BaseModel, fit_base: BaseModel, targets: tuple[str, ...]) -> None:
    """Refuse a pair of models that one vector cannot adapt alike.

    Raises:
        SettingError: If their latents or adapted layers differ in shape, or their context_parallel differs.
    """
    if base.context_parallel != fit_base.context_parallel:
        raise SettingError(
            f"fit_base.context_parallel={fit_base.context_parallel} differs from "
            f"base.context_parallel={base.context_parallel}; give one number to both"
        )
    shapes = [
        {name: (layer.in_features, layer.out_features) for name, layer in one.adapted_layers(targets).items()}
        for one in (base, fit_base)
    ]
    if list(shapes[0].items()) != list(shapes[1].items()):
        odd = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
        raise SettingError(
            f"fit_base={fit_base.name} and base={base.name} differ in layer {odd}; give two of one architecture"
        )
    sizes = [one.latent_shape(base.default_size) for one in (base, fit_base)]
    if sizes[0] != sizes[1]:
        raise SettingError(
            f"fit_base={fit_base.name} has latents {sizes[1]}, base={base.name} {sizes[0]}; give two of one autoencoder"
        )
