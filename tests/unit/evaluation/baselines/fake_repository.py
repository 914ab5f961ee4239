"""Stands in for the authors' ``test_video.py``: the same arguments, files and figures; 'codes' by coarse quantisation.

Written from the interfaces of DCVC-DC, DCVC-FM, DCVC-RT and GLC-Video, of whose code nothing is in here. The text of
this file is put into a folder and run as a script; the environment variable ``FAULT`` makes it misbehave.
"""

import argparse
import json
import os
import sys
import zlib
from pathlib import Path

from PIL import Image


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("test_config", "output_path", "stream_path"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("rate_num", "worker", "cuda", "save_decoded_frame"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("yuv420", "write_stream", "reset_interval"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--force_zero_thres", type=float)
    parser.add_argument("--decoded_frame_path", type=Path)
    for names in (["i_frame_model_path", "model_path_i"], ["p_frame_model_path", "model_path_p"]):
        parser.add_argument(*[f"--{name}" for name in names], dest=names[0], type=Path, required=True)
    parser.add_argument("--i_frame_q_indexes", "--q_indexes_i", "--qp_i", dest="q_i", type=int, nargs="+")
    parser.add_argument("--q_indexes_p", "--qp_p", dest="q_p", type=int, nargs="+")
    return parser.parse_args()


def main() -> None:
    arguments, fault = read_arguments(), os.environ.get("FAULT", "")
    assert arguments.rate_num == len(arguments.q_i) == 1
    assert arguments.q_p in (None, arguments.q_i)
    assert arguments.i_frame_model_path.read_text() == "image"
    assert arguments.p_frame_model_path.read_text() == "video"
    if fault == "crash":
        sys.exit("RuntimeError: CUDA out of memory")
    config = json.loads(arguments.test_config.read_text())
    ((name, test_class),) = config["test_classes"].items()
    ((clip, size),) = test_class["sequences"].items()
    assert test_class["src_type"] == "png"
    assert size["gop"] == size["intra_period"] >= size["frames"]
    quality = arguments.q_i[0]
    step = 2 + (quality if fault == "reversed" else 63 - quality)
    streams = arguments.stream_path / name
    kept = streams  # as DCVC-FM and DCVC-RT
    if arguments.decoded_frame_path:
        kept = arguments.decoded_frame_path / clip / "0_0.1234_30.0000"  # as DCVC-DC
    elif not arguments.write_stream:
        kept = streams / f"{clip}_q{quality}"  # as GLC-Video
    kept.mkdir(parents=True)
    streams.mkdir(parents=True, exist_ok=True)
    num_bits = 0
    for number in range(1, size["frames"] + 1):
        picture = Image.open(Path(config["root_path"], test_class["base_path"], clip, f"im{number:05d}.png"))
        assert (picture.mode, picture.size) == ("RGB", (size["width"], size["height"]))
        levels = picture.point([value // step for value in range(256)] * 3)
        coded = zlib.compress(levels.tobytes(), 9)
        num_bits += 8 * len(coded)
        if arguments.write_stream:
            (streams / f"{number}.bin").write_bytes(coded)
        if fault == "frames" and number == 2:
            continue
        shown = levels.point([min(255, value * step + step // 2) for value in range(256)] * 3)
        shown.save(kept / f"im{number:05d}.png")
    num_pixels = size["frames"] * size["height"] * size["width"]
    figures = {"i_frame_num": 1, "p_frame_num": size["frames"] - 1, "ave_all_frame_bpp": num_bits / num_pixels}
    if fault == "figures":
        figures = {}
    arguments.output_path.write_text(json.dumps({name: {clip: {"000": figures}}}))


if __name__ == "__main__":
    main()
