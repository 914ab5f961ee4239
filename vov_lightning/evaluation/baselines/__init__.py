"""Other codecs, coded for real at the bytes of a ``.vov`` file.

`Baseline.code` takes a `Task` (a clip and what it costs as a ``.vov``) and gives `Coded` frames with the bytes that
they took; ``base.py`` says what counts and what matches.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vov_lightning.errors import SettingError
from vov_lightning.evaluation.baselines.base import Baseline, BaselineError, Coded, Task, UnreachableError
from vov_lightning.evaluation.baselines.external import ExternalCodec
from vov_lightning.evaluation.baselines.indices import Indices
from vov_lightning.evaluation.baselines.neural import DcvcDC, DcvcFM, DcvcRT, GlcVideo
from vov_lightning.evaluation.baselines.siren import SirenBaseline
from vov_lightning.evaluation.baselines.standard import X265, SvtAv1, VVenC
from vov_lightning.nearest import did_you_mean

__all__ = ["BASELINES", "Baseline", "BaselineError", "Coded", "Task", "UnreachableError", "make_baselines"]

_CLASSES: tuple[type[Baseline], ...] = (Indices, X265, SvtAv1, VVenC, SirenBaseline, DcvcDC, DcvcFM, DcvcRT, GlcVideo)
BASELINES: dict[str, type[Baseline]] = {one.key: one for one in _CLASSES}
"""Every baseline by its key, in the report's order."""


def make_baselines(names: Iterable[str], settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Baseline]:
    """Baselines by their keys, in the order of ``names``.

    Args:
        names: Keys of `BASELINES`.
        settings: Arguments of their constructors by key, where their defaults are not wanted. The neural codecs need
            ``repository``, ``image_weights`` and ``video_weights``.

    Raises:
        SettingError: If a name is unknown or twice there, or settings do not suit.

    Example:
        >>> [baseline.label for baseline in make_baselines(["x265", "siren"], {"x265": {"preset": "medium"}})]
        ['x265 (HEVC)', 'SIREN']
    """
    names, settings = list(names), settings or {}
    for name in [*names, *settings]:
        if name not in BASELINES:
            known = ", ".join(BASELINES)
            raise SettingError(f"baseline {name!r} is unknown; known are {known}{did_you_mean(name, BASELINES)}")
    if len(set(names)) < len(names):
        raise SettingError(f"baselines {', '.join(names)} name one twice; name each once")
    if unused := [name for name in settings if name not in names]:
        raise SettingError(
            f"settings of {', '.join(unused)}, which is not among the baselines; add it, or leave them out"
        )
    return [_make(name, settings.get(name, {})) for name in names]


def _make(name: str, settings: Mapping[str, Any]) -> Baseline:
    kind = BASELINES[name]
    if issubclass(kind, ExternalCodec) and not settings:
        raise SettingError(
            f"baseline {name} runs its authors' code with their weights: give repository, image_weights and "
            f"video_weights; {kind.where}"
        )
    try:
        return kind(**settings)
    except TypeError as error:
        raise SettingError(f"baseline {name} does not take these settings ({error}): {dict(settings)}") from None
