"""Sound: copied bit for bit, in its place in time, cut with what a decoder needs, or refused with a remedy."""

import io
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from vov_lightning.errors import SignalError
from vov_lightning.video import ClipWriter, Signal, viewing_ending
from vov_lightning.video import sound as sound_module
from vov_lightning.video.matroska import read_track
from vov_lightning.video.sound import cut_sound, describe_sound, extract_sound


def decoded(sound: bytes) -> tuple[float, np.ndarray]:
    """Time of the first sample that is played, and all samples of the first channel."""
    with av.open(io.BytesIO(sound)) as container:
        frames = list(container.decode(container.streams.audio[0]))
    step = 1 if frames[0].format.is_planar else frames[0].layout.nb_channels
    return frames[0].time, np.concatenate([frame.to_ndarray()[0, ::step] for frame in frames])


class TestCopy:
    @pytest.mark.parametrize(
        ("name", "codec"),
        [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mkv", "libopus"), ("a.mkv", "flac"), ("a.mp4", "ac3")],
    )
    def test_packets_are_the_same_bits_at_the_same_time(self, clips, name, codec):
        path = clips.make(name, audio=codec, rate=48000)
        before = clips.probe(path)
        after = read_track(extract_sound(path, "copy")).packets
        assert len(before.sound) > 10
        assert [data for _, data in after] == [data for _, data in before.sound]
        for (time, _), (source_time, _) in zip(after, before.sound, strict=True):
            assert abs(time - (source_time - before.frame_times[0])) <= Fraction(1, 1000)

    def test_adts_headers_of_a_transport_stream_go_into_the_container(self, clips):
        sound = extract_sound(clips.make("a.ts"), "copy")
        assert read_track(sound).header[:1] == b"\x12"  # AudioSpecificConfig: AAC-LC
        assert abs(clips.lag_ms(io.BytesIO(sound))) < 1

    def test_sound_that_begins_later_keeps_its_place(self, clips):
        sound = extract_sound(clips.make("a.mp4", audio="ac3", sound_from=Fraction(1, 2), sound_s=1), "copy")
        assert float(read_track(sound).packets[0][0]) == pytest.approx(
            0.5 - 256 / 44100, abs=0.001
        )  # the encoder's delay

    def test_picture_that_begins_later_moves_sound_before_zero(self, clips):
        times = [Fraction(n, 30) for n in range(15, 45)]
        sound = extract_sound(clips.make("a.mkv", times=times, audio="flac", rate=48000), "copy")
        assert float(read_track(sound).packets[0][0]) == pytest.approx(-0.096, abs=0.097)  # one packet before time 0
        assert decoded(sound)[0] == pytest.approx(0, abs=0.002)

    def test_part_of_a_clip(self, clips):
        path = clips.make("a.mp4", 90)
        whole = read_track(extract_sound(path, "copy")).packets
        part = extract_sound(path, "copy", Fraction(1), Fraction(1, 2))
        packets = read_track(part).packets
        data = [data for _, data in whole]
        first = data.index(packets[0][1])
        assert data[first : first + len(packets)] == [data for _, data in packets]
        begin, samples = decoded(part)
        assert begin == pytest.approx(0, abs=0.002)
        assert len(samples) / 44100 == pytest.approx(0.5, abs=0.025)
        assert abs(clips.lag_ms(io.BytesIO(part), 1)) < 1

    def test_sound_after_the_last_frame_is_kept_unless_a_length_is_given(self, clips):
        path = clips.make("a.mp4", 15, sound_s=3)
        assert float(read_track(extract_sound(path, "copy")).end) == pytest.approx(3, abs=0.03)
        assert float(read_track(extract_sound(path, "copy", duration=Fraction(1))).end) == pytest.approx(1, abs=0.03)


class TestOpus:
    @pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2)])
    def test_sounds_the_same_at_the_same_time(self, clips, layout, channels):
        sound = extract_sound(clips.make("a.mp4", 60, layout=layout), "opus", bitrate=48000)
        track = read_track(sound)
        assert (track.codec, track.header[:8], track.header[9]) == ("A_OPUS", b"OpusHead", channels)
        assert decoded(sound)[0] == pytest.approx(0, abs=0.001)
        assert abs(clips.lag_ms(io.BytesIO(sound))) < 1

    def test_bitrate(self, clips):
        path = clips.make("a.mp4", 90)
        sizes = [len(extract_sound(path, "opus", bitrate=bitrate)) for bitrate in (12000, 24000, 96000)]
        assert sizes[0] < 0.7 * sizes[1] < 0.5 * sizes[2]

    def test_exact_length_and_place(self, clips):
        sound = extract_sound(clips.make("a.mp4", 90), "opus", Fraction(1), Fraction(1, 2))
        begin, samples = decoded(sound)
        assert begin == pytest.approx(0, abs=0.001)
        assert len(samples) / 48000 == pytest.approx(0.5, abs=0.021)  # the last 20 ms are filled up
        assert abs(clips.lag_ms(io.BytesIO(sound), 1)) < 1

    def test_beginning_later(self, clips):
        sound = extract_sound(clips.make("a.mkv", audio="flac", sound_from=Fraction(1, 2), sound_s=1), "opus")
        assert float(read_track(sound).packets[0][0]) == pytest.approx(0.5 - 312 / 48000, abs=0.001)

    def test_gap_becomes_silence(self, clips, monkeypatch):
        path = clips.make("a.mkv", 60, audio="flac", rate=48000)
        frames = sound_module._decoded_frames

        def with_a_gap(*args):
            for frame in frames(*args):
                if not 0.5 < frame.time < 1:
                    yield frame

        monkeypatch.setattr(sound_module, "_decoded_frames", with_a_gap)
        samples = decoded(extract_sound(path, "opus"))[1]
        assert np.abs(samples[int(0.7 * 48000) : int(0.9 * 48000)]).max() < 0.01
        assert np.abs(samples[int(1.3 * 48000) : int(1.6 * 48000)]).max() > 0.1


