"""What a reader is willing to handle, checked before anything is allocated or any model is loaded.

The format itself is generous; a file from a stranger need not be. Each limit is raised by naming it, never by the file.
"""

from dataclasses import dataclass

from vov_lightning.bitstream.header import Header
from vov_lightning.errors import BitstreamError


@dataclass(frozen=True)
class Limits:
    """Hard limits on a ``.vov`` file. Raise one to read a file that you trust."""

    file_bytes: int = 2**28
    """Size of the file."""
    output_samples: int = 2**31
    """Numbers in the decoded frames of a segment before cropping: 3 (R, G, B) x frames x height x width."""
    segments: int = 2**12
    """Segments of the clip."""
    k: int = 2**24
    """Entries of the vector."""
    rank: int = 256
    """Rank of the adapter."""
    steps: int = 1000
    """Denoising steps."""
    indices: int = 2**22
    """Indices of all steps of a segment."""
    all_indices: int = 2**24
    """Indices of all segments, which are in memory together."""
    all_steps: int = 2**20
    """Steps that carry indices, of all segments."""
    candidates: int = 2**28
    """Candidates behind the indices of a segment: indices x 2^bits, which bounds the time to redraw them."""
    caption_bytes: int = 4096
    """The caption in UTF-8, decompressed."""
    times: int = 2**20
    """Frames of a clip that has a time for each."""
    sound_bytes: int = 2**27
    """Size of the sound."""

    def check(self, name: str, value: int) -> None:
        """Raise ``BitstreamError`` if ``value`` is above the limit ``name``.

        Example:
            >>> Limits(k=9).check("k", 4096)
            Traceback (most recent call last):
            vov_lightning.errors.BitstreamError: k=4096 is above the limit of 9; for a file you trust: --limits.k 4096
        """
        limit = getattr(self, name)
        if value > limit:
            raise BitstreamError(
                f"{name}={value} is above the limit of {limit}; for a file you trust: --limits.{name} {value}"
            )

    def check_header(self, header: Header, frames: int | None = None) -> None:
        """Raise ``BitstreamError`` if decoding under ``header`` would exceed a limit.

        Args:
            header: What a file says.
            frames: Most frames of a segment, its padding included; by default all of the header's.
        """
        rows, columns = header.height + header.pad_height, header.width + header.pad_width
        self.check("output_samples", 3 * (frames or header.frames + header.pad_frames) * rows * columns)
        self.check("k", header.k)
        self.check("rank", header.rank)
        self.check("steps", header.steps)


DEFAULT_LIMITS = Limits()
