"""vov_lightning: a video as the smallest change to a frozen generative model that makes the model generate it.

The packages follow the data: `video` (files, frames) -> `bases` (frames, latents,
velocity) -> `vector` (vector, LoRA, symbols) -> `bitstream` (symbols, .vov) ->
`sampling` (noise, latents) -> `bases` and `video` again. `codec` holds the ways
through a file: decode it, steer it, edit it. `runs` knows the folders of fits,
`fitting` finds the vector, `evaluation` measures, `export` gives files to others,
`cli` holds the commands. Only `fitting`, `evaluation` and `cli` know Lightning.

Public names load on first use, so that decoding never imports Lightning. Type checkers see them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


if TYPE_CHECKING:
    from vov_lightning.bases import BaseModel as BaseModel
    from vov_lightning.bases import ClipSize as ClipSize
    from vov_lightning.bases import load_base as load_base
    from vov_lightning.bases.nano.vocabulary import describe as describe
    from vov_lightning.bitstream import Limits as Limits
    from vov_lightning.bitstream import VovFile as VovFile
    from vov_lightning.captioners import Captioner as Captioner
    from vov_lightning.captioners import EndpointCaptioner as EndpointCaptioner
    from vov_lightning.captioners import LocalCaptioner as LocalCaptioner
    from vov_lightning.codec.decode import decode as decode
    from vov_lightning.codec.edit import EditConfig as EditConfig
    from vov_lightning.codec.edit import edit as edit
    from vov_lightning.codec.edit import merge as merge
    from vov_lightning.codec.scale import scale as scale
    from vov_lightning.codec.steer import keep_steps as keep_steps
    from vov_lightning.export import export_diffusers as export_diffusers
    from vov_lightning.export import export_merged as export_merged
    from vov_lightning.export import export_peft as export_peft
    from vov_lightning.export import export_unilora as export_unilora
    from vov_lightning.export import lora_matrices as lora_matrices
    from vov_lightning.fitting.data import SignalData as SignalData
    from vov_lightning.fitting.drift import DriftMonitor as DriftMonitor
    from vov_lightning.fitting.module import VOVModule as VOVModule
    from vov_lightning.fitting.objectives import FlowMatching as FlowMatching
    from vov_lightning.fitting.objectives import Reconstruction as Reconstruction
    from vov_lightning.fitting.run import FitResult as FitResult
    from vov_lightning.fitting.run import fit as fit
    from vov_lightning.fitting.stages import RateConstrained as RateConstrained
    from vov_lightning.fitting.stages import Unconstrained as Unconstrained
    from vov_lightning.sampling.config import SamplerConfig as SamplerConfig
    from vov_lightning.sampling.config import ScalingConfig as ScalingConfig
    from vov_lightning.vector.adapter import AdapterConfig as AdapterConfig
    from vov_lightning.video import Signal as Signal
    from vov_lightning.video import read_signal as read_signal
    from vov_lightning.video import write_signal as write_signal

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("vov_lightning")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
