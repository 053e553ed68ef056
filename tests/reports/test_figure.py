"""The figure has the layout that it states, and shows what it is given."""

import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from xray_denoise.reports import figure
from xray_denoise.reports.figure import Panel, PanelRow


def row(title: str, *errors: float, shape: tuple[int, int] = (64, 64)) -> PanelRow:
    """A grey image, and others that lie off by whole grey levels."""
    panels = [Panel(f"off by {error:g}", np.full(shape, 100 + error, np.float32), f"{error:g} dB") for error in errors]
    return PanelRow(title, tuple(panels))


def decoded(rows: list[PanelRow]) -> Image.Image:
    return Image.open(io.BytesIO(figure.draw(rows, "png"))).convert("L")


@pytest.mark.parametrize("shape", [(64, 64), (60, 40), (30, 90)])
def test_its_size_follows_from_its_rows_and_columns(shape: tuple[int, int]) -> None:
    picture = decoded([row("a", 0, 10, -10, shape=shape), row("b", 0, 10, -10, shape=shape)])
    tall = figure.PANEL * shape[0] / shape[1]
    width = figure.MARGIN + 3 * figure.PANEL
    height = figure.MARGIN + 2 * (2 * tall + figure.CAPTION)
    assert picture.size == (pytest.approx(width * figure.DPI, abs=1), pytest.approx(height * figure.DPI, abs=1))


def test_pictures_and_residuals_lie_where_they_should() -> None:
    """The middle of each upper left quarter, where no detail covers the picture."""
    picture = np.asarray(decoded([row("a", 0, 10, -10), row("b", 0, 20, -60)]))
    panel, line = figure.PANEL * figure.DPI, 2 * figure.PANEL + figure.CAPTION
    for number, errors in enumerate([(0, 10, -10), (0, 20, -60)]):
        top = (figure.MARGIN + number * line) * figure.DPI
        for place, error in enumerate(errors):
            left = figure.MARGIN * figure.DPI + place * panel
            image, below = (picture[int(top + share * panel), int(left + panel / 4)] for share in (0.2, 1.2))
            assert image == pytest.approx(100 + error, abs=2)
            if place:
                assert below == pytest.approx(np.clip(127.5 + figure.GAIN * error, 0, 255), abs=2)


def test_the_detail_is_cut_inside_the_image() -> None:
    for shape in ((64, 64), (16, 200), (3, 5)):
        for part, length in zip(figure.inset(shape), shape, strict=True):
            assert 0 <= part.start < part.stop <= length


def test_an_svg_says_its_titles_and_repeats() -> None:
    rows = [row("eta 0.4, sigma 10", 0, 10)]
    first = figure.draw(rows, "svg")
    assert ET.fromstring(first).tag.endswith("svg")  # noqa: S314 - of our own making
    assert first == figure.draw(rows, "svg")
    for text in ("eta 0.4, sigma 10", "off by 10", "10 dB", "(image - clean) x 4"):
        assert text.encode() in first
