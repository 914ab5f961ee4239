"""Decoded pictures of a video to upright RGB bytes, as ffmpeg shows them.

The conversion is that of ffmpeg's command line: libswscale's bicubic scaler inside a filter graph, so that frames equal
``ffmpeg -i clip -fps_mode passthrough -f rawvideo -pix_fmt rgb24`` byte for byte (``tests/unit/video/test_matrix.py``).

- Colour: the matrix (BT.601, BT.709, FCC, SMPTE 240M, BT.2020) and range that the stream states, and where it states
  none BT.601 and limited range at every size. Any other matrix (YCgCo, ICtCp, ...) is refused, because libswscale would
  use another one instead. 8-bit 4:2:0 of even height takes its fast conversion: one grey level darker on a smooth
  pattern, and 36 dB where an exact one has 40. HDR is not tone-mapped, and a warning says so.
- Depth: more than 8 bits are converted to 8, and a warning says so.
- Interlaced pictures keep both fields in one frame. Their chroma is converted field by field, unlike ffmpeg without
  ``scale=interl=1``, which mixes the two; and a warning says so.
- Orientation: all eight of the display matrix.
- Alpha that changes nothing is dropped; alpha that does is refused.
"""

import struct
import warnings
from pathlib import Path

import av
import av.filter
import numpy as np
import torch
from av.sidedata.sidedata import SideData
from torch import Tensor

from vov_lightning.errors import SignalError, SignalWarning
from vov_lightning.video.cropping import Crop
from vov_lightning.video.images import transparency_error

