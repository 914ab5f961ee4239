"""A long clip takes no more memory than a short one: cutting, resizing and writing hold no frames."""

import subprocess
import sys

# In a process of its own, because this one's memory says nothing: first 3 seconds, then 30.
PROGRAM = """
import sys
from fractions import Fraction
import psutil
import torch
from vov_lightning.video.resize import resize_frames
from vov_lightning.video.scenes import Segmenter
from vov_lightning.video.sound import extract_sound
from vov_lightning.video.write import ClipWriter

pattern = (torch.arange(144 * 256 * 3).reshape(3, 144, 256) // 7 % 256).to(torch.uint8)

def frames(count):
    for index in range(count):
        yield pattern + (3 * index + 100 * (index // 50)) % 256

peak = 0
for folder, count in (("short", 90), ("long", 900)):
    sound = extract_sound(sys.argv[1] + f"/{folder}.mp4", "copy")
    times = [Fraction(index, 30) for index in range(count)]
    with ClipWriter(sys.argv[1] + f"/{folder}_out.mp4", 72, 128, Fraction(30), times=times, sound=sound) as writer:
        for segment in Segmenter(27, 9).segments(frames(count)):
            writer.write(resize_frames(torch.stack(segment), 72, 128))
            peak = max(peak, psutil.Process().memory_info().rss)
    print(peak // 2**20)
"""


def test_thirty_seconds_take_the_memory_of_three(clips):
    for name, num_frames in (("short.mp4", 90), ("long.mp4", 900)):
        clips.make(name, num_frames)
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(clips.folder)], capture_output=True, text=True, check=True)
    short_mib, long_mib = (int(line) for line in run.stdout.split())
    assert long_mib - short_mib < 16  # 900 frames of 144x256 are 95 MiB
    assert len(clips.probe(clips.folder / "long_out.mp4").frame_times) == 900
