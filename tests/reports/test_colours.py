"""Contrast by WCAG 2: 4.5 to 1 for text, 3 to 1 for what is drawn, in light, dark and print."""

import re

import pytest

from secondread.drawing import palette
from secondread.reports.templates import own_file

CSS = own_file("page.css")
LIGHT, DARK = re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL)[:2]
PRINT = re.findall(r"@media print \{\s*:root \{(.*?)\}", CSS, flags=re.DOTALL)[0]


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#\w+)", block))


SCHEMES = {
    "light": colours(LIGHT),
    "dark": {**colours(LIGHT), **colours(DARK)},
    "print": {**colours(LIGHT), **colours(PRINT)},
    "print from dark": {**colours(LIGHT), **colours(DARK), **colours(PRINT)},
}
TEXTS, DRAWN = ("ink", "soft", "oracle"), ("faint", "normal", "abnormal", "method")
FIGURES = (palette.NORMAL, palette.ABNORMAL, palette.METHOD, palette.BASELINE)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_can_be_read(scheme: str) -> None:
    own = SCHEMES[scheme]
    for name in TEXTS:
        for ground in ("page", "sheet", *(["warn"] if name != "oracle" else [])):
            assert contrast(own[name], own[ground]) >= 4.5, (name, ground)
    for name in DRAWN:
        assert contrast(own[name], own["sheet"]) >= 3, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_figures_draw_stands_out_from_the_sheet(scheme: str) -> None:
    own = SCHEMES[scheme]
    kept = [colour for colour, _ in palette.FINDINGS if colour not in palette.PAGE_COLOURS]
    for colour in (*FIGURES, *kept):
        assert contrast(colour, own["sheet"]) >= 3, colour


def test_texts_in_figure_files_can_be_read_on_white() -> None:
    for colour in (palette.INK, palette.SOFT, palette.ORACLE):
        assert contrast(colour, "#ffffff") >= 4.5
    assert contrast(palette.FAINT, "#ffffff") >= 3


def test_the_page_and_its_figures_mean_the_same_by_a_colour() -> None:
    light = SCHEMES["light"]
    for name in ("normal", "abnormal", "method", "oracle", "ink", "soft", "faint"):
        assert getattr(palette, name.upper()) == light[name], name
