"""The page of the app, with Gradio: one column to ask in, one to look at what came back."""

import html
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from vov_lightning.app.work import KEPT_S, Work, Workshop, describe
from vov_lightning.errors import VovError
from vov_lightning.sampling.config import ScalingConfig

TITLE = "vov_lightning"
RATE, QUALITY = "rate, bits per pixel", "quality, dB"
CLIPS = ["video", "image", ".y4m", ".mkv"]
FONT = ["system-ui", "sans-serif"]
"""Of the machine: Gradio's own would be fetched from elsewhere."""
T = TypeVar("T")


def build(shop: Workshop) -> gr.Blocks:
    """The page over ``shop``."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, KEPT_S)) as page:
        at_hand = gr.State(None, time_to_live=KEPT_S)
        gr.Markdown(f"# {TITLE}\nA clip as the smallest change to a model that makes the model generate it.")
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                clip = gr.File(label="Clip", file_types=CLIPS, type="filepath")
                wish = gr.Radio([RATE, QUALITY], value=RATE, label="Ask for")
                rate = gr.Slider(0.02, 0.5, value=0.1, step=0.01, label="Bits per pixel")
                quality = gr.Slider(18, 32, value=24, step=0.5, label="PSNR in dB", visible=False)
                seconds = gr.Slider(0.1, shop.max_seconds, value=min(1.0, shop.max_seconds), label="Seconds")
                rows = gr.Slider(32, shop.max_rows, value=min(96, shop.max_rows), step=8, label="Rows")
                caption = gr.Textbox(label="Caption", placeholder="empty: the model's own words")
                compress = gr.Button("Compress", variant="primary")
                opened = gr.File(label="Or open a .vov file", file_types=[".vov"], type="filepath")
            with gr.Column(scale=2):
                said = gr.Markdown("Drop a clip and press Compress.", elem_id="said")
                player = gr.HTML(elem_id="player")
                with gr.Row():
                    take_file = gr.DownloadButton("Download .vov", visible=False)
                    take_movie = gr.DownloadButton("Download what is decoded", visible=False)
                    take_edited = gr.DownloadButton("Download what is edited", visible=False)
                with gr.Row(visible=False) as words:
                    prompt = gr.Textbox(label="Edit by words", scale=3)
                    strength = gr.Slider(0, 1, value=1.0, step=0.05, label="Strength of the vector")
                    edit = gr.Button("Edit")

        def show(work: Work) -> list[Any]:
            movie = shop.movie(work, work.decoded)
            return [
                work,
                describe(work),
                frame_of(shop.comparison(work)),
                gr.update(value=str(work.path), visible=True),
                gr.update(value=str(movie), visible=True),
                gr.update(visible=False),
                gr.update(visible=True),
                work.file.caption,
                gr.update(visible=work.file.header.k > 0),
            ]

        def on_compress(
            path: str | None, wished: str, bpp: float, db: float, length: float, height: float, text: str,
            progress: gr.Progress = gr.Progress(track_tqdm=True),
        ) -> list[Any]:  # fmt: skip
            if path is None:
                raise gr.Error("There is no clip yet; drop one.")
            scaling = ScalingConfig(target_bpp=bpp) if wished == RATE else ScalingConfig(target_psnr=db)
            return told(lambda: show(shop.compress(path, scaling, length, int(height), text.strip())))

        def on_open(
            path: str, source: str | None, progress: gr.Progress = gr.Progress(track_tqdm=True)
        ) -> list[Any]:  # fmt: skip
            return told(lambda: show(shop.open(path, source)))

        def on_edit(
            work: Work | None, text: str, much: float, progress: gr.Progress = gr.Progress(track_tqdm=True)
        ) -> list[Any]:
            if work is None:
                raise gr.Error("There is no file any more; compress or open one.")

            def shown() -> list[Any]:
                edited = shop.edit(work, text.strip(), much)
                movie = gr.update(value=str(shop.movie(work, edited)), visible=True)
                return [frame_of(shop.comparison(work, edited)), movie]

            return told(shown)

        outputs = [at_hand, said, player, take_file, take_movie, take_edited, words, prompt, strength]
        inputs = [clip, wish, rate, quality, seconds, rows, caption]
        wish.change(
            lambda value: [gr.update(visible=value == RATE), gr.update(visible=value == QUALITY)], wish, [rate, quality]
        )
        compress.click(on_compress, inputs, outputs, show_progress_on=said)
        opened.upload(on_open, [opened, clip], outputs, show_progress_on=said)
        edit.click(on_edit, [at_hand, prompt, strength], [player, take_edited], show_progress_on=said)
    return page


def told(work: Callable[[], T]) -> T:
    """What ``work`` returns; our own errors are shown on the page as they are."""
    try:
        return work()
    except VovError as error:
        raise gr.Error(str(error), duration=None) from error


def frame_of(page: str) -> str:
    """``page`` as a frame of its own, which may run its scripts and nothing else."""
    style = "width:100%;height:900px;border:0"
    return f'<iframe title="Compare" sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


def serve(shop: Workshop, host: str, port: int) -> None:
    """Serve the page until it is stopped."""
    page = build(shop).queue(default_concurrency_limit=1, max_size=8)
    page.launch(
        server_name=host,
        server_port=port or None,
        max_file_size=shop.max_mb * 10**6,
        ssr_mode=False,
        theme=gr.themes.Base(font=FONT, font_mono=["monospace"]),
        share=False,
        inbrowser=False,
        footer_links=[],
    )
