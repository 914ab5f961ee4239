"""Does a change of one word in the caption change that attribute of the decoded clip, and nothing else?

Files are fitted first, each reading of them is then edited one attribute at a time under several seeds, and compared
with what the same change of the caption does to the unadapted model (without guidance; ``share_guided``: with the
same). Rows are kept: an interrupted study goes on.

    vov-fit --config nano.yaml --set DIR --name nano     # runs/nano/<clip>/<clip>.vov
    vov-fit --config vector.yaml --set DIR --name vector
    python tools/studies/editing.py --clips DIR --nano runs/nano --vector runs/vector --sheet docs/editing.png

A clip passes under an attribute if the attribute moves the same way and at least half as far as on the unadapted model,
and farther than its standard deviation over the seeds, and the LPIPS to the unedited decode is below half of that
between unedited decodes of different clips.
"""

import argparse
import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import ClassVar

from PIL.Image import Image
from quality import Row, cached, lpips, markdown
from torch import Tensor

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bases.nano.vocabulary import levels, parse
from vov_lightning.bitstream import VovFile
from vov_lightning.codec.decode import scaling_of
from vov_lightning.codec.edit import EditConfig, edit
from vov_lightning.codec.steer import keep_steps, steer
from vov_lightning.runs.source import source_of
from vov_lightning.video import Signal, contact_sheet, write_sheet
from vov_lightning.video.compare import psnr_db

ATTRIBUTES = ("brightness", "hue", "contrast", "texture", "motion")
"""Without direction and zoom, which the model has not learnt (its card)."""
OPPOSITES = {
    "brightness": ("bright", "dark"),
    "contrast": ("contrasty", "flat"),
    "texture": ("detailed", "smooth"),
    "motion": ("fast", "still"),
}
"""The word that a clip is given, and the one that it is given where it has the first already."""
GUIDANCE = {"brightness": 1.0, "hue": 1.0, "contrast": 1.0, "texture": 1.5, "motion": 2.0}
"""Against the clip's own caption, of the guided reading: of 1, 1.25, 1.5, 1.75, 2, what passed on most tuning clips."""
WARM = ("gray", "red", "orange", "yellow")
HUE_DEGREES = {"blue": 230.0, "orange": 27.5}


@dataclass(frozen=True)
class Reading:
    """One way to read fitted files."""

    files: str
    """Which of the command's folders."""
    strength: float = 1.0
    indices: bool = True
    vector: bool = True
    guided: bool = False


