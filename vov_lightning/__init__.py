"""vov_lightning: a video as the smallest change to a frozen generative model that makes the model generate it.

The packages follow the data: `video` (files, frames) -> `bases` (frames, latents,
velocity) -> `vector` (vector, LoRA, symbols) -> `bitstream` (symbols, .vov) ->
`sampling` (noise, latents) -> `bases` and `video` again. `codec` holds the ways
through a file: decode it, steer it, edit it. `runs` knows the folders of fits,
`fitting` finds the vector, `evaluation` measures, `export` gives files to others,
`cli` holds the commands. Only `fitting`, `evaluation` and `cli` know Lightning.

Public names load on first use, so that decoding never imports Lightning.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "vov_lightning.video": ("Signal", "read_signal", "write_signal"),
    "vov_lightning.bases": ("BaseModel", "ClipSize", "load_base"),
    "vov_lightning.bitstream": ("Limits", "VovFile"),
    "vov_lightning.captioners": ("Captioner", "EndpointCaptioner", "LocalCaptioner"),
    "vov_lightning.bases.nano.vocabulary": ("describe",),
    "vov_lightning.codec.decode": ("decode",),
    "vov_lightning.codec.edit": ("EditConfig", "edit", "merge"),
    "vov_lightning.export": ("export_diffusers", "export_merged", "export_peft", "export_unilora", "lora_matrices"),
    "vov_lightning.fitting.data": ("SignalData",),
    "vov_lightning.fitting.drift": ("DriftMonitor",),
    "vov_lightning.fitting.objectives": ("FlowMatching", "Reconstruction"),
    "vov_lightning.fitting.module": ("VOVModule",),
    "vov_lightning.fitting.run": ("FitResult", "fit"),
    "vov_lightning.fitting.stages": ("RateConstrained", "Unconstrained"),
    "vov_lightning.sampling.config": ("SamplerConfig", "ScalingConfig"),
    "vov_lightning.codec.scale": ("scale",),
    "vov_lightning.codec.steer": ("keep_steps",),
    "vov_lightning.vector.adapter": ("AdapterConfig",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
