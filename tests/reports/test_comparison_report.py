import re
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from made_table import made_table, published_rows
from page_rules import faults

from secondread.comparison.judging.table import Table
from secondread.metrics.roc import auroc
from secondread.reports.comparison import write_comparison
from secondread.reports.comparison_figures import CURVES, alike, mean_roc, shown_curves
from secondread.reports.label_places import AWAY, free_places


def written(table: Table, folder, **options) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_comparison(table, folder, workers=0, **options)
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def table(folder):
    return made_table(folder, contamination=(0.1,), pixels=True, pictures=True)


@pytest.fixture(scope="module")
def page(table, folder):
    return written(table, folder / "out", published=published_rows(), command=("secondread", "compare"))


def test_every_form_is_written(page, folder):
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {
        "results.csv", "table.csv", "pairs.csv", "published.csv", "table.md", "table.tex", "report.html",
        "figures",
    }  # fmt: skip
    figures = {"auroc", "ranks", "cost", "roc", "agreement", "contamination"}
    drawn = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert drawn == {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}
    for name in figures:
        ElementTree.parse(folder / "out" / "figures" / f"{name}.svg")


def test_the_page_loads_nothing(page):
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert not re.search(r"url\((?!#)", page)
    assert "<script" not in page
    assert "@import" not in page


def test_the_page_can_be_read_by_everybody(page):
    assert faults(page) == []


def test_the_page_says_what_it_is_for(page):
    assert "research use, not a medical device" in page


def test_the_page_holds_each_section(page):
    for section in (
        "methods", "pixels", "cost", "tests", "agreement", "contamination", "missed", "published", "made",
    ):  # fmt: skip
        assert page.count(f'id="{section}"') == 1
        assert f'href="#{section}"' in page


def test_inline_figures_share_no_id(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_shows_the_tables_numbers(page, table):
    for row in table.rows:
        low, high = row.auroc_interval
        assert f"<small>± {row.auroc.deviation:.3f}</small><small>{low:.3f}–{high:.3f}</small>" in page
        assert f"{row.auroc.mean:.3f}" in page


def test_the_reference_and_the_trivial_baselines_are_marked(page):
    assert '<tr class="reference"><th scope="row" class="left">padim (reference)</th>' in page
    assert page.count('<tr class="trivial">') == 3 * 3


def test_missed_images_have_pictures_and_a_bar_for_each_method(page, table):
    assert page.count("data:image/webp;base64,") == len(table.missed) == 16
    assert page.count("<u style=") == 16 * len(table.rows)
    one = table.missed[0]
    assert f'<i title="padim: {one.ranks["padim"]:.2f}">' in page


def test_published_numbers_stand_below_all_measured_ones(page):
    measured, published = page.split('<h2 id="published">')
    assert "AE_1" not in measured
    assert "0.6543" in published


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory):
    """Of a table with markup in a note, whose pictures are gone."""
    folder = tmp_path_factory.mktemp("odd")
    notes = ("Not in the table: <script>alert(1)</script>",)
    return written(replace(made_table(folder / "gone"), notes=notes), folder / "out")


def test_an_unreadable_picture_shows_its_reason(odd_page):
    assert "no such file" in odd_page


def test_markup_in_names_is_shown_not_run(odd_page):
    assert "<script" not in odd_page


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"seeds": (0,)}, marks=pytest.mark.slow),
        {"seeds": (0,), "calibrated": False, "per_patient": 3, "strengths": {"_a.1+x": 2.0, "b": 1.5}},
        pytest.param({"calibrated": False}, marks=pytest.mark.slow),
        pytest.param({"per_patient": 3}, marks=pytest.mark.slow),
        pytest.param(
            {"strengths": {f"_method.{number}+x": 2 - number / 8 for number in range(14)}},
            marks=pytest.mark.slow,
        ),
        pytest.param({"strengths": {"same": 0.0}, "normal": 8, "abnormal": 6}, marks=pytest.mark.slow),
    ],
)
def test_a_comparison_is_written_of_whatever_there_is(tmp_path, options):
    text = written(made_table(tmp_path, **options), tmp_path / "out")
    assert "How it was made" in text


@pytest.mark.slow
def test_a_single_method_is_written_without_tests_and_agreement(tmp_path):
    made = made_table(tmp_path)
    missing = {run: "failed" for run in made.results.plan.runs() if run.method != "aeu"}
    text = written(made_table(tmp_path, missing=missing), tmp_path / "out")
    assert "1 method compared" in text
    assert 'id="tests"' not in text
    assert 'id="agreement"' not in text
    assert "Reference, named beforehand</div>" not in text


def test_the_mean_curve_has_the_mean_area(table):
    row = table.rows[1]
    x, y = mean_roc(table, row)
    steps = float(np.sum(np.diff(x) * y[:-1]))
    areas = [auroc(table.results.images.abnormal, run.scores) for run in table.results.of(row.name)]
    assert steps == pytest.approx(np.mean(areas), abs=1e-12)


def test_the_overlay_holds_the_best_the_reference_and_one_trivial_baseline():
    strengths = {f"m{number:02d}": 2.4 - number / 8 for number in range(14)}
    made = made_table(strengths=strengths, reference="m13", bootstrap=20)
    shown = shown_curves(made)
    assert len(shown) == CURVES + 2
    assert sum(row.trivial for row in shown) == 1
    assert any(row.reference for row in shown)


def test_alike_methods_stand_beside_each_other():
    agreement = np.array([[1, 0.1, 0.9, 0.2], [0.1, 1, 0.1, 0.8], [0.9, 0.1, 1, 0.1], [0.2, 0.8, 0.1, 1]])
    order = alike(agreement)
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1
    agreement[0, 1] = agreement[1, 0] = np.nan
    assert sorted(alike(agreement)) == [0, 1, 2, 3]


def test_labels_of_points_in_one_place_do_not_cover_each_other():
    points = np.array([[1.0, 1.0], [1.0, 1.05], [1.05, 1.0], [3.0, 3.0]])
    labels = points + free_places(points)
    gaps = np.linalg.norm(labels[:, None] - labels[None], axis=2)[~np.eye(4, dtype=bool)]
    assert gaps.min() >= AWAY
