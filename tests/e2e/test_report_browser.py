"""The report in a real Chromium, opened from the disk: what a person does with it, without errors and requests."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from vov_lightning.evaluation.report import build_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The frame numbers in the first pixels of all panes and in their attributes, at every repaint until `count` were seen.
WATCH = """(count) => new Promise((resolve) => {
  const seen = [];
  const probe = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const look = () => {
    seen.push([...document.querySelectorAll('.pane canvas')].map((canvas) => {
      probe.drawImage(canvas, 0, 0);
      return [probe.getImageData(0, 0, 1, 1).data[0] / 20, Number(canvas.dataset.frame)];
    }));
    seen.length < count ? requestAnimationFrame(look) : resolve(seen);
  };
  requestAnimationFrame(look);
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory, report_results, report_frames) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(report_results, *report_frames), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_report(browser, report) -> Iterator:
    """Opens the report in a fresh context; at the end no error was logged and nothing was requested."""
    contexts, wrong, opened = [], [], set()

    def start(width: int = 1280, height: int = 900, path: Path = report, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not known(request.url) else None)
        opened.add(path.as_uri())
        page.goto(path.as_uri())
        if path == report:
            page.wait_for_selector(".pane canvas[data-frame]")
        return page

    def known(address: str) -> bool:
        return address.startswith("data:") or address.split("#")[0] in opened

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


def frames_shown(page) -> set[str]:
    return {canvas.get_attribute("data-frame") for canvas in page.locator(".pane canvas").all()}


def number(text: str) -> float:
    return float(text.rstrip("%px"))


def test_the_mouse_drags_a_divider(open_report):
    page = open_report()
    divider = page.locator(".divider").first
    divider.scroll_into_view_if_needed()
    box, view = divider.bounding_box(), page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(view["x"] + view["width"] * 0.1, box["y"] + 220, steps=5)
    page.mouse.up()
    assert number(divider.get_attribute("aria-valuenow")) == pytest.approx(10, abs=1)
    left = page.locator(".pane").first.evaluate("(pane) => pane.style.clipPath")
    assert number(re.findall(r"[\d.]+%", left)[0]) == pytest.approx(90, abs=1)
    page.mouse.move(view["x"] + view["width"] * 0.5, box["y"])  # released: it stays
    assert number(divider.get_attribute("aria-valuenow")) == pytest.approx(10, abs=1)


def test_the_keyboard_moves_a_divider_and_not_the_frame(open_report):
    page = open_report()
    divider = page.get_by_role("slider", name="Divider 1")
    before = number(divider.get_attribute("aria-valuenow"))
    divider.press("ArrowRight")
    assert number(divider.get_attribute("aria-valuenow")) == before + 2
    divider.press("Home")
    assert divider.get_attribute("aria-valuenow") == "0"
    divider.press("End")  # up to the next divider, not past it
    assert divider.get_attribute("aria-valuenow") == page.get_by_role("slider", name="Divider 2").get_attribute(
        "aria-valuenow"
    )
    assert "on the left" in divider.get_attribute("aria-valuetext")
    assert frames_shown(page) == {"0"}


@pytest.mark.parametrize("view", ["split", "side"])
def test_panes_stay_in_step_while_playing(open_report, view):
    page = open_report()
    page.get_by_role("combobox", name="View").select_option(view)
    page.get_by_role("button", name="Play").click()
    seen = page.evaluate(WATCH, 90)
    assert all(len(panes) == 3 and len({value for pane in panes for value in pane}) == 1 for panes in seen)
    assert len({panes[0][0] for panes in seen}) > 3  # it did play
    page.get_by_role("button", name="Pause").click()
    stopped = page.evaluate(WATCH, 10)
    assert len({panes[0][0] for panes in stopped}) == 1


def test_changing_a_pane_while_playing_keeps_step(open_report):
    page = open_report()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("combobox", name="Right").select_option(index=4)
    page.get_by_role("button", name="Play").click()
    seen = page.evaluate(WATCH, 40)
    assert all(len({value for pane in panes for value in pane}) == 1 for panes in seen)


def test_keys_play_step_and_jump(open_report):
    page = open_report()
    stage = page.get_by_role("group", name="Compared frames")
    for key, wanted in (
        ("ArrowRight", "1"),
        ("ArrowRight", "2"),
        ("ArrowLeft", "1"),
        ("End", "8"),
        ("ArrowRight", "0"),
    ):
        stage.press(key)
        assert frames_shown(page) == {wanted}
    stage.press("End")
    stage.press("Home")
    assert frames_shown(page) == {"0"}
    stage.press("Space")
    assert page.get_by_role("button", name="Pause").is_visible()
    stage.press("Space")
    assert page.get_by_role("button", name="Play").is_visible()
    page.get_by_role("slider", name="Frame").press("ArrowRight")
    assert "/ 9" in page.locator(".readout").inner_text()


def test_speed_slows_the_clock(open_report):
    page = open_report()
    page.get_by_role("combobox", name="Speed").select_option("0.1")
    page.get_by_role("button", name="Play").click()
    seen = [panes[0][0] for panes in page.evaluate(WATCH, 20)]
    assert max(seen) <= 3


def test_the_loupe_enlarges_the_same_pixels_of_every_pane(open_report):
    page = open_report()
    box = page.locator(".pane canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5 + 1, box["y"] + box["height"] * 0.5 + 1)
    assert {loupe.get_attribute("data-place") for loupe in page.locator(".loupe canvas").all()} == {"24,24,16"}
    same = """() => [...document.querySelectorAll('.pane canvas')].every((canvas, i) => {
      const zoom = document.querySelectorAll('.loupe canvas')[i];
      const a = canvas.getContext('2d').getImageData(24, 24, 16, 16).data;
      const b = zoom.getContext('2d').getImageData(0, 0, 16, 16).data;
      return getComputedStyle(zoom).imageRendering === 'pixelated' && a.every((value, j) => value === b[j]);
    })"""
    assert page.evaluate(same)
    stage = page.get_by_role("group", name="Compared frames")
    stage.press("Shift+ArrowRight")
    assert page.locator(".loupe canvas").first.get_attribute("data-place") == "25,24,16"
    page.get_by_role("combobox", name="Loupe").select_option("0")
    assert page.locator(".loupes").is_hidden()


def test_an_image_has_nothing_to_play_and_a_hostile_name_is_text(open_report, report_results):
    page = open_report()
    page.get_by_role("combobox", name="Clip").first.select_option("still <b>&</b>")
    page.wait_for_function("document.querySelector('.transport').hidden")
    assert frames_shown(page) == {"0"}
    page.get_by_role("group", name="Compared frames").press("Space")
    assert frames_shown(page) == {"0"}
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main b").count() == 0
    assert report_results["failures"][0]["error"] in page.locator("#failures").inner_text()


def test_another_clip_keeps_the_methods_that_were_chosen(open_report):
    page = open_report()
    middle = page.get_by_role("combobox", name="Middle")
    chosen = middle.locator("option:checked").inner_text()
    page.get_by_role("combobox", name="Clip").first.select_option("foreman")
    assert middle.locator("option:checked").inner_text().split(",")[0] == chosen.split(",")[0]


def test_charts_tell_their_points_to_mouse_and_keyboard(open_report):
    page = open_report()
    chart = page.locator("#curves .chart").first
    tip = page.locator("#curves .tip").first
    chart.press("ArrowRight")
    assert "bpp" in tip.inner_text()
    first = tip.inner_text()
    chart.press("ArrowDown")
    assert tip.inner_text() != first
    chart.press("Escape")
    assert tip.is_hidden()
    page.locator("#curves .chart").first.locator(".marker").nth(3).hover()
    assert "bytes" in tip.inner_text()
    lines = chart.locator("polyline").count()
    page.locator("#curves").get_by_role("button", name="siren").click()
    assert chart.locator("polyline").count() == lines - 1
    page.locator("#curves").get_by_role("combobox", name="Show").select_option("bus")
    assert "The clip bus" in page.locator("#curves-lead").inner_text()


def test_tables_say_why_a_figure_is_missing_and_mark_the_best(open_report):
    page = open_report()
    cell = page.locator("#means .null").first
    assert "below the 162" in cell.get_attribute("title")
    assert "below the 162" in cell.locator(".unseen").inner_text()
    assert "below the 162" in page.locator("#means .notes").first.inner_text()
    best = page.locator("#means tr", has_text="indices").first.locator(".best")
    assert best.count() >= 3
    assert "6 of 8 clips" in page.locator("#bd").inner_text()
    head = page.locator("#points").get_by_role("button", name="Bytes")
    head.click()
    head.click()
    assert page.locator("#points th[aria-sort=descending]").count() == 1
    sizes = [
        int(text.replace("\u202f", "")) for text in page.locator("#points tbody td:nth-child(4)").all_inner_texts()
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_an_evaluation_in_which_everything_failed_opens_as_well(open_report, report_results, tmp_path):
    empty = {**report_results, "points": [], "sets": [], "bd_rate": [], "fits": [], "unreachable": [], "bounds": {}}
    path = tmp_path / "empty.html"
    path.write_text(build_report(empty, {}, {}), encoding="utf-8")
    page = open_report(path=path)
    assert "Not everything could be evaluated: 1 failure" in page.locator("#head").inner_text()
    links = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    assert links == ["Failures", "About"]


def test_some_points_may_have_no_frames_and_one_method_may_be_alone(
    open_report, report_results, report_frames, tmp_path
):
    frames, sources = report_frames
    alone = [point for point in report_results["points"] if point["method"] == "x265" and point["clip"] == "foreman"]
    results = {**report_results, "points": alone, "sets": [], "bd_rate": [], "fits": []}
    path = tmp_path / "alone.html"
    path.write_text(build_report(results, {alone[0]["id"]: frames[alone[0]["id"]]}, sources), encoding="utf-8")
    page = open_report(path=path)
    page.wait_for_selector(".pane canvas[data-frame]")
    assert page.locator(".pane").count() == 2
    assert page.locator(".divider").count() == 1


def test_dark_and_light_follow_the_system_and_the_button(open_report):
    paper = "() => getComputedStyle(document.body).backgroundColor"
    dark, light = open_report(color_scheme="dark"), open_report(color_scheme="light")
    assert dark.evaluate(paper) == "rgb(20, 22, 26)"
    assert light.evaluate(paper) == "rgb(255, 255, 255)"
    button = light.get_by_role("button", name="Theme")
    button.click()
    button.click()
    assert button.inner_text() == "Theme: dark"
    assert light.evaluate(paper) == "rgb(20, 22, 26)"


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_overflows_the_window(open_report, width):
    page = open_report(width=width)
    page.locator("summary").click()
    for view in ("split", "side"):
        page.get_by_role("combobox", name="View").select_option(view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_is_reached_by_the_tab_key(open_report):
    page = open_report()
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]')]
        .filter((element) => element.offsetParent !== null || element instanceof SVGElement)
        .filter((element) => element.checkVisibility()).length"""
    )
    reached = page.evaluate("() => { window.reached = new Set(); return 0; }")
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        reached = page.evaluate(
            """() => { if (document.activeElement !== document.body) reached.add(document.activeElement);
            return reached.size; }"""
        )
    assert reached >= wanted
    outline = page.locator(".divider").first
    outline.press("ArrowLeft")
    assert outline.evaluate("(element) => getComputedStyle(element).outlineStyle") == "solid"


def test_text_has_the_contrast_of_wcag_aa(open_report):
    luminance = """(name) => {
      const probe = document.createElement('i');
      probe.style.color = `var(--${name})`;
      document.body.append(probe);
      const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255);
      probe.remove();
      const [r, g, b] = parts.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }"""
    for scheme in ("light", "dark"):
        page = open_report(color_scheme=scheme)
        text = [
            ("ink", 4.5),
            ("soft", 4.5),
            ("accent", 4.5),
            ("win", 4.5),
            ("loss", 4.5),
            *((f"h{i}", 3) for i in range(8)),
        ]
        for paper in ("paper", "raised", "tint"):
            ground = page.evaluate(luminance, paper)
            for name, least in text:
                values = sorted((page.evaluate(luminance, name), ground))
                assert (values[1] + 0.05) / (values[0] + 0.05) >= least, (scheme, name, paper)
