import json
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle as FhirBundle
from read_films import FilmsRead

from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.results.write_fhir import write_fhir_results


@pytest.fixture(scope="module")
def of_films(films_read: FilmsRead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fhir") / "out"
    write_fhir_results(films_read.readings, out)
    return out


@pytest.fixture(scope="module")
def of_pictures(
    intensity_bundle, phantoms, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Readings, Path]:
    out = tmp_path_factory.mktemp("fhir-png") / "out"
    readings = score(intensity_bundle, phantoms, where=["split=test", "label=abnormal"], workers=0)
    write_fhir_results(readings, out)
    return readings, out


def bundles(out: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("*.json")) if path.name != "run.json"]


def of_type(bundle: dict, kind: str) -> list[dict]:
    resources = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in resources if resource["resourceType"] == kind]


def test_every_file_is_valid_fhir(of_films: Path, of_pictures: tuple[Readings, Path]):
    found = [*bundles(of_films), *bundles(of_pictures[1])]
    assert len(found) > 2
    for bundle in found:
        FhirBundle.model_validate(bundle)
        names = {entry["fullUrl"] for entry in bundle["entry"]}
        (report,) = of_type(bundle, "DiagnosticReport")
        assert report["status"] == "preliminary"
        assert {one["reference"] for one in report["result"]} < names
        assert {one["device"]["reference"] for one in of_type(bundle, "Observation")} < names
        assert "not a medical device" in report["conclusion"]


def test_numbers_are_those_of_the_readings(of_films: Path, films_read: FilmsRead):
    (bundle,) = [one for one in bundles(of_films) if "1.2.3.77" not in json.dumps(one)]
    for reading, told in zip(films_read.readings.rows[:2], of_type(bundle, "Observation"), strict=True):
        assert told["valueQuantity"]["value"] == reading.score
        parts = {one["code"]["coding"][0]["code"]: one["valueQuantity"]["value"] for one in told["component"]}
        assert parts["p-value"] == reading.p_value
        assert parts["threshold"] == films_read.readings.run.calibration.images.threshold
        abnormal = told["interpretation"][0].get("coding", [{}])[0].get("code") == "A"
        assert abnormal == reading.flagged


def test_study_instance_and_subject_are_the_sources(of_films: Path):
    named = []
    for bundle in bundles(of_films):
        (report,) = of_type(bundle, "DiagnosticReport")
        named.append(report["imagingStudy"][0]["identifier"]["value"])
        assert report["subject"]["identifier"]["value"] == "P-4711"
        text = json.dumps(bundle, ensure_ascii=False)
        assert not [word for word in ("Doe", "Jürgen", "19500102", "Who^") if word in text]
    assert sorted(named) == ["urn:oid:1.2.3.77", "urn:oid:1.2.826.0.1.3680043.8.498.1"]


def test_an_image_that_was_not_read_says_why(of_films: Path, films_read: FilmsRead):
    (bundle,) = [one for one in bundles(of_films) if "1.2.3.77" in json.dumps(one)]
    reasons = [one["dataAbsentReason"]["text"] for one in of_type(bundle, "Observation")
               if "dataAbsentReason" in one]  # fmt: skip
    assert reasons == [films_read.readings.rows[3].error]


def test_pictures_have_results_without_a_subject(of_pictures: tuple[Readings, Path]):
    readings, out = of_pictures
    found = bundles(out)
    told = [one for bundle in found for one in of_type(bundle, "Observation")]
    images = [one for one in told if "focus" in one]
    assert {one["focus"][0]["display"] for one in images} == {row.path for row in readings.rows}
    assert {one["focus"][0]["identifier"]["value"] for one in images} == {r.digest for r in readings.rows}
    assert not [one for one in told if "subject" in one]
    assert len(images) < len(told), "studies have observations of their own"


def test_a_second_run_changes_nothing(of_films: Path, films_read: FilmsRead):
    before = {path: path.stat().st_mtime_ns for path in of_films.glob("*.json") if path.name != "run.json"}
    told: list[tuple[int, int]] = []
    again = write_fhir_results(films_read.readings, of_films, progress=lambda *done: told.append(done))
    assert told == [(2, 4), (4, 4)]
    assert (again.studies, again.earlier) == (0, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