# AVColorSpace, the codes of ITU-T H.273: BT.709, unstated, FCC, BT.601 (two codes), SMPTE 240M, BT.2020.
CONVERTED_MATRICES = (1, 2, 4, 5, 6, 7, 9)
YCGCO = 8
MATRIX_NAMES = {0: "RGB", YCGCO: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"}

HDR_CURVES = {16: "PQ", 18: "HLG"}
"""AVColorTransferCharacteristic, the codes of ITU-T H.273."""

Matrix = tuple[int, int, int, int]
"""``a, b, c, d``: a pixel at x, y is shown at ``a*x + c*y, b*x + d*y``, apart from a shift."""

ONE_DEGREE = 0.0175  # its tangent; ffmpeg's own tolerance for "a multiple of 90 degrees"


class PictureConverter:
    """Pixels of decoded frames; keeps libswscale's state from one frame to the next.

    Args:
        path: The video, for messages.
        crop: What to cut off at the sides of what the decoder gives.
    """

    def __init__(self, path: Path, crop: Crop) -> None:
        self._path, self._crop = path, crop
        self._settings: tuple | None = None
        self._graph = av.filter.Graph()
        self._told: set[str] = set()
        self._matrix = (1, 0, 0, 1)

    def follow(self, frame: av.VideoFrame) -> None:
        """Remember how ``frame`` is to be shown; H.264 may say it once for all frames that follow."""
        self._matrix = display_matrix(frame) or self._matrix

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """Upright pixels ``[3, H, W]`` uint8.

        Raises:
            SignalError: If pixels are transparent, the colour matrix is none that libswscale converts, the picture is
                to be shown at an angle, or a picture holds one field only.
        """
        self.follow(frame)
        self._check(frame)
        has_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        pixels = torch.from_numpy(self._convert(frame, "rgba" if has_alpha else "rgb24"))
        if has_alpha:
            if pixels[..., 3].min() < 255:
                raise transparency_error(self._path, f"{self._path.stem}_flat.mkv")
            pixels = pixels[..., :3]
        # [H, W, 3] -> [3, H, W]
        return pixels.permute(2, 0, 1).contiguous()

    def _check(self, frame: av.VideoFrame) -> None:
        path = self._path
        if not frame.format.is_rgb and not frame.format.has_palette and frame.colorspace not in CONVERTED_MATRICES:
            matrix = MATRIX_NAMES.get(frame.colorspace, f"code {frame.colorspace}")
            remedy = "so export it with one of these; if only its tag is wrong, correct that"
            change = "setparams=colorspace=bt709"
            if frame.colorspace == YCGCO:
                remedy, change = "so convert it", "zscale=matrix=709"
            raise SignalError(
                f"{path} states the colour matrix {matrix}, which libswscale does not convert; wanted BT.601, BT.709 "
                f"or BT.2020, {remedy}: ffmpeg -i {path.name} -vf {change} -c:v ffv1 {path.stem}_bt709.mkv"
            )
        if frame.interlaced_frame:
            self._tell(
                f"{path} is interlaced: each frame is coded with both of its fields, which shows combs where things "
                "move; for whole pictures deinterlace it first: "
                f"ffmpeg -i {path.name} -vf bwdif -c:v ffv1 {path.stem}_whole.mkv"
            )
        bits = max(component.bits for component in frame.format.components)
        if frame.color_trc in HDR_CURVES:
            to_light = "zscale=transfer=linear:npl=100,tonemap=hable,zscale=transfer=bt709:matrix=bt709:primaries=bt709"
            self._tell(
                f"{path} is HDR ({HDR_CURVES[frame.color_trc]}), and its {bits} bits are reduced to 8 without tone "
                "mapping: it will look pale; map it first: "
                f"ffmpeg -i {path.name} -vf {to_light},format=yuv420p -c:v ffv1 {path.stem}_sdr.mkv"
            )
        elif bits > 8:
            self._tell(f"{path} has {bits} bits a sample, which are reduced to 8")

    def _tell(self, message: str) -> None:
        """A warning, once."""
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, SignalWarning, stacklevel=2)

    def _convert(self, frame: av.VideoFrame, target: str) -> np.ndarray:
        """``[H, W, C]`` uint8, cropped and upright."""
        matrix = self._matrix
        settings = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, matrix, target)
        if settings != self._settings:
            self._graph = av.filter.Graph()
            source = self._graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base="1/1",
                colorspace=str(int(frame.colorspace)),
                range=str(int(frame.color_range)),
            )
            # In the order of ffmpeg, which crops to whole chroma samples and turns before it converts, unless chroma
            # is subsampled in one direction only and would be so in the other.
            left, right, top, bottom = self._crop
            crop = [("crop", f"iw-{left + right}:ih-{top + bottom}:{left}:{top}")] if any(self._crop) else []
            turn = upright(matrix, self._path)
            convert = [("scale", "interl=-1:flags=bicubic"), ("format", target)]
            is_skewed = frame.format.chroma_width(64) != frame.format.chroma_height(64)
            steps = [*crop, *convert, *turn] if is_skewed and turns_sides(matrix) else [*crop, *turn, *convert]
            nodes = [self._graph.add(*step) for step in (*steps, ("buffersink", ""))]
            self._graph.link_nodes(source, *nodes).configure()
            self._settings = settings
        self._graph.push(frame)
        picture = self._graph.pull()
        assert isinstance(picture, av.VideoFrame)
        return picture.to_ndarray()


def display_matrix(frame: av.VideoFrame) -> Matrix | None:
    """Display matrix of the frame; None without one."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return None
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    return a, b, c, d


def upright(matrix: Matrix, path: Path) -> list[tuple[str, str]]:
    """ffmpeg's filters, each with its argument, that turn by quarters and mirror a picture as it is to be shown.

    Raises:
        SignalError: If it is to be shown at another angle.
    """
    a, b, c, d = matrix
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) > ONE_DEGREE * max(straight, crossed):
        raise SignalError(
            f"{path} is to be shown at an angle (display matrix {a} {b} {c} {d}); wanted a multiple of 90 degrees, so "
            f"turn it first: ffmpeg -i {path.name} {path.stem}_turned.mp4"
        )
    if crossed > straight:
        if b > 0:
            return [("transpose", "cclock_flip" if c > 0 else "clock")]
        return [("transpose", "clock_flip" if c < 0 else "cclock")]
    return [(name, "") for name, sign in (("hflip", a), ("vflip", d)) if sign < 0]


def turns_sides(matrix: Matrix) -> bool:
    """Whether rows are shown as columns."""
    a, b, c, d = matrix
    return max(abs(b), abs(c)) > max(abs(a), abs(d))
