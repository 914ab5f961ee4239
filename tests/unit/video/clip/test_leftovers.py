"""Whatever else a file holds is named."""

import subprocess

import imageio_ffmpeg
from PIL import Image

from vov_lightning.video.leftovers import left_behind


def ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True)


def test_nothing(clips):
    assert left_behind(clips.make("a.mp4")) == ""
    assert left_behind(clips.folder) == ""
    assert left_behind(clips.folder / "no.mp4") == ""
    assert left_behind(clips.folder / "photo.jpg") == ""


def test_second_language_and_subtitles(clips):
    first, second = str(clips.make("a.mkv")), str(clips.make("b.mkv", audio="flac"))
    subtitles, path = clips.folder / "a.srt", clips.folder / "c.mkv"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n\n")
    ffmpeg(
        *("-i", first, "-i", second, "-i", str(subtitles), "-map", "0", "-map", "1:a", "-map", "2", "-c", "copy"),
        *("-metadata:s:a:1", "language=deu", "-disposition:a:0", "default", str(path)),
    )
    assert left_behind(path) == (
        f"{path} also holds what is not coded: an audio stream (flac in deu), a subtitle stream (srt)"
    )


def test_chapters_and_cover(clips):
    chapters, cover, path = clips.folder / "a.txt", clips.folder / "cover.png", clips.folder / "b.mp4"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=First\n")
    Image.new("RGB", (16, 16)).save(cover)
    source = str(clips.make("a.mp4"))
    ffmpeg(
        *("-i", source, "-i", str(cover), "-i", str(chapters), "-map", "0", "-map", "1", "-map_metadata", "2"),
        *("-c", "copy", "-disposition:v:1", "attached_pic", str(path)),
    )
    assert "a cover picture (png)" in left_behind(path)
    assert left_behind(path).endswith("1 chapter mark")


def test_the_video_that_is_read_is_not_named(clips):
    """libav's own choice is by the frames of a stream, ffmpeg's and ours by its pixels."""
    path = clips.folder / "two.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "nullsrc=s=48x32:r=50:d=1,geq=random(1)*255:128:128"),
        *("-f", "lavfi", "-i", "color=s=96x64:r=5:d=1", "-map", "0", "-map", "1", "-disposition:v", "0"),
        *("-c:v:0", "mpeg4", "-b:v:0", "2M", "-c:v:1", "libx264", str(path)),
    )
    assert left_behind(path) == f"{path} also holds what is not coded: a video stream (mpeg4)"
