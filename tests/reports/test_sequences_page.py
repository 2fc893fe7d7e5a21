"""Scores over time, in evaluation's report and on the page beside readings."""

import re

import pytest
from made_readings import Made, make_readings
from page_rules import faults

from secondread.evaluation.evaluate import evaluate
from secondread.readings.readings import Readings
from secondread.reports.report import write_report
from secondread.reports.sequences import write_sequences


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """Eight normal and six abnormal films as the frames of three studies; one frame could not be read."""
    made = make_readings(tmp_path_factory.mktemp("clips"), normal=8, abnormal=6, maps=True, studies=True)
    for number, (row, reading) in enumerate(zip(made.rows, made.readings, strict=True)):
        study = "first" if number < 4 else "second" if number < 8 else "third"
        row["study_id"] = reading["study_id"] = study
        reading |= {"frame": str(number % 4), "time_s": repr(0.04 * (number % 4))}
    made.readings[1] |= {"score": "", "p_value": "", "flagged": "", "map": "", "error": "ends too early"}
    made.studies = [
        {"study_id": "third", "score": "0.9", "p_value": "0.01", "flagged": "true",
         "worst_image": max(made.readings[8:], key=lambda reading: float(reading["score"]))["path"]}
    ]  # fmt: skip
    for number, reading in enumerate(made.readings[8:]):
        reading |= {"frame": str(number), "time_s": repr(0.04 * number)}
    return made.write()


@pytest.fixture(scope="module")
def page(made: Made) -> str:
    path = write_sequences(Readings.read(made.csv), workers=0)
    assert path == made.out / "sequences.html"
    return path.read_text(encoding="utf-8")


def test_each_sequence_has_its_curve_and_its_most_abnormal_frame_with_heat(made: Made, page: str) -> None:
    panels = page.split('<figure class="sequence"')[1:]
    assert len(panels) == 3
    for panel in panels:
        assert panel.count("<svg") == panel.count('class="heat"') == 1
    assert (made.out / "figures" / "sequence-01.png").is_file()
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_page_can_be_read_by_everybody(page: str) -> None:
    assert faults(page) == []


def test_the_study_is_judged_by_its_most_abnormal_image(page: str) -> None:
    assert "study score 0.900, p\u00a0=\u00a00.01, flagged" in page
    assert "A study is as abnormal as its most abnormal image" in page
    assert "1 without a score" in page


def test_the_report_says_the_labels_beside_the_same_curves(made: Made) -> None:
    evaluation = evaluate(made.csv, made.manifest, bootstrap=20, workers=0)
    report = write_report(evaluation, made.folder / "report", workers=0).read_text(encoding="utf-8")
    section = report[report.index('id="sequences"') : report.index('id="data"')]
    assert section.count('class="sequence"') == 3
    assert "labelled abnormal" in section
    assert "labelled normal" in section
    assert "1 without a score" in section
    ids = re.findall(r'\sid="([^"]+)"', report)
    assert len(ids) == len(set(ids))


def test_readings_without_sequences_have_no_page(tmp_path) -> None:
    made = make_readings(tmp_path, normal=4, abnormal=4, studies=True)
    assert write_sequences(Readings.read(made.csv), workers=0) is None
    assert not (made.out / "sequences.html").exists()
