import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from made_readings import Made, make_readings
from page_rules import faults

from secondread.evaluation.evaluate import evaluate
from secondread.reports.report import write_report


def reported(made: Made, **options: object) -> str:
    evaluation = evaluate(made.csv, made.manifest, bootstrap=50, workers=0, **options)
    page = write_report(evaluation, made.folder / "report", command=("secondread", "evaluate"), workers=0)
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_readings(tmp_path_factory.mktemp("report"), maps=True, masks=True, studies=True)


@pytest.fixture(scope="module")
def page(made):
    return reported(made, prevalence=0.1)


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
        "ranking",
        "decisions",
        "shortcuts",
        "gallery",
        "misses",
        "groups",
        "studies",
        "pixels",
        "parts",
        "data",
        "model",
    ):
        assert f'id="{section}"' in page


def test_baselines_and_the_shortcut_check_stand_beside_every_figure(page):
    figures = re.findall(r'<figure(?: class="wide")?>', page)
    assert len(figures) == page.count("acquisition alone <i>") == 8


def test_figures_are_files_too(made, page):
    names = {path.name for path in (made.folder / "report" / "figures").iterdir()}
    assert {"roc.png", "roc.svg", "precision_recall.svg", "histogram.png", "baselines.svg"} <= names
    assert {"findings.png", "findings.svg", "parts.png", "parts.svg"} <= names
    ElementTree.parse(made.folder / "report" / "figures" / "roc.svg")


def test_inline_figures_share_no_id(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_pictures_carry_heat_on_one_scale(page):
    assert page.count('class="heat"') > 70
    assert "one scale for all" in page


def test_metrics_lie_beside_the_page(made, page):
    metrics = json.loads((made.folder / "report" / "metrics.json").read_text())
    assert metrics["command"] == ["secondread", "evaluate"]
    assert f"{metrics['auroc']:.3f}" in page


def test_the_page_stays_small(page):
    assert len(page) < 2_000_000


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    """Readings with something of everything: names that are markup or mean something to matplotlib, patients
    that the fit saw, a picture and a file that cannot be read, and a training with measured values."""
    made = make_readings(tmp_path_factory.mktemp("trouble"), normal=12, abnormal=10)
    names = ("<script>alert(1)</script>", "$\\frac$", "_hidden")
    for row, finding in zip(made.rows[-3:], names, strict=True):
        row["finding"] = finding
    made.see_patients("n001", allowed=True)
    (made.folder / made.rows[0]["path"]).write_text("not an image")
    made.readings[2] |= {"score": "", "p_value": "", "flagged": "", "error": "the data ends early"}
    epochs = [
        {
            "epoch": n,
            "losses": {"mse": 1.0 / (n + 1)},
            "validation": None,
            "measured": {"synthetic": 0.5 + n / 9},
        }
        for n in range(3)
    ]
    stage = {"name": "train", "epochs": epochs, "chosen_epoch": 2, "rule": "last epoch", "seconds": 1.0}
    made.run["provenance"] = {"training": {"stages": [stage]}}
    return made.write()


@pytest.fixture(scope="module")
def trouble_page(trouble):
    return reported(trouble)


def test_markup_in_names_is_shown_not_run(trouble_page):
    assert "<script" not in trouble_page
    assert "&lt;script" in trouble_page


def test_names_that_matplotlib_would_read_as_its_own_are_shown_as_they_are(trouble, trouble_page):
    drawn = (trouble.folder / "report" / "figures" / "findings.svg").read_text()
    assert "$\\frac$: AUROC" in drawn
    assert "_hidden: AUROC" in drawn


def test_shared_patients_are_printed(trouble_page):
    assert "The fit saw test patients" in trouble_page
    assert "n001" in trouble_page


def test_an_unreadable_picture_shows_its_reason(trouble_page):
    assert "a text file, not an image" in trouble_page


def test_failed_files_are_listed(trouble_page):
    assert "the data ends early" in trouble_page


def test_the_training_figure_is_in_the_model_card(trouble_page):
    assert "Losses and label-free values by epoch" in trouble_page
    assert trouble_page.index('id="model"') < trouble_page.index("train: AUROC without labels")


@pytest.mark.parametrize(
    "options",
    [
        {"abnormal": 0},
        pytest.param({"normal": 0, "abnormal": 3}, marks=pytest.mark.slow),
        pytest.param({"patients": False}, marks=pytest.mark.slow),
        pytest.param({"normal": 2, "abnormal": 1, "per_patient": 1}, marks=pytest.mark.slow),
        pytest.param(
            {"volumes": True, "maps": True, "masks": True, "normal": 6, "abnormal": 6}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_report_is_made_of_whatever_there_is(tmp_path, options):
    assert "Data card" in reported(make_readings(tmp_path, **{"normal": 12, "abnormal": 10, **options}))


@pytest.mark.parametrize("abnormal", [0, pytest.param(10, marks=pytest.mark.slow)])  # with them, all figures
def test_a_run_without_calibration_or_recipe_is_reported(tmp_path, abnormal):
    made = make_readings(tmp_path, normal=12, abnormal=abnormal)
    made.run = {"base": str(tmp_path)}
    for reading in made.readings:
        reading |= {"flagged": "", "p_value": ""}
    text = reported(made.write())
    assert "No calibrated threshold" in text
    assert "Unnamed model" in text


def test_every_file_failed_still_gives_a_page(tmp_path):
    made = make_readings(tmp_path, normal=4, abnormal=4)
    for reading in made.readings:
        reading |= {"score": "", "p_value": "", "flagged": "", "error": "truncated"}
    assert "nothing was scored" in reported(made.write())
