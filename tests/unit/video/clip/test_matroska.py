"""The small Matroska file: what it costs, and that libav reads in it what this package does."""

import io
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vov_lightning.errors import SignalError
from vov_lightning.video.matroska import SoundTrack, read_track, write_track
from vov_lightning.video.sound import extract_sound

STEREO_AT_44100 = bytes.fromhex("b58840e5888000000000 9f8102")


def track(packets, duration: Fraction) -> SoundTrack:
    return SoundTrack("A_AC3", b"", STEREO_AT_44100, 0, duration, tuple(packets))


class TestRoundTrip:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=400)), min_size=1, max_size=700),
        st.integers(-2, 50),
    )
    def test_any_packets_and_any_gaps(self, steps, first):
        duration = Fraction(1024, 44100)
        time, packets = first * duration, []
        for gap, data in steps:
            time += duration * (1 + gap)
            packets.append((time, data))
        back = read_track(write_track(track(packets, duration)))
        assert [data for _, data in back.packets] == [data for _, data in packets]
        assert max(abs(a - b) for (a, _), (b, _) in zip(back.packets, packets, strict=True)) <= Fraction(2, 1000)
        assert back.packet_duration == duration

    def test_packets_that_differ_keep_times_of_their_own(self):
        packets = [(Fraction(n * n, 1000), bytes(n + 1)) for n in range(300)]
        assert read_track(write_track(track(packets, Fraction(0)))).packets == tuple(packets)

    @pytest.mark.parametrize("sizes", [(5,), (300, 5), (7, 7, 7), (5, 70, 5, 20000, 1, 9), tuple(range(1, 257))])
    def test_sizes_of_one_block(self, sizes):
        duration = Fraction(1024, 44100)
        packets = [(n * duration, bytes(size)) for n, size in enumerate(sizes)]
        assert read_track(write_track(track(packets, duration))).packets == tuple(packets)

    def test_time_does_not_drift_in_an_hour(self):
        duration = Fraction(1024, 44100)
        packets = [(n * duration, b"x") for n in range(3600 * 44100 // 1024)]
        back = read_track(write_track(track(packets, duration)))
        assert back.packets[-1][0] == packets[-1][0]


def test_libav_reads_the_same(clips):
    sound = extract_sound(clips.make("a.mp4", 90), "copy")
    ours = read_track(sound)
    with av.open(io.BytesIO(sound)) as container:
        stream = container.streams.audio[0]
        packets = [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]
        assert (stream.codec_context.name, stream.codec_context.extradata) == ("aac", ours.header)
        assert container.duration / av.time_base == pytest.approx(float(ours.end - ours.packets[0][0]), abs=2e-3)
    assert [data for _, data in packets] == [data for _, data in ours.packets]
    # libav rounds each packet's time to its millisecond, and a block's length too
    assert max(abs(a - b) for (a, _), (b, _) in zip(packets, ours.packets, strict=True)) <= Fraction(3, 1000)


def test_container_costs_little(clips):
    """AAC of ten seconds: below two bytes a packet, where libav's own Matroska takes seven and more."""
    sound = extract_sound(clips.make("a.mp4", 250, sound_s=10), "copy")
    packets = read_track(sound).packets
    assert len(packets) > 400
    assert len(sound) - sum(len(data) for _, data in packets) < 2 * len(packets)


def test_same_track_gives_the_same_bytes(clips):
    path = clips.make("a.mp4")
    assert extract_sound(path, "copy") == extract_sound(path, "copy")
    assert extract_sound(path, "opus") == extract_sound(path, "opus")


class TestDamage:
    def test_every_cut_is_an_error(self, clips):
        sound = extract_sound(clips.make("a.mp4"), "copy")
        for length in [*range(0, 300, 7), *range(300, len(sound), 977)]:
            with pytest.raises(SignalError, match=r"sound of \d+ bytes is damaged"):
                read_track(sound[:length])

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_flipped_bytes_never_escape(self, data):
        duration = Fraction(1024, 44100)
        sound = bytearray(write_track(track([(n * duration, bytes(n % 9 + 1)) for n in range(40)], duration)))
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
        try:
            back = read_track(bytes(sound))
            assert back.num_bytes <= len(sound)
        except SignalError:
            pass

    def test_no_audio_element(self, clips):
        sound = read_track(extract_sound(clips.make("a.mp4"), "copy"))
        with pytest.raises(SignalError, match="damaged"):
            read_track(write_track(replace(sound, audio=b"")))
