"""The standard test sets: from the files as published to the clips that the paper codes.

    python tools/prepare_dataset.py uvg --source DIR --out DIR

The sets: uvg (its seven 1920x1080 sequences), hevc_b, hevc_c, hevc_e, kodak. DIR holds their raw files, 8-bit 4:2:0
``.yuv`` or ``.y4m`` whose names start with the sequence's; other depths and formats are refused.

A video becomes its first 81 frames, converted to RGB (BT.709; BT.601 for hevc_c), cut to 832:480 around the centre and
resized to 832x480 by ``fit_signal``, in ``OUT/<sequence>.mkv``: FFV1 in RGB, which ``read_signal`` and ``--data.path``
give back bit for bit at the exact frame rate (it is read back before the file appears). Kodak's PNG files are copied.
``OUT/manifest.json`` says what was made of which file; the same command again verifies what is there and goes on.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import av
import torch
from testsets.manifest import describe, read_manifest, sha256, verify, write_manifest
from testsets.raw import count_frames, read_rgb
from testsets.table import SETS, StandardSet
from tqdm import tqdm

from vov_lightning.cli.common import command
from vov_lightning.errors import SignalError
from vov_lightning.files import atomic_path
from vov_lightning.video import Signal, fit_signal, read_signal


@command
def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS, help="Which test set.")
    parser.add_argument("--source", type=Path, required=True, help="Folder of the files as published.")
    parser.add_argument("--out", type=Path, required=True, help="Folder to fill.")
    parser.add_argument("--partial", action="store_true", help="Accept a source that lacks some of the set.")
    options = parser.parse_args(args)
    prepared, verified = prepare(SETS[options.set], options.source, options.out, partial=options.partial)
    print(f"{options.out}: {len(prepared)} prepared, {len(verified)} verified")


def prepare(
    standard_set: StandardSet, source: Path, out: Path, *, partial: bool = False
) -> tuple[list[str], list[str]]:
    """Fill ``out`` with the paper's clips from the files in ``source``.

    Args:
        standard_set: Which files to expect, and what they become.
        source: Folder of the files as published.
        out: Folder to fill; created, or one that this function has begun to fill.
        partial: Whether some of the set may be missing.

    Returns:
        Names of what was prepared now, and of what was there already and is still what the manifest says.

    Raises:
        SignalError: If something is missing, too much or not what the table says, before anything is written; or if a
            file in ``out`` is not the manifest's. Nothing is ever replaced.
    """
    if out.resolve() == source.resolve():
        raise SignalError(f"--out {out} is the folder of --source; choose another --out")
    files = find_sources(standard_set, source, partial)
    available = {name: check_source(standard_set, name, path) for name, path in files.items()}
    entries = read_manifest(standard_set, out)
    prepared, verified = [], []
    for name, path in tqdm(files.items(), desc=standard_set.name, unit="file"):
        is_image = standard_set.target is None
        destination = out / f"{name}{'.png' if is_image else '.mkv'}"
        source_sha256 = sha256(path)
        if destination.exists():
            verify(destination, entries.get(name), path, source_sha256)
            verified.append(name)
            continue
        signal = read_signal(path) if is_image else read_clip(standard_set, name, path)
        with atomic_path(destination, overwrite=False, error=SignalError) as temporary:
            if is_image:
                shutil.copyfile(path, temporary)
            else:
                write_ffv1(signal, temporary)
            check_same(read_signal(temporary), signal)
        member = standard_set.members[name]
        entries[name] = describe(
            signal,
            destination,
            {
                "file": path.name,
                "sha256": source_sha256,
                "frames": available[name],
                "width": member.width,
                "height": member.height,
            },
        )
        write_manifest(standard_set, out, entries)
        prepared.append(name)
    return prepared, verified


def find_sources(standard_set: StandardSet, folder: Path, partial: bool) -> dict[str, Path]:
    """The file of every member, in the table's order; the part of a name before the first ``_`` or ``-`` decides."""
    if not folder.is_dir():
        raise SignalError(f"--source {folder} is not a folder; wanted the files of {standard_set.name} as published")
    spellings = {
        spelling.lower(): name
        for name, member in standard_set.members.items()
        for spelling in (name, *member.other_names)
    }
    found: dict[str, Path] = {}
    unknown: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name[0] == "." or path.suffix.lower() not in standard_set.endings:
            continue
        name = spellings.get(re.split("[_-]", path.stem)[0].lower())
        if name is None:
            unknown.append(path.name)
        elif name in found:
            raise SignalError(f"{folder} holds {found[name].name} and {path.name}, both {name}; keep one of them there")
        else:
            found[name] = path
    members = f"the {len(standard_set.members)} of {standard_set.name}"
    if unknown:
        raise SignalError(
            f"{folder} holds {', '.join(unknown)}, wanted only {members} ({', '.join(standard_set.members)}); "
            "move the others to another folder, or rename those that belong"
        )
    missing = [name for name in standard_set.members if name not in found]
    if missing and not (partial and found):
        remedy = "or pass --partial to go on without" if found else "or correct --source"
        raise SignalError(
            f"{folder} lacks {', '.join(missing)} of {members}; add {' or '.join(standard_set.endings)} files whose "
            f"names start so, {remedy}"
        )
    return {name: found[name] for name in standard_set.members if name in found}


def check_source(standard_set: StandardSet, name: str, path: Path) -> int:
    """Number of frames of the file of ``name``; refuses one that is not what the table says, or too short."""
    member, target = standard_set.members[name], standard_set.target
    if target is None:
        image = read_signal(path)
        if (image.width, image.height) != (member.width, member.height):
            raise SignalError(
                f"{path} is {image.width}x{image.height}, wanted {member.width}x{member.height} for {name}; "
                "fetch the original, neither turned nor resized"
            )
        return 1
    available = count_frames(path, member)
    if available < target.frames:
        raise SignalError(
            f"{name}: {path} holds {available} frames, wanted at least {target.frames}; fetch the whole sequence"
        )
    return available


def read_clip(standard_set: StandardSet, name: str, path: Path) -> Signal:
    """The clip that the paper codes of the video ``name``."""
    member, target = standard_set.members[name], standard_set.target
    assert target is not None
    pictures = read_rgb(path, member, standard_set.matrix, target.frames)
    # Picture by picture: 81 in full HD take half a gigabyte.
    fitted = [
        fit_signal(
            Signal(picture[None], member.fps, name),
            height=target.height,
            width=target.width,
            multiple=(1, 1),
            temporal_factor=None,
        ).signal.frames
        for picture in tqdm(pictures, desc=name, total=target.frames, unit="frame", leave=False)
    ]
    return Signal(torch.cat(fitted), member.fps, name)


def write_ffv1(signal: Signal, path: Path) -> None:
    """Write ``signal`` losslessly as ``.mkv``: FFV1 version 3 in RGB, every frame on its own, with checksums."""
    # bitexact and a fixed number of slices: the same bytes every time, without dates and random identifiers.
    options = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=signal.fps, options=options)
        stream.height, stream.width, stream.pix_fmt = signal.height, signal.width, "bgr0"
        for index, frame in enumerate(signal.frames):
            # [3, H, W] -> [H, W, 3]
            picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            picture.pts, picture.time_base = index, 1 / signal.fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def check_same(read: Signal, written: Signal) -> None:
    """Raise if the file that was written decodes to other frames."""
    if read.fps != written.fps or not torch.equal(read.frames, written.frames):
        raise SignalError(
            f"{written!r} was read back as {read!r} with other pixels or another rate; install PyAV from PyPI, "
            "and if it is, report this"
        )


if __name__ == "__main__":
    sys.exit(main(None))
