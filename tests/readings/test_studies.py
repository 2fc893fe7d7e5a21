from dataclasses import replace
from pathlib import Path

from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.levels import study_units
from secondread.readings.reading import Reading
from secondread.readings.score_into import score_into
from secondread.readings.streamed.packed_studies import PackedStudies
from secondread.readings.studies import read_studies, studies_table


def test_a_study_has_the_score_of_its_worst_image(fitted: Bundle) -> None:
    readings = [
        Reading("a", study_id="one", score=1.0),
        Reading("b", study_id="one", score=3.0),
        Reading("c", study_id="two", error="broken"),
        Reading("d", score=9.0),
    ]
    one, two = read_studies(readings, fitted.calibration)
    assert (one.study_id, one.score, one.images, one.failed, one.worst_image) == ("one", 3.0, 2, 0, "b")
    assert one.p_value is not None
    assert one.flagged is None  # too few calibration studies for 5 %
    settings = fitted.calibration.settings.model_copy(update={"false_alarm_rate": 0.5})
    (judged, _) = read_studies(readings, replace(fitted.calibration, settings=settings))
    assert judged.flagged is (judged.p_value <= 0.5)
    assert (two.study_id, two.score, two.failed) == ("two", None, 1)


def test_equal_study_ids_of_two_patients_are_two_studies(fitted: Bundle) -> None:
    readings = [
        Reading("a", study_id="1", score=1.0),
        Reading("b", study_id="1", score=3.0),
        Reading("c", study_id="1", score=2.0),
    ]
    first, second = read_studies(readings, fitted.calibration, {"a": "p", "b": "q", "c": "p"})
    assert (first.study_id, first.score, first.images) == ("1", 2.0, 2)
    assert (second.study_id, second.score, second.worst_image) == ("1", 3.0, "b")


def test_scoring_keeps_patients_apart_also_when_it_goes_on_later(
    fitted: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    rows = tuple(replace(row, study_id="1") for row in phantoms.where("split=test").rows)
    patients = {row.patient_id for row in rows}
    for part in (rows[:5], rows[5:], rows[:1]):
        score_into(fitted, replace(phantoms, rows=part), tmp_path / "out", workers=0)
    lines = (tmp_path / "out" / "studies.csv").read_text().splitlines()[1:]
    assert len(lines) == len(patients)
    assert not any(patient in (tmp_path / "out" / "facts.jsonl").read_text() for patient in patients)
    found = evaluate(tmp_path / "out", replace(phantoms, rows=rows), bootstrap=20, workers=0)
    assert len(study_units(found.cases.cases, found.readings)) == len(patients)


def test_the_table_is_ranked_by_score_and_studies_without_one_come_last(fitted: Bundle) -> None:
    readings = [
        Reading("a", study_id="broken", error="cut short"),
        Reading("b", study_id="two", score=3.0),
        Reading("c", study_id="low", score=1.0),
        Reading("d", study_id="one", score=3.0),
        Reading("e", study_id="also broken", error="empty"),
    ]
    table = studies_table(read_studies(readings, fitted.calibration))
    header, *rows = tables.read_text(table)
    assert header[:3] == ["rank", "study_id", "score"]
    told = [(row[0], row[1], row[header.index("error")]) for row in rows]
    assert told == [
        ("1", "one", ""),
        ("2", "two", ""),
        ("3", "low", ""),
        ("", "also broken", "empty"),
        ("", "broken", "cut short"),
    ]


def test_a_table_of_before_ranks_is_read(fitted: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "studies.csv"
    file.write_text("study_id,score,p_value,flagged,images,failed,worst_image\none,2.5,0.1,true,2,0,a.png\n")
    assert PackedStudies.read(file)["a.png"].score == 2.5
    file.write_text(
        studies_table(read_studies([Reading("a", study_id="one", score=1.0)], fitted.calibration))
    )
    assert PackedStudies.read(file)["a"].score == 1.0
