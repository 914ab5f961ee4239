"""Segments of an encoder that was stopped, or of a trial: they are kept in the run's folder until it is finished."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vov_lightning.bitstream import VovFile
from vov_lightning.errors import BitstreamError
from vov_lightning.files import atomic_path


@dataclass(frozen=True)
class SegmentFolder:
    """Keeps segments as files of their own, with their latents beside them (`vov_lightning.codec.scale.SegmentStore`).

    Args:
        path: The folder; made when the first segment is kept.
        key: Changes with everything that the segments depend on; those of another key lie beside them.
    """

    path: Path
    key: str

    def get(self, number: int, template: VovFile) -> tuple[VovFile, Tensor] | None:
        """Segment ``number`` and its latents, if they are here and were made from ``template``."""
        try:
            part = VovFile.open(self._file(number))
            latents = load_file(self._latents(number))["latents"]
        except (BitstreamError, OSError, SafetensorError, KeyError):
            return None
        return (part, latents) if part.keep_steps(0) == template else None

    def put(self, number: int, part: VovFile, latents: Tensor) -> None:
        """Keep segment ``number``; it counts once its file is there, which comes last."""
        self._file(number).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._latents(number)) as temporary:
            save_file({"latents": latents.contiguous().cpu()}, temporary)
        part.save(self._file(number))

    def _file(self, number: int) -> Path:
        return self.path / self.key / f"{number:05d}.vov"

    def _latents(self, number: int) -> Path:
        return self.path / self.key / f"{number:05d}.safetensors"