class TestNothingToCarry:
    def test_none_and_sources_without_sound(self, clips, media):
        assert extract_sound(clips.make("a.mp4"), "none") == b""
        assert extract_sound(clips.make("silent.mp4", audio=None), "copy") == b""
        assert extract_sound(clips.folder, "copy") == b""
        assert extract_sound(clips.folder / "photo.jpg", "copy") == b""
        assert extract_sound(clips.folder / "a.mp4", "copy", Fraction(100)) == b""
        assert cut_sound(b"", Fraction(0), Fraction(1)) == b""
        assert describe_sound(b"") == "no sound"


class TestCut:
    @pytest.mark.parametrize("codec", ["aac", "libopus", "flac", "libmp3lame"])
    def test_sounds_the_same_at_the_same_time(self, clips, codec):
        whole = extract_sound(clips.make("a.mkv", 90, audio=codec, rate=48000), "copy")
        cut = cut_sound(whole, Fraction(1), Fraction(2))
        begin, samples = decoded(cut)
        assert begin == pytest.approx(0, abs=0.002)
        assert len(samples) / 48000 == pytest.approx(1, abs=0.1)
        assert abs(clips.lag_ms(io.BytesIO(whole))) < 1
        assert abs(clips.lag_ms(io.BytesIO(cut), 1)) < 1

    def test_cuts_of_a_cut(self, clips):
        whole = extract_sound(clips.make("a.mp4", 90), "copy")
        twice = cut_sound(cut_sound(whole, Fraction(1, 2), Fraction(5, 2)), Fraction(1, 2), Fraction(3, 2))
        once = cut_sound(whole, Fraction(1), Fraction(2))
        assert [data for _, data in read_track(twice).packets] == [data for _, data in read_track(once).packets]

    def test_nothing_there(self, clips):
        sound = extract_sound(clips.make("a.mp4"), "copy")
        assert cut_sound(sound, Fraction(50), Fraction(51)) == b""
        with pytest.raises(SignalError, match=r"from 2 s to 1 s is empty"):
            cut_sound(sound, Fraction(2), Fraction(1))


