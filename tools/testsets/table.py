"""The standard test sets as their authors publish them, and what the paper makes of each. Data only."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Matrix = Literal["bt709", "bt601"]


@dataclass(frozen=True)
class Member:
    """One video or image of a set.

    Args:
        width: Width in pixels as published.
        height: Height in pixels as published.
        fps: Frames per second; 1 for an image.
        frames: About how many frames are published. Some copies hold one more and some are cut shorter; twice as many
            would be frames of another size.
        other_names: Other spellings with which file names start.
    """

    width: int
    height: int
    fps: Fraction = Fraction(1)
    frames: int = 1
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """What a video becomes: its first ``frames`` frames, cut to the aspect around the centre, then resized."""

    frames: int = 81
    height: int = 480
    width: int = 832


@dataclass(frozen=True)
class StandardSet:
    """A test set.

    Args:
        name: What the command and the manifest call it.
        members: Its videos or images by name.
        matrix: Colour matrix of its raw YUV, which the files do not state.
        target: What its videos become; ``None`` for images, which stay as they are.
    """

    name: str
    members: dict[str, Member]
    matrix: Matrix = "bt709"
    target: Target | None = Target()

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of its files."""
        return (".png",) if self.target is None else (".yuv", ".y4m")


def _full_hd(fps: int, frames: int, *other_names: str) -> Member:
    return Member(1920, 1080, Fraction(fps), frames, other_names)


def _480_lines(fps: int, frames: int, *other_names: str) -> Member:
    return Member(832, 480, Fraction(fps), frames, other_names)


_PORTRAITS = (4, 9, 10, 17, 18, 19)

_SETS = (
    StandardSet(  # Mercat et al. 2020; the seven of its sequences that were published first, in 8 bits
        "uvg",
        {
            "Beauty": _full_hd(120, 600),
            "Bosphorus": _full_hd(120, 600),
            "HoneyBee": _full_hd(120, 600),
            "Jockey": _full_hd(120, 600),
            "ReadySetGo": _full_hd(120, 600, "ReadySteadyGo"),
            "ShakeNDry": _full_hd(120, 300),
            "YachtRide": _full_hd(120, 600),
        },
    ),
    StandardSet(  # JCT-VC common test conditions (JCTVC-L1100), here and below
        "hevc_b",
        {
            "BasketballDrive": _full_hd(50, 500),
            "BQTerrace": _full_hd(60, 600),
            "Cactus": _full_hd(50, 500),
            "Kimono": _full_hd(24, 240, "Kimono1"),
            "ParkScene": _full_hd(24, 240),
        },
    ),
    StandardSet(
        "hevc_c",
        {
            "BasketballDrill": _480_lines(50, 500),
            "BQMall": _480_lines(60, 600),
            "PartyScene": _480_lines(50, 500),
            "RaceHorses": _480_lines(30, 300, "RaceHorsesC"),
        },
        matrix="bt601",
    ),
    StandardSet(
        "hevc_e",
        {name: Member(1280, 720, Fraction(60), 600) for name in ("FourPeople", "Johnny", "KristenAndSara")},
    ),
    StandardSet(
        "kodak",
        {f"kodim{n:02d}": Member(512, 768) if n in _PORTRAITS else Member(768, 512) for n in range(1, 25)},
        target=None,
    ),
)

SETS = {standard_set.name: standard_set for standard_set in _SETS}