READINGS = {
    "guided": Reading("nano", guided=True),
    "vector and indices": Reading("nano"),
    "vector alone": Reading("vector", indices=False),
    "vector alone, 0.65": Reading("vector", 0.65, indices=False),
    "indices without the vector": Reading("nano", vector=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of the clips.")
    parser.add_argument("--names", nargs="+", default=None, help="Clips to take, without .mp4; all when left out.")
    parser.add_argument("--nano", type=Path, required=True, help="Files fitted by nano.yaml.")
    parser.add_argument("--vector", type=Path, required=True, help="Files fitted by vector.yaml, or editing.yaml.")
    parser.add_argument("--readings", nargs="+", default=list(READINGS), choices=READINGS, help="What to measure.")
    parser.add_argument("--seeds", type=int, default=4, help="Number of seeds.")
    parser.add_argument("--out", type=Path, default=Path("runs/editing"), help="Folder of the results.")
    parser.add_argument("--sheet", type=Path, default=None, help="PNG of the first reading's clips.")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in options.clips.glob("*.mp4"))
    base = Nano()
    for title in options.readings:
        reading, rows, shown = READINGS[title], [], {}
        for name in names:
            study = Study(base, options.clips / f"{name}.mp4", getattr(options, reading.files), reading, options.seeds)
            shown[name] = study
            rows += cached(options.out / title.replace(" ", "_") / f"{name}.json", study.conditions, study.rows)
            print(markdown(rows[-len(ATTRIBUTES) :]), flush=True)
        between = between_clips(list(shown.values()))
        print(
            f"\n{title}: LPIPS between different clips {between:.3f}\n{markdown(summary(rows, between))}\n", flush=True
        )
        if options.sheet and title == options.readings[0]:
            write_sheet(sheet(shown).quantize(256), options.sheet)


class Study:
    """One clip under one reading."""

    _unadapted: ClassVar[dict[tuple[str, str | None, float, int, int], Tensor]] = {}

    def __init__(self, base: Nano, clip: Path, folder: Path, reading: Reading, num_seeds: int) -> None:
        self.base, self.reading, self.seeds = base, reading, range(num_seeds)
        self.fitted = VovFile.open(folder / clip.stem / f"{clip.stem}.vov")
        self.source = source_of(self.fitted, base, str(clip)).whole().signal
        self.guidance = GUIDANCE if reading.guided else dict.fromkeys(ATTRIBUTES, 1.0)
        self.conditions = {
            "guidance": self.guidance,
            "base": base.fingerprint().hex(),
            "file": hashlib.blake2b(self.fitted.to_bytes(), digest_size=8).hexdigest(),
            "seeds": num_seeds,
        } | asdict(reading)
        self._files: dict[int, VovFile] = {}

    @property
    def captions(self) -> dict[str, str]:
        """The clip's caption with the opposite word for each attribute."""
        named = parse(self.fitted.caption)
        return {name: words(named | {name: opposite(named, name)}) for name in ATTRIBUTES}

    def file(self, seed: int) -> VovFile:
        """The file as read, and as it would have been written for noise of ``seed``: indices are chosen anew."""
        if seed not in self._files:
            header, reading = self.fitted.header, self.reading
            symbols = self.fitted.symbols
            if not reading.vector:
                header = replace(header, k=0, step=1.0, targets=1, rank=1, hash_seed=0)
                symbols = symbols[:0]
            plain = keep_steps(replace(self.fitted, header=header, symbols=symbols), 0)
            plain = replace(plain, header=replace(plain.header, seed=seed))
            if reading.indices:
                bits = header.index_bits * sum(map(len, self.fitted.indices))
                plain = steer(plain, self.base, self.source, replace(scaling_of(header), bits=bits))
            self._files[seed] = plain
        return self._files[seed]

    def own(self, guidance: float) -> str | None:
        """The clip's caption in the words that are changed, where there is guidance against it."""
        return words(parse(self.fitted.caption)) if guidance != 1 else None

    def show(self, seed: int, caption: str, guidance: float = 1.0) -> Tensor:
        """Frames under ``caption``, led away from the clip's own by ``guidance``; the vector counts as without."""
        config = EditConfig(self.reading.strength / guidance, guidance=guidance, negative_prompt=self.own(guidance))
        return edit(self.file(seed), self.base, caption, config).frames

    def changed(self, seed: int, name: str) -> Tensor:
        """Frames with the opposite word for the attribute ``name``."""
        return self.show(seed, self.captions[name], self.guidance[name])

    def unadapted(self, seed: int, caption: str, guidance: float = 1.0) -> Tensor:
        """Frames of the unadapted model under ``caption``, in the file's steps, without indices."""
        own = self.own(guidance)
        key = caption, own, guidance, self.fitted.header.steps, seed
        if key not in self._unadapted:
            config = EditConfig(0.0, guidance=guidance, negative_prompt=own, keep_steps=0)
            self._unadapted[key] = edit(self.file(seed), self.base, caption, config).frames
        return self._unadapted[key]

    def rows(self) -> list[Row]:
        """A row for each attribute."""
        own = words(parse(self.fitted.caption))
        before = [self.show(seed, own) for seed in self.seeds]
        before_unadapted = [self.unadapted(seed, own) for seed in self.seeds]
        fidelity = [
            (psnr_db(Signal(frames, self.source.fps, "before"), self.source), lpips(frames, self.source.frames))
            for frames in before
        ]
        measured = {
            name: (
                [self.changed(seed, name) for seed in self.seeds],
                [self.unadapted(seed, caption) for seed in self.seeds],
            )
            for name, caption in self.captions.items()
        }
        named = parse(self.fitted.caption)
        moves = {name: moves_of(named, before, after) for name, (after, _) in measured.items()}
        expected = {name: moves_of(named, before_unadapted, after) for name, (_, after) in measured.items()}
        rows: list[Row] = []
        for name, (after, _) in measured.items():
            row: Row = {"clip": self.source.name, "attribute": name, "word": opposite(named, name)}
            row |= {"psnr_db": mean(psnr for psnr, _ in fidelity), "lpips": mean(distance for _, distance in fidelity)}
            row |= {"move": mean(moves[name][name]), "unadapted": mean(expected[name][name])}
            row["share"] = row["move"] / row["unadapted"]
            guided = [self.unadapted(seed, self.captions[name], self.guidance[name]) for seed in self.seeds]
            row["share_guided"] = row["move"] / mean(moves_of(named, before_unadapted, guided)[name])
            row["spread"] = max(stdev(position(named, name, frames) for frames in group) for group in (before, after))
            row["structure"] = mean(lpips(new, old) for new, old in zip(after, before, strict=True))
            for other in ATTRIBUTES:
                scale = abs(mean(expected[other][other]))
                row[f"leak_{other}"] = abs(mean(moves[name][other])) / scale
                row[f"leak_{other}_unadapted"] = abs(mean(expected[name][other])) / scale
            rows.append(row)
        return rows


def opposite(named: dict[str, str], attribute: str) -> str:
    """The word at the other end of ``attribute``."""
    if attribute == "hue":
        return "blue" if named["hue"] in WARM else "orange"
    first, second = OPPOSITES[attribute]
    return second if named[attribute] == first else first


def words(named: dict[str, str]) -> str:
    """A caption of these attributes."""
    return ", ".join(named.values())


def position(named: dict[str, str], attribute: str, frames: Tensor) -> float:
    """Level of ``attribute``; of the hue, the mean colour's part towards the opposite one."""
    level = levels(frames)
    if attribute != "hue":
        return level[attribute]
    angle = math.radians(HUE_DEGREES[opposite(named, "hue")])
    return level["chroma_x"] * math.cos(angle) + level["chroma_y"] * math.sin(angle)


def moves_of(named: dict[str, str], before: list[Tensor], after: list[Tensor]) -> dict[str, list[float]]:
    """By how much each attribute moves, under each seed."""
    return {
        name: [position(named, name, new) - position(named, name, old) for old, new in zip(before, after, strict=True)]
        for name in ATTRIBUTES
    }


def between_clips(studies: list[Study]) -> float:
    """Mean LPIPS between unedited decodes of different clips."""
    shown = [study.show(0, study.fitted.caption) for study in studies]
    pairs = [lpips(first, second) for first, second in combinations(shown, 2)]
    return mean(pairs) if pairs else math.nan


def summary(rows: list[Row], between: float) -> list[Row]:
    """A row for each attribute: means, and how many clips pass."""
    found = []
    for name in ATTRIBUTES:
        own = [row for row in rows if row["attribute"] == name]
        checks: dict[str, Callable[[Row], bool]] = {
            "half": lambda row: row["share"] >= 0.5,
            "spread": lambda row: abs(row["move"]) > row["spread"],
            "structure": lambda row: row["structure"] < between / 2,
        }
        leaks = [other for other in ATTRIBUTES if other != name]
        found.append(
            {"attribute": name, "passed": f"{sum(all(c(row) for c in checks.values()) for row in own)} of {len(own)}"}
            | {f"{title} ": sum(map(check, own)) for title, check in checks.items()}
            | {column: mean(row[column] for row in own) for column in ("psnr_db", "lpips", "share", "share_guided")}
            | {"half of guided": sum(row["share_guided"] >= 0.5 for row in own)}
            | {"LPIPS to unedited": mean(row["structure"] for row in own)}
            | {"leak": mean(row[f"leak_{other}"] for row in own for other in leaks)}
            | {"leak, unadapted": mean(row[f"leak_{other}_unadapted"] for row in own for other in leaks)}
        )
    return found


def sheet(studies: dict[str, Study]) -> Image:
    """Middle frames: source, unedited decode, each attribute changed, and those again that guidance counts for."""
    guidance = next(iter(studies.values())).guidance
    edits = [(name, value) for name in ATTRIBUTES for value in dict.fromkeys((1.0, guidance[name]))]
    titles = ["source", "decoded", *(name if value == 1 else f"{name}, guided {value:g}" for name, value in edits)]
    cells, labels = [], []
    for clip, study in studies.items():
        named = parse(study.fitted.caption)
        shown = [study.source.frames, study.show(0, study.fitted.caption)]
        shown += [study.show(0, study.captions[name], value) for name, value in edits]
        cells.append([frames[len(frames) // 2] for frames in shown])
        labels.append(f"{clip.partition('_')[0]}: " + ", ".join(opposite(named, name) for name in ATTRIBUTES))
    return contact_sheet(cells, labels, titles, scale=2)


if __name__ == "__main__":
    main()
