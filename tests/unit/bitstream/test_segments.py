"""A clip of several segments: each alone, some of them damaged, some cut off; sound and times beside them."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from vov_lightning.bitstream import BitstreamError, FrameTimes, Header, Limits, Segment, VovFile
from vov_lightning.bitstream.head import Head
from vov_lightning.bitstream.indices import encode_indices
from vov_lightning.bitstream.parts import write_parts
from vov_lightning.bitstream.times import encode_times

HEADER = Header(
    *("nano", "2", bytes(4)), frames=31, height=64, width=64, fps=Fraction(30), steps=9, kernel="ancestral", eta=1.0,
    seed=2**64 - 2,
)  # fmt: skip


def step(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


SEGMENTS = (
    Segment(9, 0, (step(1, 2), step(3))),
    Segment(13, 0, (step(), step(7, 8, 9))),
    Segment(5, 4, (step(250),)),
    Segment(4),
)
TIMES = FrameTimes(Fraction(1, 600), np.cumsum([0] + [20, 20, 40] * 10))
CLIP = VovFile(HEADER, "a cat", segments=SEGMENTS, sound=b"OggS and more", times=TIMES)
PARTS = ["times", "segment 0", "segment 1", "segment 2", "segment 3", "sound"]


def spans(file: VovFile) -> dict[str, tuple[int, int]]:
    """Start and end of each part of a file with sound and times, checksum included."""
    assert file.times is not None
    contents = {"times": encode_times(file.times)}
    contents |= {f"segment {n}": encode_indices(segment.indices, 8) for n, segment in enumerate(file.segments)}
    contents |= {"sound": file.sound}
    data, found, end = file.to_bytes(), {}, len(file.to_bytes())
    for name, content in reversed(contents.items()):
        start = end - 4 - len(content)
        assert data[start : end - 4] == content
        found[name], end = (start, end), start
    return found


def test_it_comes_back():
    again = VovFile.from_bytes(CLIP.to_bytes())
    assert again == CLIP
    assert again.section_bytes() == CLIP.section_bytes()
    assert sum(CLIP.section_bytes().values()) == len(CLIP.to_bytes())
    assert again.segments[3].indices == ()
    assert again.damage == ()


IN_BLOCKS = replace(HEADER, steps=3, context=1, window=(2, 8, 8, 0, 2))
BLOCKS = VovFile(
    IN_BLOCKS,
    segments=(
        Segment(29, 0, (step(1), step(2, 3), step(), step(4), step(), step(), step(), step(5))),
        Segment(2, 0, (step(6),)),
    ),
)


def test_first_steps_are_those_of_every_block():
    kept = BLOCKS.keep_steps(1)
    assert [[one.tolist() for one in segment.indices] for segment in kept.segments] == [[[1], [], [], [4]], [[6]]]
    assert VovFile.from_bytes(kept.to_bytes()) == kept
    assert BLOCKS.keep_steps(2) == BLOCKS
    assert BLOCKS.keep_steps(0).header == replace(IN_BLOCKS, kernel="ode", eta=0.0)


def test_a_block_has_no_indices_in_its_last_step_and_a_segment_no_more_blocks_than_frames():
    for indices in ((step(1), step(), step(2)), (*[step()] * 6, step(7))):
        with pytest.raises(BitstreamError, match="of 3 steps in each of 2 blocks; the last step takes none"):
            replace(BLOCKS, segments=(BLOCKS.segments[0], Segment(2, 0, indices)))


def test_files_that_differ_in_a_part_are_not_equal():
    for other in (
        replace(CLIP, sound=b""),
        replace(CLIP, times=None),
        replace(CLIP, segments=(SEGMENTS[1], SEGMENTS[0], *SEGMENTS[2:])),
        replace(CLIP, segments=(*SEGMENTS[:2], replace(SEGMENTS[2], indices=(step(251),)), SEGMENTS[3])),
    ):
        assert other != CLIP
        assert VovFile.from_bytes(other.to_bytes()) == other


def test_a_part_is_a_file_of_one_segment():
    for number, segment in enumerate(SEGMENTS):
        part = CLIP.part(number)
        assert VovFile.from_bytes(part.to_bytes()) == part
        assert part.segments == (segment,)
        assert part.indices is part.segments[0].indices
        assert (part.header.frames, part.header.pad_frames) == (segment.frames, segment.pad_frames)
        assert part.header.seed == (2**64 - 2 + number) % 2**64
        assert (part.caption, part.sound) == ("a cat", b"")
    assert CLIP.part(3).header.kernel == "ode"
    assert CLIP.part(0).header.kernel == "ancestral"
    assert CLIP.part(2).times == FrameTimes(TIMES.time_base, TIMES.ticks[22:27] - TIMES.ticks[22])


def test_a_cut_keeps_noise_and_times_of_its_segments():
    cut = CLIP.cut(1, 3)
    assert cut.segments == SEGMENTS[1:3]
    assert cut.header.seed == 2**64 - 1
    assert cut.part(1) == CLIP.part(2)
    assert cut.times.ticks.tolist() == (TIMES.ticks[9:27] - TIMES.ticks[9]).tolist()
    assert replace(CLIP.cut(0, 4), sound=CLIP.sound) == CLIP
    for start, stop in ((0, 5), (2, 2), (-1, 1), (3, 2)):
        with pytest.raises(BitstreamError, match="were asked for, the file has 0 to 3"):
            CLIP.cut(start, stop)


def test_steps_are_dropped_in_all_segments():
    short = CLIP.keep_steps(1)
    assert [[len(one) for one in segment.indices] for segment in short.segments] == [[2], [], [1], []]
    assert VovFile.from_bytes(short.to_bytes()) == short
    assert CLIP.keep_steps(0).header.kernel == "ode"
    assert len(CLIP.keep_steps(0).to_bytes()) < len(short.to_bytes()) < len(CLIP.to_bytes())


def test_indices_of_several_segments_are_not_one():
    with pytest.raises(BitstreamError, match=r"4 segments with their own indices; take one by part\(\)"):
        _ = CLIP.indices


def test_the_duration_is_that_of_the_times():
    assert CLIP.duration == Fraction(800, 600) + Fraction(1, 30)
    assert replace(CLIP, times=None).duration == Fraction(31, 30)


@pytest.mark.parametrize("name", PARTS)
def test_damage_to_a_part_hides_no_other(name):
    data = bytearray(CLIP.to_bytes())
    start, end = spans(CLIP)[name]
    data[(start + end) // 2] ^= 4
    with pytest.raises(BitstreamError, match=f"^{name}: it has checksum"):
        VovFile.from_bytes(bytes(data))
    file = VovFile.from_bytes(bytes(data), strict=False)
    assert len(file.damage) == 1
    assert file.damage[0].startswith(f"{name}: it has checksum")
    assert file.times == (None if name == "times" else TIMES)
    assert file.sound == (b"" if name == "sound" else CLIP.sound)
    for number, segment in enumerate(SEGMENTS):
        if name == f"segment {number}":
            assert file.segments[number].damage
            with pytest.raises(BitstreamError, match=f"segment {number} cannot be decoded: it has checksum"):
                file.part(number)
        else:
            assert file.part(number).segments == (segment,)
    assert file.to_bytes() == bytes(data)
    if name.startswith("segment"):
        with pytest.raises(BitstreamError, match=f"{name} cannot be written"):
            replace(file, caption="a dog").to_bytes()


def test_a_cut_file_keeps_its_first_segments():
    data, whole = CLIP.to_bytes(), spans(CLIP)
    for size in range(len(data)):
        with pytest.raises(BitstreamError):
            VovFile.from_bytes(data[:size])
        if size < whole["times"][0]:
            with pytest.raises(BitstreamError, match=r"truncated|ends after|is empty|starts with"):
                VovFile.from_bytes(data[:size], strict=False)
            continue
        file = VovFile.from_bytes(data[:size], strict=False)
        for number, segment in enumerate(SEGMENTS):
            kept = size >= whole[f"segment {number}"][1]
            assert (file.segments[number] == segment) == kept
            assert bool(file.segments[number].damage) == (not kept)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2)])
def test_a_moved_segment_is_found(first, second):
    """Segments of one length in the wrong place have right contents: their checksums know their number."""
    same = tuple(Segment(5, 0, (step(number),)) for number in range(3))
    data, size = VovFile(replace(HEADER, frames=15), segments=same).to_bytes(), len(encode_indices((step(0),), 8)) + 4
    parts = [data[len(data) - size * (3 - number) :][:size] for number in range(3)]
    parts[first], parts[second] = parts[second], parts[first]
    found = VovFile.from_bytes(data[: -3 * size] + b"".join(parts), strict=False)
    assert [bool(segment.damage) for segment in found.segments] == [n in (first, second) for n in range(3)]


def test_a_segment_of_another_file_is_found():
    one, other = (
        VovFile(replace(HEADER, frames=5, seed=seed), segments=(Segment(5, 0, (step(1),)),)) for seed in (1, 2)
    )
    spliced = one.to_bytes()[:-7] + other.to_bytes()[-7:]
    assert VovFile.from_bytes(spliced, strict=False).segments[0].damage


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segments": SEGMENTS[:3]}, "header says frames=31, but the segments have 27"),
        ({"segments": (Segment(31, 2, (step(1),)),)}, "header says pad_frames=0, wanted 2"),
        ({"header": replace(HEADER, pad_frames=3)}, "header says pad_frames=3, wanted 0"),
        ({"segments": (Segment(31, 0, tuple(step(1) for _ in range(9))),)}, "segment 0 has indices for 9 of 9 steps"),
        ({"segments": (Segment(31, 0, (step(256),)),)}, r"segment 0: indices of step 0 .* below 2\^8"),
        ({"segments": (Segment(0), Segment(31, 0, (step(1),)))}, "segment 0: 0 is not a whole number from 1"),
        ({"segments": (Segment(31),)}, "kernel=ancestral, but the segments have no indices"),
        ({"header": replace(HEADER, kernel="ode", eta=0.0)}, "kernel=ode, but the segments have some indices"),
        ({"segments": (Segment(31, 0, (step(1),), "lost"),)}, r"segment 0 is damaged \(lost\), but has indices"),
        ({"sound": "OggS"}, "sound is str, wanted bytes"),
        ({"times": FrameTimes(Fraction(1), np.arange(30))}, "times are of 30 frames, the header says 31"),
    ],
)
def test_wrong_clips_are_refused(change, message):
    with pytest.raises(BitstreamError, match=message):
        replace(CLIP, **change)


def clip(contents: list[bytes], **changes) -> bytes:
    """A file of two segments with right checksums around any contents."""
    frames = changes.pop("frames", (15, 16))
    head = Head(HEADER, frames, (0,) * len(frames), lengths=tuple(map(len, contents))[:-1], **changes)
    return write_parts(head.to_bytes(), contents)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (clip([b"\0", b"\0"]), "kernel=ancestral, but the segments have no indices"),
        (clip([b"\0\0", b"\0"]), "segment 0: the indices' part holds 1 bytes more"),
        (clip([b"\x09\xff", b"\0"]), "segment 0: indices are of 9 steps, wanted at most 8"),
        (clip([b"\0", b""]), "segment 1: the indices' part ends after 0 bytes"),
        (clip([b"\0", b"\0"], frames=(31, 0)), "the head announces a segment of 0 frames"),
        (clip([b"\0", b"\0"], frames=(40, 1)), "the head announces a segment of -9 frames"),
        (clip([b"x", b"\1\x60\0", b"\0"], times=True), "times: the part of times ends"),
    ],
)
def test_wrong_parts_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(data)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(segments=3), "segments=4 is above the limit of 3; for a file you trust: --limits.segments 4"),
        (Limits(times=30), "times=31 is above the limit of 30"),
        (Limits(sound_bytes=12), "sound_bytes=13 is above the limit of 12"),
        (Limits(output_samples=3 * 13 * 64 * 64 - 1), "output_samples=159744 is above"),
        (Limits(indices=2), "segment 0: a segment holds more than 2 indices.*--limits.indices"),
        (Limits(all_steps=4), "all_steps=5 is above the limit of 4; for a file you trust: --limits.all_steps 5"),
        (Limits(all_indices=5), "all_indices=6 is above the limit of 5; for a file you trust: --limits.all_indices 6"),
    ],
)
def test_limits_hold(limits, message):
    with pytest.raises(BitstreamError, match=message):
        VovFile.from_bytes(CLIP.to_bytes(), limits)


def test_memory_is_bounded_by_a_segment_not_by_the_clip():
    limits = Limits(output_samples=3 * 13 * 64 * 64, times=31, segments=4, sound_bytes=13, all_indices=7)
    assert VovFile.from_bytes(CLIP.to_bytes(), limits) == CLIP


@pytest.mark.parametrize(
    ("ticks", "message"),
    [
        ([1, 2], "do not rise strictly from 0"),
        ([0, 2, 2], "do not rise strictly"),
        ([0], "wanted whole numbers of 2 frames or more"),
        ([0.0, 1.0], "wanted whole numbers"),
        ([[0, 1]], "wanted whole numbers"),
    ],
)
def test_wrong_times_are_refused(ticks, message):
    with pytest.raises(BitstreamError, match=message):
        FrameTimes(Fraction(1, 600), np.array(ticks))


def test_times_of_a_steady_rate_cost_next_to_nothing():
    steady = FrameTimes(Fraction(1, 90000), 3003 * np.arange(3000))
    dropped = FrameTimes(Fraction(1, 90000), 3003 * np.delete(np.arange(3010), [*range(50, 3000, 295)]))
    base = VovFile(Header("nano", "2", bytes(4), frames=3000, height=8, width=8, fps=Fraction(30)))
    assert replace(base, times=steady).section_bytes()["times"] < 30
    assert replace(base, times=dropped).section_bytes()["times"] < 120
    for times in (steady, dropped):
        assert VovFile.from_bytes(replace(base, times=times).to_bytes()).times == times
