"""Real encodings of a tiny clip: the bytes are the stream's, the frames are what it decodes to."""

import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.evaluation.baselines import BaselineError, UnreachableError
from vov_lightning.evaluation.baselines.ffmpeg import Ffmpeg
from vov_lightning.evaluation.baselines.obu import units
from vov_lightning.evaluation.baselines.standard import X265, StandardCodec, SvtAv1, VVenC
from vov_lightning.video import Signal
from vov_lightning.video.compare import psnr_db

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"x265": X265("medium"), "svtav1": SvtAv1("8"), "vvenc": VVenC("faster")}
codecs = pytest.mark.parametrize("codec", QUICK.values(), ids=QUICK)


@pytest.fixture
def streams(monkeypatch) -> dict[int, bytes]:
    """The coded streams by their sizes as counted, of a codec whose ``counted`` is watched."""
    seen: dict[int, bytes] = {}
    for kind in (StandardCodec, SvtAv1):
        counted = kind.counted

        def watched(self, stream, counted=counted):
            size = counted(self, stream)
            seen[size] = stream
            return size

        monkeypatch.setattr(kind, "counted", watched)
    return seen


def nal_types(stream: bytes, type_of) -> list[int]:
    """NAL unit types of an Annex B stream, found independently of the package."""
    return [type_of(stream, match.end()) for match in re.finditer(b"\0\0\1", stream)]


@codecs
def test_codes_to_the_target_and_decodes_every_frame(codec, make_task):
    task = make_task(500)
    coded = codec.code(task)
    assert 475 <= coded.num_bytes <= 600  # within 5 %, or the next setting above
    assert coded.frames.shape == task.source.frames.shape
    assert coded.frames.dtype == torch.uint8
    source, frames = task.source, coded.frames
    assert psnr_db(Signal(frames, source.fps, "decoded"), source) > 20
    for index, frame in enumerate(frames):  # in the source's order
        errors = (source.frames.float() - frame.float()).square().mean(dim=(1, 2, 3))
        assert int(errors.argmin()) == index
    assert coded.encode_s > 0
    assert coded.decode_s > 0
    assert coded.settings.startswith("ffmpeg ")
    assert str(Path.cwd()) not in coded.settings


@codecs
def test_images_are_coded_as_well(codec, make_task):
    coded = codec.code(make_task(260, frames=1, height=64, width=64))
    assert 247 <= coded.num_bytes <= 320
    assert coded.frames.shape == (1, 3, 64, 64)


def test_the_same_clip_gives_the_same_frames_and_bytes_again(make_task):
    for codec in QUICK.values():
        first, second = codec.code(make_task(400)), codec.code(make_task(400))
        assert first.num_bytes == second.num_bytes
        assert torch.equal(first.frames, second.frames)


def test_hevc_counts_the_whole_stream_which_holds_one_key_frame_and_nothing_else(make_task, streams):
    size = X265("medium").code(make_task(500)).num_bytes
    stream = streams[size]
    assert len(stream) == size
    types = nal_types(stream, lambda data, at: data[at] >> 1 & 63)
    assert types[:4] == [32, 33, 34, 20]  # VPS, SPS, PPS, IDR_N_LP
    assert all(kind < 16 for kind in types[4:])  # no further random access, SEI (39, 40) or delimiter (35)
    assert len(types) == 3 + 5


def test_vvc_counts_the_whole_stream_which_holds_one_key_frame_and_nothing_else(make_task, streams):
    size = VVenC("faster").code(make_task(500)).num_bytes
    stream = streams[size]
    assert len(stream) == size
    types = nal_types(stream, lambda data, at: data[at + 1] >> 3)
    assert types[:2] == [15, 16]  # SPS, PPS
    slices = [kind for kind in types if kind <= 12]
    assert len(slices) == 5
    assert slices[0] in (7, 8, 9)
    assert all(kind <= 6 for kind in slices[1:])
    assert set(types) <= {*range(13), 15, 16, 17, 18}  # parameter sets, no delimiter (20) or SEI (23, 24)


