"""The page is whole in itself, shows what it was given, and takes no text for anything but text."""

import base64
import io
import re
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from xray_denoise import __version__
from xray_denoise.errors import CannotRunError
from xray_denoise.reports import page
from xray_denoise.reports.tables import Column, Report, Row, Table

HOSTILE = "</script></style></title>\"'><img src=x onerror=alert(1)><script>alert(2)</script>"
TABLE = Table(
    "PSNR, dB",
    "How near.",
    (Column(0.4, 5.0), Column(0.4, 10.0), Column()),
    (
        Row("ours", (40.125, None, 39.0), spreads=(0.5, None, None)),
        Row("paper: X", (1.5, 2.0, 1.75), quoted=True),
    ),
    2,
)
REPORT = Report("Table II", (("images", "ten"),), (TABLE,), ("A note below.",))


class Elements(HTMLParser):
    """Every element of a page, with its attributes and the text in front of the next one."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def image(shape: tuple[int, int] = (40, 60), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def comparison(title: str = "Image 1", shape: tuple[int, int] = (40, 60)) -> page.Comparison:
    return page.Comparison(title, image(shape, 0), image(shape, 1), (("eta", "0.6"),), image(shape, 2))


def pictures(elements: Elements) -> dict[str, np.ndarray]:
    """Every PNG of the page by its alternative text."""
    found = {}
    for attributes in elements.of("img"):
        kind, _, content = (attributes["src"] or "").partition(";base64,")
        if kind == "data:image/png":
            found[attributes["alt"] or ""] = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    return found


def everything(title: str) -> bytes:
    hostile_table = Table(title, title, (Column(title=title),), (Row(title, (1.0,)),), 1)
    return page.html(
        title,
        facts=[(title, title)],
        reports=[Report(title, ((title, title),), (hostile_table,), (title,))],
        plots=[page.Plot(title, b"<svg xmlns='http://www.w3.org/2000/svg'/>", title)],
        comparisons=[comparison(title)],
        listings=[page.Listing(title, (title,), ((title,),), title)],
        notes=[title],
    )


def test_all_that_was_given_is_there() -> None:
    content = page.html(
        "A title",
        facts=[("model", "x-bdcnn")],
        reports=[REPORT],
        plots=[page.Plot("A plot", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Its caption.")],
        comparisons=[comparison()],
        listings=[page.Listing("Files", ("number",), (("17",),), "All of them.")],
        notes=["A note above."],
    )
    elements = Elements(content)
    text = " ".join(" ".join(elements.text).split())
    for part in ("A title", "x-bdcnn", "Table II", "A plot", "Its caption.", "17", "All of them.", "A note above."):
        assert part in text
    for part in ("A note below.", "40.12 (0.50) - 39.00", "paper: X 1.50 2.00 1.75", f"xray-denoise {__version__}"):
        assert part in text
    assert "Research use, not a medical device." in text
    assert {"class": "quoted"} in elements.of("tr")
    assert {"scope": "colgroup", "colspan": "2"} in elements.of("th")
    assert elements.of("html") == [{"lang": "en"}]
    assert all(attributes["alt"] for attributes in elements.of("img"))


def test_headings_go_down_by_one() -> None:
    levels = [int(tag[1]) for tag, _ in Elements(everything("x")).found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_text_is_text() -> None:
    hostile, plain = Elements(everything(HOSTILE)), Elements(everything("x"))
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in plain.found]
    for (_, one), (_, other) in zip(hostile.found, plain.found, strict=True):
        assert one.keys() == other.keys()
    assert HOSTILE in hostile.text


def test_nothing_is_loaded_from_elsewhere_and_only_this_style_and_script_run() -> None:
    content = everything("x")
    elements = Elements(content)
    for _, attributes in elements.found:
        assert not {"href", "src", "srcset", "action", "style", "onclick"} & {
            name for name, value in attributes.items() if not (value or "").startswith(("data:image/", "#"))
        }
    (policy,) = (a["content"] or "" for a in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert "url(" not in content.decode()
    assert "@import" not in content.decode()


def test_the_pictures_are_the_pixels() -> None:
    before, after = image(seed=0), image(seed=1)
    found = pictures(Elements(page.html("t", facts=[], comparisons=[page.Comparison("I", before, after)])))
    assert (found["I, before denoising"] == np.rint(before)).all()
    assert (found["I, after denoising"] == np.rint(after)).all()
    residual = np.clip(128 + (before - after), 0, 255)
    assert np.abs(found["I, residual"] - residual).max() <= 0.5


@pytest.mark.parametrize(("sigma", "gain"), [(0.0, 16), (1.0, 16), (5.0, 4), (18.0, 2), (60.0, 1)])
def test_the_gain_is_as_large_as_the_residual_allows_and_is_told(sigma: float, gain: int) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (300, 300)).astype(np.float32)
    one = page.encode(page.Comparison("I", noise + 128, np.full_like(noise, 128)))
    assert f"gain {gain}: black and white are ±{128 // gain} grey levels" in one.differences[0].caption
    assert f"RMS {sigma:.1f}"[:-2] in one.differences[0].caption


def test_a_large_image_is_shown_whole_and_where_most_was_changed() -> None:
    before = image((1500, 1101))
    after = before.copy()
    after[700:1400, 300:1000] += 3  # a square that the crop holds, wherever its grid lies
    content = page.html("t", facts=[], comparisons=[page.Comparison("I", before, after)])
    found = pictures(Elements(content))
    place = re.search(
        r"768 x 768 of 1101 x 1500 pixels at full size, from row (\d+) and column (\d+)", content.decode()
    )
    assert place
    row, column = map(int, place.groups())
    assert row <= 700
    assert row + 768 >= 1400
    assert column <= 300
    assert column + 768 >= 1000
    shown = np.s_[row : row + 768, column : column + 768]
    assert (found["I, before denoising"] == np.rint(before[shown])).all()
    assert (found["I, after denoising"] == np.rint(after[shown].clip(0, 255))).all()
    whole = found["I, whole, before denoising"]
    assert whole.shape == (1024, 752)
    reduced = np.asarray(Image.fromarray(np.rint(before).astype(np.uint8)).resize((752, 1024), Image.Resampling.BOX))
    assert np.abs(whole - reduced.astype(float)).max() <= 1
    small = page.html("t", facts=[], comparisons=[comparison()]).decode()
    assert "at full size" not in small


@pytest.mark.parametrize(
    ("shape", "spot", "expected"),
    [
        ((2000, 3000), (1990, 2990), (2000, 3000)),
        ((2000, 3000), (0, 0), (768, 768)),
        ((100, 3000), (50, 1500), (100, None)),
        ((1, 3000), (0, 2999), (1, 3000)),
    ],
)
def test_the_crop_holds_the_largest_change(
    shape: tuple[int, int], spot: tuple[int, int], expected: tuple[int, int | None]
) -> None:
    before = np.zeros(shape, np.float32)
    after = before.copy()
    after[spot] = 9
    rows, columns = page.most_changed(before, after, 768)
    assert rows.start <= spot[0] < rows.stop == expected[0]
    assert columns.start <= spot[1] < columns.stop <= shape[1]
    assert columns.stop - columns.start == 768
    assert expected[1] in (None, columns.stop)


def test_images_are_shown_as_they_are_displayed_and_compared_in_grey_levels() -> None:
    shape = (1100, 900)
    displayed = tuple(np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in range(2))
    plain = pictures(Elements(page.html("t", facts=[], comparisons=[comparison("Image 1", shape)])))
    shown = replace(comparison("Image 1", shape), displayed=displayed)
    found = pictures(Elements(page.html("t", facts=[], comparisons=[shown])))
    crop = page.most_changed(shown.before, shown.after, page.CROP)
    assert (found["Image 1, before denoising"] == displayed[0][crop]).all()
    assert (found["Image 1, after denoising"] == displayed[1][crop]).all()
    assert (found["Image 1, residual"] == plain["Image 1, residual"]).all()
    assert (found["Image 1, error"] == plain["Image 1, error"]).all()
    whole = [found[f"Image 1, whole, {when} denoising"].mean() for when in ("before", "after")]
    assert whole == pytest.approx([one.mean() for one in displayed], abs=0.5)
    assert (found["Image 1, whole, after denoising"] != plain["Image 1, whole, after denoising"]).any()


def test_a_page_keeps_to_its_bound() -> None:
    """Uniform noise cannot be compressed: no image takes more."""
    empty = len(page.html("t", facts=[]))
    assert len(page.html("t", facts=[], comparisons=[comparison(shape=(1300, 1300))])) - empty < page.LARGEST_BYTES
    assert empty < 40_000


def test_comparisons_are_taken_one_by_one() -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def many() -> Iterator[page.Comparison]:
        for number in range(4):
            grey = image(seed=number)
            made.append(weakref.ref(grey))
            yield page.Comparison(f"Image {number}", grey, grey)
            del grey
            assert sum(array() is not None for array in made) <= 1, "that of the loop, which has just been shown"

    assert page.html("t", facts=[], comparisons=many()).count(b"<article") == 4
    assert len(made) == 4


def test_an_encoded_comparison_is_as_good() -> None:
    one = comparison()
    assert page.html("t", facts=[], comparisons=[page.encode(one)]) == page.html("t", facts=[], comparisons=[one])


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        page.encode(page.Comparison("I", image((3, 4)), image((4, 3))))
    with pytest.raises(ValueError, match="differ in shape"):
        page.encode(page.Comparison("I", image((3, 4)), image((3, 4)), clean=image((1, 4))))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2, 5)])
def test_odd_shapes_are_shown(shape: tuple[int, int]) -> None:
    assert page.html("t", facts=[], comparisons=[comparison(shape=shape)])


def test_names_that_are_no_text_are_shown_somehow() -> None:
    assert b"\\udcff" in page.html("caf\udcff", facts=[])


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_told_with_what_installs_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CannotRunError, match=f"needs the package '{package}'") as caught:
        page.html("t", facts=[])
    assert caught.value.hint == "pip install 'xray-denoise[report]'"
