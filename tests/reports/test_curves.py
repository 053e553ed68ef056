"""Panels of curves: ticks that are numbers, and one legend where all panels show the same lines."""

import re
from dataclasses import replace

import numpy as np
import pytest

from xray_denoise.reports.curves import Line, Panel, panels

X = np.array([1.0, 2.0, 4.0, 8.0])
PANEL = Panel("gain", "deviation", "dB", (Line("first", X, 0.03 * X), Line("second", X, X)), log_x=True)


def words(shown: list[Panel]) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", panels(shown).decode())


def test_a_logarithmic_axis_has_ticks_at_a_few_values_as_plain_numbers() -> None:
    found = words([replace(PANEL, lines=(Line("flat", X, np.zeros(4)),))])
    assert {"1", "2", "4", "8"} <= set(found)
    assert not any("10" in word for word in found), "no powers of ten"


def test_a_logarithmic_axis_of_many_values_has_ticks_at_1_2_and_5() -> None:
    many = np.geomspace(0.03, 6, 30)
    found = words([replace(PANEL, lines=(Line("rising", many, many),), log_y=True)])
    assert {"0.05", "0.1", "0.2", "0.5", "1", "2", "5"} <= set(found)
    assert all(found.count(tick) == 2 for tick in ("0.05", "0.5", "5")), "on both axes"


def test_a_logarithmic_axis_within_a_decade_has_more_than_one_tick() -> None:
    close = np.array([9900.0, 9960.0, 10020.0])
    found = words([replace(PANEL, lines=(Line("close", close, close),), log_y=True)])
    assert sum(9800 <= float(word) <= 10100 for word in found if word.isdigit()) >= 6


@pytest.mark.parametrize(("others", "expected"), [((), 1), (("first", "second"), 1), (("first", "third"), 2)])
def test_panels_with_the_same_lines_share_a_legend(others: tuple[str, ...], expected: int) -> None:
    shown = [PANEL]
    if others:
        shown.append(replace(PANEL, lines=tuple(Line(label, X, X) for label in others)))
    assert words(shown).count("first") == expected
