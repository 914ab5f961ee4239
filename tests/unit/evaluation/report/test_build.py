"""The file itself: nothing is fetched, nothing from the data becomes markup, frames arrive as they were."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.errors import SettingError, SignalError
from vov_lightning.evaluation.report import build_report
from vov_lightning.evaluation.report.frames import encode_frames, is_lossless


class Page(HTMLParser):
    """Elements with their attributes and the text of script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.cdata_elem:
            self.raw[-1] = (self.raw[-1][0], self.raw[-1][1] + data)


@pytest.fixture(scope="module")
def report(report_results, report_frames) -> str:
    return build_report(report_results, *report_frames)


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(report)


def data_of(page: Page) -> dict:
    [text] = [text for attributes, text in page.raw if attributes.get("id") == "data"]
    return json.loads(text)


def blocks_of(page: Page) -> list[dict]:
    return [json.loads(text) for attributes, text in page.raw if attributes.get("class") == "frames"]


def decode(image: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(image))))


def test_nothing_is_fetched(report, page):
    assert not [
        address
        for address in re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", report)
        if "w3.org" not in address
    ]
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert "@import" not in report
    assert "url(" not in report


def test_the_policy_allows_exactly_this_script_and_this_style(page):
    [policy] = [a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data: blob:; ")
    assert "unsafe" not in policy
    run = [text for attributes, text in page.raw if attributes.get("type") in (None, "module")]
    assert len(run) == 2
    for text in run:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_hostile_names_stay_data(report, page, report_results):
    assert "window.hacked" in report
    assert "<img" not in report
    assert report.count("<script") == report.count("</script>") == 2 + 8
    assert [tag for tag, _ in page.elements].count("script") == 2 + 8
    assert data_of(page)["results"] == report_results


def test_no_script_writes_markup(page):
    [script] = [text for attributes, text in page.raw if attributes.get("type") == "module"]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in script


def test_small_frames_are_carried_exactly(page, report_frames, report_results):
    frames, sources = report_frames
    data, blocks = data_of(page), blocks_of(page)
    assert data["shown"] == [*sources]
    assert data["lossy"] == data["left_out"] == []
    for clip, block in zip(data["shown"], blocks, strict=True):
        assert {int(number) for number in block["points"]} == {
            p["id"] for p in report_results["points"] if p["clip"] == clip
        }
        for images, tensor in [
            (block["source"], sources[clip]),
            *((v, frames[int(k)]) for k, v in block["points"].items()),
        ]:
            assert np.array_equal(np.stack([decode(image) for image in images]), tensor.permute(0, 2, 3, 1).numpy())


def test_large_frames_are_lossy_and_near():
    y, x = torch.meshgrid(torch.arange(320), torch.arange(400), indexing="ij")
    frames = torch.stack([x // 2, y // 2, (x + y) // 4]).byte()[None]
    assert not is_lossless(frames)
    error = decode(encode_frames(frames)[0]).astype(float) - frames[0].permute(1, 2, 0).numpy()
    assert 0 < np.abs(error).mean() < 3


def test_clips_that_do_not_fit_are_left_out_and_named(report, report_results, report_frames):
    first = len(re.search(r'<script type="application/json" class="frames">.*?</script>', report, re.S)[0])
    page = Page(build_report(report_results, *report_frames, max_frame_bytes=first))
    data = data_of(page)
    assert data["shown"] == ["akiyo"]
    assert data["left_out"] == [clip for clip in report_frames[1] if clip != "akiyo"]
    assert len(blocks_of(page)) == 1


def test_points_may_have_no_frames(report_results):
    assert data_of(Page(build_report(report_results, {}, {})))["shown"] == []


def test_an_empty_evaluation_has_a_report(report_results):
    empty = {**report_results, "points": [], "sets": [], "bd_rate": [], "fits": [], "unreachable": [], "bounds": {}}
    assert data_of(Page(build_report(empty, {}, {})))["results"]["points"] == []


def test_markers_in_the_data_are_not_replaced(report_results):
    results = {**report_results, "failures": [{"file": "%%SCRIPT%%", "error": "%%STYLE%%"}]}
    assert data_of(Page(build_report(results, {}, {})))["results"]["failures"] == results["failures"]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_json_cannot_hold_is_refused(report_results, value):
    results = {**report_results, "bounds": {"bus": {"psnr_db": value}}}
    with pytest.raises(SettingError, match=r"results hold what JSON cannot.*write null and the reason"):
        build_report(results, {}, {})


def test_another_schema_is_refused(report_results):
    with pytest.raises(SettingError, match="results of schema 2, wanted 1"):
        build_report({**report_results, "schema": 2}, {}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, s: ({**f, 999: f[0]}, s), "frames of point 999, which results"),
        (lambda f, s: (f, {}), "point 0 has frames, but sources lack its clip 'akiyo'"),
        (lambda f, s: ({**f, 0: f[0][:5]}, s), r"frames of point 0 are torch.uint8 of shape \[5, 3, 64, 64\], wanted"),
        (lambda f, s: ({**f, 0: f[0].float()}, s), "frames of point 0 are torch.float32"),
        (
            lambda f, s: (f, {**s, "akiyo": s["akiyo"][..., :32]}),
            r"frames of the source 'akiyo' are .* \[9, 3, 64, 32\]",
        ),
    ],
)
def test_frames_that_cannot_be_shown_in_step_are_refused(report_results, report_frames, change, message):
    with pytest.raises(SignalError, match=message):
        build_report(report_results, *change(*report_frames))