def test_av1_counts_all_but_the_delimiters(make_task, streams):
    size = SvtAv1("8").code(make_task(500)).num_bytes
    stream = streams[size]
    assert stream.count(bytes([0x12, 0x00])) >= 5
    assert len(stream) - 2 * 5 == size
    kinds = [kind for kind, _ in units(stream)]
    assert kinds[:3] == [2, 1, 6]  # delimiter, sequence header, frame
    assert kinds.count(1) == 1
    assert set(kinds) <= {1, 2, 3, 6}  # no metadata, tile list or padding


def test_units_of_a_cut_av1_stream_are_refused():
    with pytest.raises(BaselineError, match="cut short"):
        list(units(bytes([0x0A, 0x05, 1, 2])))
    with pytest.raises(BaselineError, match="cut short"):
        list(units(bytes([0x0A, 0x85])))
    with pytest.raises(BaselineError, match="does not say how long"):
        list(units(bytes([0x08, 0x05])))


@codecs
def test_a_target_below_the_headers_is_unreachable(codec, make_task):
    with pytest.raises(UnreachableError, match=r"60 bytes are out of reach: the smallest stream .* \(ffmpeg -f raw"):
        codec.code(make_task(60))


def test_odd_sides_are_unreachable(make_task, tiny_nano: Nano):
    task = make_task(500)
    odd = Signal(task.source.frames[:, :, :31], task.source.fps, "odd")
    with pytest.raises(UnreachableError, match=r"5 frames, 31x48, .* odd side"):
        X265().code(type(task)(odd, 500, task.file, tiny_nano))


def test_a_small_target_of_a_clip_that_needs_less_takes_the_finest_setting(make_task):
    task = make_task(10**7)
    coded = X265("ultrafast").code(task)
    assert "crf=0.0" in coded.settings
    assert coded.num_bytes < 10**6


def test_a_stream_of_another_frame_count_is_refused(tmp_path, make_task):
    task = make_task(500)
    ffmpeg = Ffmpeg(tmp_path, 60)
    source = ffmpeg.write_source(task.source.frames, task.source.fps)
    ffmpeg.run([*source, "-frames:v", "4", *X265("medium").encoder(200, 5), "-f", "hevc", "short.hevc"])
    with pytest.raises(BaselineError, match=r"short\.hevc decodes to 4 frames of 32x48, and 5 went in"):
        ffmpeg.decode("short.hevc", (5, 3, 32, 48))


def test_the_conversion_to_420_and_back_keeps_a_grey_clip(tmp_path):
    frames = torch.arange(16, 240, 7, dtype=torch.uint8).view(1, 1, 1, -1).expand(2, 3, 16, -1).contiguous()
    ffmpeg = Ffmpeg(tmp_path, 60)
    source = ffmpeg.write_source(frames, Fraction(25))
    ffmpeg.run([*source, "-c:v", "ffv1", "lossless.mkv"])
    assert (ffmpeg.decode("lossless.mkv", tuple(frames.shape)).int() - frames.int()).abs().max() <= 1


def test_a_missing_package_says_what_to_install(make_task, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(BaselineError, match=r'run pip install "vov_lightning\[eval\]"'):
        X265().code(make_task(500))


def test_a_missing_binary_says_how_to_get_one(make_task, monkeypatch):
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    with pytest.raises(BaselineError, match=r"No ffmpeg exe could be found.*IMAGEIO_FFMPEG_EXE"):
        X265().code(make_task(500))


def test_a_failure_shows_the_end_of_what_ffmpeg_said(make_task):
    with pytest.raises(BaselineError, match=r"ffmpeg failed with status \d+: .*no_such_preset"):
        X265("no_such_preset").code(make_task(500))


def test_a_run_that_takes_too_long_is_ended(make_task):
    with pytest.raises(BaselineError, match=r"timeout_s=0\.001 passed"):
        X265(timeout_s=0.001).code(make_task(500))
