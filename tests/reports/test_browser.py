"""The page in a real browser: it loads nothing, breaks nowhere, and its slider and zoom show what they say."""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xray_denoise.reports import page, plots
from xray_denoise.reports.tables import Column, Report, Row, Table

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

DARK, BRIGHT = 40.0, 200.0
"""Grey levels before and after."""
SIDE = 200
TITLE = "A page <script>document.title = 'taken'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of two comparisons: a flat one, and a chequerboard with its negative."""
    flat = np.full((SIDE, SIDE), DARK, np.float32)
    board = 255 * (np.indices((SIDE, SIDE)).sum(axis=0) % 2).astype(np.float32)
    table = Table("PSNR, dB", "How near.", (Column(0.4, 5), Column()), (Row("ours", (40.0, 40.0)),), 2)
    content = page.html(
        TITLE,
        facts=[("model", "x-bdcnn")],
        reports=[Report("Table", (), (table,))],
        plots=[page.Plot("Plot", plots.psnr_by_level(table))],
        comparisons=[
            page.Comparison("Flat", flat, flat - DARK + BRIGHT),
            page.Comparison("Board", board, 255 - board, clean=board),
        ],
    )
    target = tmp_path_factory.mktemp("page") / "page.html"
    target.write_bytes(content)
    return target.as_uri()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Open the page; whatever went wrong or over the network by the end of the test fails it."""
    troubles: list[str] = []
    contexts = []

    def open_page(**settings: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **settings}))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: troubles.append(f"console: {message.text}"))
        tab.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(address)
        return tab

    requests: list[str] = []
    yield open_page
    for context in contexts:
        context.close()
    assert not troubles
    assert {url for url in requests if not url.startswith("data:image/")} == {address}


def shot(stage: Any) -> np.ndarray:
    """What the screen shows of an element, grey."""
    return np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("L"), dtype=float)


def share_before(stage: Any) -> float:
    """The share of a row of the flat image, away from the labels, the line and the ends, that shows before."""
    row = shot(stage)[30]
    row = row[(abs(row - DARK) < 2) | (abs(row - BRIGHT) < 2)]
    return float((row < (DARK + BRIGHT) / 2).mean())


def test_hostile_titles_are_text(visit: Any) -> None:
    tab = visit()
    assert tab.title() == TITLE
    assert tab.locator("h1").inner_text() == TITLE


def test_the_slider_moves_by_mouse(visit: Any) -> None:
    tab = visit()
    stage = tab.locator(".stage").first
    assert share_before(stage) == pytest.approx(0.5, abs=0.05)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 5, box["y"] + 60, steps=4)
    tab.mouse.up()
    assert share_before(stage) == pytest.approx(0.2, abs=0.05)
    assert float(tab.get_by_role("slider").first.input_value()) == pytest.approx(20, abs=1)
    tab.mouse.move(box["x"], box["y"])
    assert share_before(stage) == pytest.approx(0.2, abs=0.05), "a mouse without its button moves nothing"


def test_the_slider_moves_by_keyboard(visit: Any) -> None:
    tab = visit()
    slider = tab.get_by_role("slider", name="Flat: share of the image shown before denoising")
    slider.focus()
    for _ in range(30):
        tab.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "80 % before, 20 % after"
    assert share_before(tab.locator(".stage").first) == pytest.approx(0.8, abs=0.05)
    for key, share in (("Home", 0), ("End", 1)):
        tab.keyboard.press(key)
        assert share_before(tab.locator(".stage").first) == pytest.approx(share, abs=0.02)


def test_the_slider_moves_by_touch(visit: Any) -> None:
    tab = visit(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    stage = tab.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    session = tab.context.new_cdp_session(tab)

    def touch(kind: str, *points: float) -> None:
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + 40} for x in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", 0.5)
    for x in (0.6, 0.7, 0.75):
        touch("touchMove", x)
    touch("touchEnd")
    assert share_before(stage) == pytest.approx(0.75, abs=0.05)
    readout = tab.locator("output").first
    before = int(readout.inner_text().split("\u2009")[0])
    touch("touchStart", 0.4, 0.6)
    touch("touchMove", 0.3, 0.7)
    touch("touchMove", 0.2, 0.8)
    touch("touchEnd")
    assert int(readout.inner_text().split("\u2009")[0]) == pytest.approx(3 * before, rel=0.02)


def test_one_to_one_shows_every_pixel_as_it_is(visit: Any) -> None:
    """A chequerboard of single pixels turns grey where it is scaled, and survives pixel for pixel at 1:1."""
    tab = visit()
    viewer = tab.locator(".viewer").nth(1)
    stage = viewer.locator(".stage")
    viewer.get_by_role("slider").press("Home")
    viewer.get_by_role("button", name="1:1").click()
    assert viewer.locator("output").inner_text() == "100\u2009%"
    seen = shot(stage)
    middle = tuple(slice(side // 2 - 40, side // 2 + 40) for side in seen.shape)
    assert set(np.unique(seen[middle])) == {0, 255}
    assert (seen[middle][:, 1:] != seen[middle][:, :-1]).all()
    for _ in range(3):
        viewer.get_by_role("button", name="Zoom in").click()
    scale = int(viewer.locator("output").inner_text().split("\u2009")[0]) // 100
    edges = np.flatnonzero(np.diff(shot(stage)[middle][40]))
    assert scale > 1
    assert set(np.diff(edges)) == {scale}
    viewer.get_by_role("button", name="Fit").click()
    assert viewer.get_by_role("button", name="Fit").get_attribute("aria-pressed") == "true"


def test_wheel_and_drag_and_keys_move_a_zoomed_image(visit: Any) -> None:
    tab = visit()
    stage = tab.locator(".stage").nth(1)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()

    def corner() -> tuple[float, ...]:
        return tuple(
            float(stage.evaluate(f"s => parseFloat(s.style.getPropertyValue('--{name}'))")) for name in ("x", "y", "w")
        )

    tab.mouse.move(box["x"] + 100, box["y"] + 100)
    fitted = corner()
    tab.mouse.wheel(0, -100)
    tab.wait_for_timeout(50)
    assert corner() == fitted, "the wheel scrolls the page unless the image was clicked or Ctrl is held"
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    tab.mouse.move(box["x"] + 100, box["y"] + 100)
    tab.keyboard.down("Control")
    for _ in range(5):
        tab.mouse.wheel(0, -100)
    tab.keyboard.up("Control")
    tab.wait_for_function("s => parseFloat(s.style.getPropertyValue('--w')) > 1000", arg=stage.element_handle())
    left, top, width = corner()
    ratio = width / fitted[2]
    assert left == pytest.approx(100 - 100 * ratio, abs=2), "what lies below the pointer stays there"
    tab.mouse.down()
    tab.mouse.move(box["x"] + 70, box["y"] + 80, steps=3)
    tab.mouse.up()
    assert corner() == pytest.approx((left - 30, top - 20, width), abs=1)
    tab.keyboard.press("ArrowLeft")
    assert corner() == pytest.approx((left + 10, top - 20, width), abs=1)
    tab.keyboard.press("0")
    assert corner() == pytest.approx(fitted)


def test_dark_and_phone_and_paper(visit: Any) -> None:
    tab = visit(color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
    assert share_before(tab.locator(".stage").first) == pytest.approx(0.5, abs=0.05)
    tab = visit(viewport={"width": 360, "height": 700})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.emulate_media(media="print")
    panes = [tab.locator(".pane").nth(number).bounding_box() for number in range(2)]
    assert panes[0]["x"] + panes[0]["width"] <= panes[1]["x"], "side by side"
    assert not tab.get_by_role("slider").first.is_visible()


def test_without_javascript_the_images_stand_side_by_side(visit: Any) -> None:
    tab = visit(java_script_enabled=False)
    before, after = (shot(tab.locator(".pane img").nth(number)) for number in range(2))
    assert np.median(before) == pytest.approx(DARK, abs=2)
    assert np.median(after) == pytest.approx(BRIGHT, abs=2)
    assert tab.locator("table").first.is_visible()
    assert not tab.get_by_role("slider").first.is_visible()


def test_every_picture_and_drawing_is_drawn(visit: Any) -> None:
    """The policy of the page lets them through."""
    tab = visit()
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    drawing = shot(tab.locator("img.drawing").first)
    assert drawing.min() < 60
    assert drawing.max() > 250


def test_trouble_would_be_noticed(browser: Any, tmp_path: Path) -> None:
    """The page with a style of someone else's: the policy refuses it, and the console tells."""
    content = page.html("t", facts=[]).replace(b"</main>", b"<p style='color: red'>x</p></main>")
    (tmp_path / "page.html").write_bytes(content)
    context = browser.new_context()
    tab = context.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.goto((tmp_path / "page.html").as_uri())
    context.close()
    assert any("Content Security Policy" in text for text in heard)
