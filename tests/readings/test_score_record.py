import json
from pathlib import Path

import pytest

from secondread.errors import DataError
from secondread.readings.folder_state import record_of
from secondread.readings.inputs import gather
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.readings.score_record import ScoreRecord

WRONG = (None, True, -1, 10**39, 1e308, "", "\x00\u202e", "x" * 999, [], [[[]]], [None], {}, {"": {}})


@pytest.fixture(scope="module")
def written(fitted, phantoms, tmp_path_factory) -> dict:
    """`run.json` as `score` wrote it."""
    out = tmp_path_factory.mktemp("record") / "out"
    score_into(fitted, phantoms.where("split=test"), out, workers=0, command=["secondread", "score"])
    return json.loads((out / "run.json").read_text())


def read(tmp_path: Path, facts: object) -> ScoreRecord:
    (tmp_path / "run.json").write_text(json.dumps(facts))
    return ScoreRecord.read(tmp_path / "run.json")


def places(facts: dict, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where each value of nested objects stands."""
    found = []
    for name, value in facts.items():
        found.append((*above, name))
        if isinstance(value, dict):
            found += places(value, (*above, name))
    return found


def test_what_is_written_is_what_is_read(written, fitted, phantoms, tmp_path):
    record = read(tmp_path, written)
    assert record.finished
    assert record.command == ("secondread", "score")
    assert record.model.name == "a recipe"
    assert record.recipe == fitted.recipe.model_dump(mode="json")
    assert record.calibration.images.patients == fitted.calibration.images.patients
    assert record.provenance.versions == fitted.provenance.versions
    assert record.patients_seen.patients == fitted.seen.patients
    begun = record_of(fitted, gather(phantoms.where("split=test")))
    assert not begun.finished
    assert begun.calibration == record.calibration
    assert begun.provenance == record.provenance


def test_facts_that_no_model_names_are_kept(written, fitted):
    assert written["provenance"]["seed"] == fitted.provenance.seed
    assert written["calibration"]["images"]["scores"] == fitted.calibration.images.scores.size
    assert set(written) >= {"made_by", "started", "durations", "images", "failed", "set_apart", "cache"}


def test_a_run_that_says_little_is_read(tmp_path):
    assert ScoreRecord.read(tmp_path / "run.json") == ScoreRecord()
    record = read(tmp_path, {"made_by": "score", "base": "/films", "of_a_later_version": [1]})
    assert record.base == "/films"
    assert record.finished
    assert record.calibration is None
    assert record.model.name == ""
    early = {"recipe": {"about": {"title": "Early"}, "detector": {"name": "ae"}, "gone": 1}, "seed": 3}
    assert read(tmp_path, early).model.name == "Early"


def test_a_wrong_value_is_told_in_one_line_or_harmless(written, tmp_path):
    told = []
    for number, place in enumerate(places(written)):
        for value in (WRONG * 2)[number % len(WRONG) :][:5]:
            facts = json.loads(json.dumps(written))
            inside = facts
            for name in place[:-1]:
                inside = inside[name]
            inside[place[-1]] = value
            try:
                record = read(tmp_path, facts)
            except DataError as error:
                told.append(str(error))
            else:
                assert len(repr(record)) < 300
                assert isinstance(record.model.name, str)
    assert len(told) > 100
    for line in told:
        assert line.startswith(f"{tmp_path / 'run.json'}: is damaged (")
        assert line.isprintable()
        assert len(line) < 600


def test_a_two_tailed_part_without_its_median_is_refused(tmp_path):
    part = {"weight": 1.0, "tail": "two"}
    with pytest.raises(DataError, match=r"run\.json: is damaged .*needs its median.*; run the same"):
        read(tmp_path, {"calibration": {"parts": {"energy": part}}})


def test_readings_with_a_damaged_record_are_refused(fitted, phantoms, tmp_path):
    score_into(fitted, phantoms.where("split=test"), tmp_path / "out", workers=0)
    (tmp_path / "out" / "run.json").write_text('{"patients_seen": {"key": "no key", "patients": {}}}')
    with pytest.raises(DataError, match=r"run\.json: is damaged \(patients_seen\.key"):
        Readings.read(tmp_path / "out")