def test_description(clips):
    sound = extract_sound(clips.make("a.mp4", 90, sound_s=4), "copy")
    assert describe_sound(sound).startswith("aac, 44100 Hz, stereo, 4.0")
    assert describe_sound(sound).endswith(" kbit/s")
    with pytest.raises(SignalError, match="damaged"):
        describe_sound(b"no sound at all")


def test_sound_of_a_clip_that_was_cut_is_copied(clips, tmp_path):
    """Its first packets are before the cut, and the file says that they are not to be played."""
    path = clips.make("a.mp4", 90, sound_s=3)
    cut = ("-ss", "1.5", "-i", path, "-c", "copy", tmp_path / "cut.mp4")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, cut)], check=True)
    assert describe_sound(extract_sound(tmp_path / "cut.mp4", "copy")).startswith("aac, 44100 Hz, stereo, ")


@pytest.mark.parametrize(
    ("audio", "ending"), [("pcm_s16le", ".mov"), ("pcm_s16le", ".mkv"), ("aac", ".mov"), ("flac", ".mkv")]
)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_a_clip_is_shown_with_its_sound(clips, tmp_path, audio, layout, ending):
    """MP4 refuses some layouts of PCM, and only when the file is closed."""
    sound = extract_sound(clips.make(f"a{ending}", audio=audio, layout=layout), "copy")
    signal = Signal(torch.zeros(2, 3, 32, 48, dtype=torch.uint8), Fraction(25), "clip")
    path = tmp_path / f"shown{viewing_ending(signal, sound)}"
    with ClipWriter(path, 32, 48, Fraction(25), sound=sound) as writer:
        writer.write(signal.frames)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name.startswith(audio)


class TestRefused:
    def test_unknown_mode(self, clips):
        with pytest.raises(SignalError, match=r"audio='mp3' is unknown; use --data\.audio copy, opus, none"):
            extract_sound(clips.make("a.mp4"), "mp3")

    @pytest.mark.parametrize("bitrate", [0, 5999, 256001])
    def test_bitrate_out_of_range(self, clips, bitrate):
        with pytest.raises(SignalError, match=rf"bitrate={bitrate} of Opus; wanted 6000 to 256000"):
            extract_sound(clips.make("a.mp4"), "opus", bitrate=bitrate)

    def test_codec_that_matroska_cannot_hold(self, clips):
        path = clips.make("a.mov", audio="pcm_mulaw")
        with pytest.raises(SignalError, match=r"pcm_mulaw.*use --data\.audio opus, or none"):
            extract_sound(path, "copy")
        assert describe_sound(extract_sound(path, "opus")).startswith("opus")

    def test_encrypted(self, clips):
        path = clips.make("a.mp4")
        data = path.read_bytes()
        at = data.index(b"mp4a")
        path.write_bytes(data[:at] + b"enca" + data[at + 4 :])
        with pytest.raises(SignalError, match=r"copied \(it is encrypted\); use --data\.audio none"):
            extract_sound(path, "copy")

    @pytest.mark.parametrize("mode", ["copy", "opus"])
    def test_broken(self, clips, mode):
        path = clips.make("a.mp4")
        data = bytearray(path.read_bytes())
        for _, packet in clips.probe(path).sound:
            at = data.index(packet)
            data[at : at + len(packet)] = bytes((31 * index + 7) % 256 for index in range(len(packet)))
        path.write_bytes(data)
        with pytest.raises(SignalError, match=r"sound of .*a\.mp4 cannot be .*use --data\.audio none") as caught:
            extract_sound(path, mode)
        assert "\n" not in str(caught.value)
