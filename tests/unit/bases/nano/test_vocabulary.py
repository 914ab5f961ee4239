"""Captions: what sentences mean, and that measured words are the true ones on clips whose motion we made."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vov_lightning.bases.nano.vocabulary import ATTRIBUTES, FILLERS, describe, levels, measure, parse
from vov_lightning.errors import BaseModelError


def texture(height: int = 64, width: int = 64, scale: int = 4, seed: int = 0) -> Tensor:
    """Periodic smooth random texture [H, W] in 0..255, with detail down to ``scale`` pixels."""
    coarse = torch.rand(1, 1, height // scale, width // scale, generator=torch.Generator().manual_seed(seed))
    padded = F.pad(coarse, (2, 2, 2, 2), mode="circular")
    fine = F.interpolate(padded, scale_factor=scale, mode="bicubic", align_corners=False)[0, 0]
    return (255 * fine[2 * scale : -2 * scale, 2 * scale : -2 * scale]).clamp(0, 255)


def gray_clip(frames: list[Tensor]) -> Tensor:
    """``[T, 3, H, W]`` uint8 of gray frames [H, W]."""
    return torch.stack(frames)[:, None].expand(-1, 3, -1, -1).round().to(torch.uint8)


def moving(x: int, y: int, num_frames: int = 9, height: int = 64, width: int = 64) -> Tensor:
    """A texture whose content moves by (x, y) pixels a frame; y points down."""
    picture = texture(height, width)
    return gray_clip([picture.roll((t * y, t * x), dims=(0, 1)) for t in range(num_frames)])


def zoomed(factors: list[float]) -> Tensor:
    """A texture whose content is ``factors[t]`` times its size in frame t."""
    picture = texture(128, 128, scale=8)[None, None]
    frames = []
    for factor in factors:
        axis = torch.linspace(-1, 1, 64) / factor / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        frames.append(F.grid_sample(picture, torch.stack([x, y], -1)[None], align_corners=False)[0, 0])
    return gray_clip(frames)


def colour(red: int, green: int, blue: int, num_frames: int = 1) -> Tensor:
    pixel = torch.tensor([red, green, blue], dtype=torch.uint8)
    return pixel.view(1, 3, 1, 1).expand(num_frames, 3, 32, 48).contiguous()


class TestParse:
    def test_every_word_belongs_to_one_attribute(self) -> None:
        words = [word for words in ATTRIBUTES.values() for word in words]
        assert len(set(words)) == len(words)
        assert not FILLERS & set(words)

    @pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in ATTRIBUTES.items() for word in words])
    def test_every_word_is_understood(self, name: str, word: str) -> None:
        assert parse(word) == {name: word}

    def test_order_case_punctuation_and_fillers_do_not_matter(self) -> None:
        expected = {"brightness": "dark", "hue": "red", "direction": "up", "zoom": "out"}
        for sentence in (
            "A dark red clip, moving up and zooming out.",
            "zooming OUT of the photo; moving up; Red, dark!",
            "out\tup  red\ndark",
        ):
            assert parse(sentence) == expected

    @pytest.mark.parametrize("caption", ["", "  ,. ", "a video of the scene"])
    def test_nothing_said_is_no_attribute(self, caption: str) -> None:
        assert parse(caption) == {}

    def test_repeating_a_word_is_no_contradiction(self) -> None:
        assert parse("a red, red clip") == {"hue": "red"}

    def test_an_unknown_word_is_refused_with_the_vocabulary(self) -> None:
        with pytest.raises(BaseModelError, match="word 'elephant' is not in nano's vocabulary") as caught:
            parse("a red elephant")
        for name, words in ATTRIBUTES.items():
            assert f"{name}: {', '.join(words)}" in str(caught.value)

    @pytest.mark.parametrize(
        ("caption", "message"),
        [("red and blue", "hue twice .*'red'.*'blue'"), ("moving left, moving up", "direction twice .*'left'.*'up'")],
    )
    def test_contradictory_words_are_refused(self, caption: str, message: str) -> None:
        with pytest.raises(BaseModelError, match=message):
            parse(caption)


@pytest.mark.parametrize(
    "clip",
    [moving(-2, 0), moving(0, 1), zoomed([1.0, 1.1, 1.2, 1.3]), colour(250, 10, 10, 5), colour(9, 9, 9)],
    ids=["left", "down", "in", "red", "black"],
)
def test_descriptions_parse_back(clip: Tensor) -> None:
    measured = measure(clip)
    assert parse(describe(clip)) == measured
    for name, word in measured.items():
        assert word in ATTRIBUTES[name]


@pytest.mark.parametrize(("x", "y", "direction"), [(-2, 0, "left"), (2, 0, "right"), (0, -2, "up"), (0, 2, "down")])
def test_direction(x: int, y: int, direction: str) -> None:
    measured = measure(moving(x, y))
    assert measured["direction"] == direction
    assert measured["motion"] != "still"
    assert "zoom" not in measured


@pytest.mark.parametrize(("x", "y", "direction"), [(-3, 1, "left"), (1, 3, "down")])
def test_the_larger_component_names_the_direction(x: int, y: int, direction: str) -> None:
    assert measure(moving(x, y))["direction"] == direction


def test_direction_on_a_wide_clip_of_another_size() -> None:
    assert measure(moving(4, 0, height=128, width=256))["direction"] == "right"


def test_direction_of_slow_motion_is_found_between_pixels() -> None:
    picture = texture(128, 128, scale=8)
    frames = [F.avg_pool2d(picture.roll(-t, dims=1)[None, None], 2)[0, 0] for t in range(9)]
    assert measure(gray_clip(frames))["direction"] == "left"  # half a pixel a frame


@pytest.mark.parametrize(("step", "zoom"), [(1.06, "in"), (1 / 1.06, "out")])
def test_zoom(step: float, zoom: str) -> None:
    start = 1.0 if step > 1 else 1.6
    measured = measure(zoomed([start * step**t for t in range(8)]))
    assert measured["zoom"] == zoom
    assert "direction" not in measured


def test_a_clip_that_repeats_one_frame_is_still() -> None:
    measured = measure(moving(0, 0))
    assert measured["motion"] == "still"
    assert {"direction", "zoom"}.isdisjoint(measured)


def test_an_image_has_no_direction() -> None:
    assert measure(moving(0, 0, num_frames=1)).keys() == {"brightness", "contrast", "hue", "texture", "motion"}


def test_speed() -> None:
    found = [measure(moving(x, 0))["motion"] for x in (0, 4)]
    assert found == ["still", "fast"]


@pytest.mark.parametrize(("level", "word"), [(0, "dark"), (60, "dark"), (100, "dim"), (140, "bright"), (255, "bright")])
def test_brightness(level: int, word: str) -> None:
    assert measure(colour(level, level, level))["brightness"] == word


def test_brightness_weighs_green_above_blue() -> None:
    # luma of pure green: 0.587 * 255 = 150; of pure blue: 0.114 * 255 = 29
    assert measure(colour(0, 255, 0))["brightness"] == "bright"
    assert measure(colour(0, 0, 255))["brightness"] == "dark"


PURE_COLOURS = [
    ((128, 128, 128), "gray"),
    ((255, 0, 0), "red"),
    ((255, 0, 32), "red"),
    ((255, 128, 0), "orange"),
    ((255, 255, 0), "yellow"),
    ((0, 255, 0), "green"),
    ((0, 255, 255), "cyan"),
    ((0, 0, 255), "blue"),
    ((128, 0, 255), "purple"),
    ((255, 0, 255), "purple"),
]


@pytest.mark.parametrize(("rgb", "hue"), PURE_COLOURS)
def test_hue_of_pure_colours(rgb: tuple[int, int, int], hue: str) -> None:
    assert measure(colour(*rgb))["hue"] == hue


def test_every_hue_is_tested() -> None:
    assert {hue for _, hue in PURE_COLOURS} == set(ATTRIBUTES["hue"])


def test_contrast_and_texture_grow_with_amplitude_and_detail() -> None:
    flat = (texture() - 128) / 16 + 128
    stripes = 255.0 * (torch.arange(64) // 2 % 2).expand(64, 64)
    found = [measure(gray_clip([frame])) for frame in (flat, stripes)]
    assert [m["contrast"] for m in found] == ["flat", "contrasty"]
    assert [m["texture"] for m in found] == ["smooth", "detailed"]


def test_opposite_motions_never_share_a_word() -> None:
    words = [measure(moving(x, y))["direction"] for x, y in ((-3, 0), (3, 0), (0, -3), (0, 3))]
    assert all(first != second for first, second in itertools.combinations(words, 2))


def test_levels_are_grey_levels_and_angles_of_colour():
    left, right = (torch.full((2, 3, 64, 32), value, dtype=torch.uint8) for value in (20, 120))
    found = levels(torch.cat([left, right], dim=3))
    assert found["brightness"] == pytest.approx(70)
    assert found["contrast"] == pytest.approx(50, rel=1e-3)
    assert found["texture"] == pytest.approx(100 / 63 / 2)
    assert found["motion"] == pytest.approx(0, abs=1e-4)
    flicker = levels(torch.stack([left[0], right[0]]))
    assert flicker["motion"] == pytest.approx(100)
    for colour, degrees in ((0, 0.0), (1, 120.0), (2, 240.0)):
        frames = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
        frames[:, colour] = 200
        found = levels(frames)
        chroma = torch.complex(torch.tensor(found["chroma_x"]), torch.tensor(found["chroma_y"]))
        assert float(chroma.abs()) == pytest.approx(200)
        assert float(torch.rad2deg(chroma.angle())) % 360 == pytest.approx(degrees, abs=1e-3)
        assert found["motion"] == 0
