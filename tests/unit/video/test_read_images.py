"""Reading images: bit depths, colour modes, orientation and transparency."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SignalError
from vov_lightning.video import read_signal

UNKNOWN_TO_PILLOW = {(12, False, ">"), (12, True, "<"), (12, True, ">"), (16, True, ">")}


def grey_tiff(path: Path, levels: np.ndarray, bits: int, white_is_zero: bool, order: str) -> None:
    """One row of pixels; ``order`` is that of bytes, ``<`` or ``>``."""
    if bits == 16:
        row = levels.astype(f"{order}u2").tobytes()
    else:
        digits = "".join(format(level, f"0{bits}b") for level in levels)
        row = int(digits, 2).to_bytes(len(digits) // 8, "big")
    values = {256: len(levels), 257: 1, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8, 277: 1, 278: 1}
    values[279] = len(row)
    offset = 8 + len(row)
    entries = b"".join(struct.pack(f"{order}HHIHxx", tag, 3, 1, value) for tag, value in sorted(values.items()))
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, offset)
    path.write_bytes(head + row + struct.pack(f"{order}H", len(values)) + entries + bytes(4))


class TestImage:
    @pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tiff", "TIF"])
    def test_lossless_kinds(self, media, ending):
        pattern = media.pattern(1, 31, 47)
        path = media.folder / f"still.{ending}"
        Image.fromarray(pattern[0]).save(path, **({"lossless": True} if ending == "webp" else {}))
        signal = read_signal(path, max_frames=9)
        assert (signal.num_frames, signal.fps, signal.name) == (1, Fraction(1), "still")
        assert torch.equal(signal.frames.permute(0, 2, 3, 1), torch.from_numpy(pattern))

    @pytest.mark.parametrize(("ending", "mode"), [("jpg", "RGB"), ("jpeg", "CMYK"), ("png", "P"), ("tif", "CMYK")])
    def test_converted_kinds(self, media, ending, mode):
        pattern = media.pattern(1)
        path = media.folder / f"still.{ending}"
        Image.fromarray(pattern[0]).convert(mode).save(path, **({"quality": 95} if ending[0] == "j" else {}))
        assert media.psnr_db(read_signal(path).frames, pattern) > 20

    def test_grey_is_repeated(self, media):
        grey = media.pattern(1)[0, ..., 0]
        for mode in ("L", "1"):
            Image.fromarray(grey).convert(mode).save(media.folder / "grey.png")
            frames = read_signal(media.folder / "grey.png").frames[0]
            assert torch.equal(frames[0], frames[1])
            assert torch.equal(frames[1], frames[2])
        Image.fromarray(grey).save(media.folder / "grey.png")
        assert torch.equal(read_signal(media.folder / "grey.png").frames[0, 0], torch.from_numpy(grey))

    @pytest.mark.parametrize("ending", ["png", "tiff"])
    def test_sixteen_bit_grey_keeps_the_high_byte(self, media, ending):
        deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
        Image.fromarray(deep).save(media.folder / f"deep.{ending}")
        frames = read_signal(media.folder / f"deep.{ending}").frames
        assert torch.equal(frames[0, 0].flatten(), torch.arange(256, dtype=torch.uint8))

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("white_is_zero", [False, True])
    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
    def test_grey_tiff_of_any_depth_and_direction(self, media, bits, white_is_zero, order):
        """Right, or refused where Pillow knows no such file; never a negative and never darker."""
        levels = np.linspace(0, 2**bits - 1, 32).round().astype(int)
        grey_tiff(media.folder / "grey.tif", levels[::-1] if white_is_zero else levels, bits, white_is_zero, order)
        if (bits, white_is_zero, order) in UNKNOWN_TO_PILLOW:
            with pytest.raises(SignalError, match=r"grey\.tif cannot be read as an image"):
                read_signal(media.folder / "grey.tif")
            return
        frames = read_signal(media.folder / "grey.tif").frames
        expected = levels >> (bits - 8) if bits > 8 else levels * 255 // (2**bits - 1)
        assert torch.equal(frames[0, :, 0], torch.from_numpy(expected.astype(np.uint8)).expand(3, -1))

    def test_sixteen_bit_colour_keeps_the_high_byte(self, media):
        deep = media.pattern(1).astype(np.uint16) * 257
        with av.open(str(media.folder / "deep.png"), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = 32, 64, "rgb48be"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(deep[0], format="rgb48be")))
            container.mux(stream.encode())
        frames = read_signal(media.folder / "deep.png").frames
        assert torch.equal(frames.permute(0, 2, 3, 1), torch.from_numpy(media.pattern(1)))

    @pytest.mark.parametrize("ending", ["png", "webp", "tiff"])
    def test_alpha(self, media, ending):
        image = Image.fromarray(media.pattern(1)[0])
        path = media.folder / f"still.{ending}"
        image.putalpha(255)
        image.save(path, **({"lossless": True} if ending == "webp" else {}))
        assert media.psnr_db(read_signal(path).frames, media.pattern(1)) > 38
        image.putpixel((3, 3), (0, 0, 0, 254))
        image.save(path, **({"lossless": True, "exact": True} if ending == "webp" else {}))
        with pytest.raises(
            SignalError, match=rf"still\.{ending} has transparent pixels.*ffmpeg -i still.{ending} .*_flat"
        ):
            read_signal(path)

    def test_transparent_palette_and_grey(self, media):
        path = media.folder / "clear.png"
        ones = np.ones((4, 4), np.uint8)
        palette = Image.fromarray(ones, mode="P")
        palette.putpalette(bytes(range(12)))
        for image in (palette, Image.fromarray(ones), Image.fromarray(ones.astype(np.uint16))):
            image.save(path, transparency=1)
            with pytest.raises(SignalError, match="has transparent pixels"):
                read_signal(path)
            image.save(path, transparency=2)
            assert read_signal(path).is_image

    def test_orientation_is_applied(self, media):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        Image.fromarray(media.pattern(1)[0]).save(media.folder / "phone.png", exif=exif)
        turned = read_signal(media.folder / "phone.png").frames.permute(0, 2, 3, 1)
        assert torch.equal(turned, torch.from_numpy(np.rot90(media.pattern(1), -1, axes=(1, 2)).copy()))

    def test_samples_of_unknown_range_are_refused(self, media):
        for samples, message in ((np.float32(0.5), "floating-point"), (np.int32(70000), "32-bit integer")):
            Image.fromarray(np.full((4, 4), samples)).save(media.folder / "odd.tiff")
            with pytest.raises(SignalError, match=f"{message} samples of unknown range; convert it"):
                read_signal(media.folder / "odd.tiff")

    def test_animations_are_refused_and_phone_previews_are_not(self, media):
        frames = [Image.fromarray(frame) for frame in media.pattern(2)]
        for ending in ("webp", "png", "tiff"):
            frames[0].save(media.folder / f"many.{ending}", save_all=True, append_images=frames[1:])
            with pytest.raises(SignalError, match="holds 2 pictures"):
                read_signal(media.folder / f"many.{ending}")
        frames[0].save(media.folder / "phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
        assert read_signal(media.folder / "phone.jpg").is_image

    def test_start_beyond_the_only_frame(self, media):
        Image.new("L", (4, 4)).save(media.folder / "still.png")
        with pytest.raises(SignalError, match="has 1 frame"):
            read_signal(media.folder / "still.png", start=1)
