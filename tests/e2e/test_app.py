"""``vov-app`` in a real Chromium, from the dropped clip to the downloads; and its work without a browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import sync_playwright

import vov_lightning as vov
from vov_lightning.app.work import Workshop, describe
from vov_lightning.bases.nano.model import Nano
from vov_lightning.cli import app
from vov_lightning.errors import BitstreamError, SettingError
from vov_lightning.sampling.config import ScalingConfig

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUICK = ScalingConfig(target_bpp=0.3)


@pytest.fixture
def shop(tiny_weights, tmp_path, one_thread) -> Workshop:
    return Workshop(Nano(str(tiny_weights)), tmp_path, max_mb=1, max_seconds=0.2, max_rows=32)


def test_a_clip_is_cut_compressed_compared_edited_and_opened_again(shop, clip, tmp_path):
    work = shop.compress(clip, QUICK, seconds=9, rows=99)
    assert work.decoded.num_frames == 5  # 0.2 s of 9 frames
    assert work.decoded.height == 32
    assert f"{work.path.stat().st_size} bytes" in describe(work)
    assert "the first 5 of 9 frames" in describe(work)
    assert '"decoded"' in shop.comparison(work)
    edited = shop.edit(work, "bright, red", 0.5)
    assert edited.frames.shape == work.decoded.frames.shape
    assert '"edited"' in shop.comparison(work, edited)
    assert vov.read_signal(shop.movie(work, edited)).num_frames == 5
    again = shop.open(work.path)
    assert torch.equal(again.decoded.frames, work.decoded.frames)
    assert again.path != work.path
    assert again.source is None
    assert "dB" not in describe(again)
    assert shop.open(work.path, clip).source is not None


def test_what_is_too_long_or_too_large_is_refused(shop, clip, tiny_weights, tmp_path):
    long = Workshop(shop.base, tmp_path, max_mb=1, max_seconds=9, max_rows=32).compress(clip, QUICK, 9, 32)
    with pytest.raises(SettingError, match=r"this app takes 0\.2 s of 32 rows"):
        shop.open(long.path)
    large = tmp_path / "large.vov"
    large.write_bytes(long.path.read_bytes() + bytes(10**6))
    with pytest.raises(BitstreamError, match="limit"):
        shop.open(large)


def test_old_work_is_removed(shop, clip):
    old = shop.compress(clip, QUICK, 0.1, 32).path.parent
    os.utime(old, (0, 0))
    new = shop.compress(clip, QUICK, 0.1, 32).path.parent
    assert new.exists()
    assert not old.exists()


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "vov_lightning.app.page", raising=False)
    monkeypatch.delattr("vov_lightning.app.page", raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    assert app.main([]) == 1
    assert 'pip install "vov_lightning[app]"' in capsys.readouterr().err
    assert app.main(["--max_rows=0"]) == 1
    assert "--max_rows 0 is not above 0" in capsys.readouterr().err


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[str, Path]]:
    """Address and temporary folder of ``vov-app``; at its end nothing is left in the folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from vov_lightning.cli.start import start; raise SystemExit(start('app', ['--port', '{port}']))"
    environment = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    address = f"http://127.0.0.1:{port}/"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        for _ in range(600):
            try:
                opener.open(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "vov-app has ended"
                time.sleep(0.2)
        yield address, folder
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not list(folder.glob("vov-app-*"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_from_drop_to_download(served, clip, tmp_path):
    address, folder = served
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1300})
        page.set_default_timeout(120_000)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        own = (address, "data:", "blob:", "about:")
        page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(clip)
        page.get_by_text(clip.name[:4]).first.wait_for()
        page.get_by_role("spinbutton", name="Rows").fill("32")
        page.get_by_role("button", name="Compress").click()
        page.locator("#said", has_text="bytes").wait_for()
        assert "9 frames of 26x32" in page.locator("#said").inner_text()
        player = page.frame_locator("#player iframe")
        player.locator(".pane canvas[data-frame='0']").first.wait_for()
        assert player.locator(".pane").count() == 2

        file = download(page, "Download .vov", tmp_path)
        assert file.name == "ramp.vov"
        assert vov.VovFile.open(file).header.frames == 9
        assert vov.read_signal(download(page, "Download what is decoded", tmp_path)).num_frames == 9

        page.get_by_role("textbox", name="Edit by words").fill("purple elephants")
        page.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_text("not in nano's vocabulary").first.wait_for()
        page.get_by_role("textbox", name="Edit by words").fill("dark, blue")
        page.get_by_role("button", name="Edit", exact=True).click()
        player.get_by_text("edited").first.wait_for(state="attached")
        assert vov.read_signal(download(page, "Download what is edited", tmp_path)).num_frames == 9

        page.reload()
        page.locator("input[type=file]").nth(1).set_input_files(file)
        page.locator("#said", has_text="bytes").wait_for()
        assert "dB" not in page.locator("#said").inner_text()
        assert list(folder.glob("vov-app-*/work-*"))
        browser.close()
    assert wrong == []


def download(page, label: str, folder: Path) -> Path:
    """The file behind a button."""
    with page.expect_download() as waited:
        page.get_by_role("button", name=label).click()
    path = folder / waited.value.suggested_filename
    waited.value.save_as(path)
    return path
