import json
import shutil
from pathlib import Path

import pytest
from read_films import TELLING, FilmsRead
from typer.testing import CliRunner, Result

from secondread.cli.application import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def scored(
    intensity_bundle, films_read: FilmsRead, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """`score --dicom` of the films, one of which is broken, with a log."""
    out = tmp_path_factory.mktemp("scored") / "out"
    told = run(
        "score", intensity_bundle.path, films_read.films, "-o", out, "--dicom", "--workers", 0,
        "--log-file", out.parent / "log.jsonl", "-v",
    )  # fmt: skip
    return out, told


def test_scoring_leaves_dicom_results_of_each_study(scored: tuple[Path, Result]):
    out, told = scored
    assert told.exit_code == 1, "one file is broken"
    assert "2 studies as DICOM" in told.output
    assert len(list(out.glob("dicom/*/report.dcm"))) == 2
    assert len(list(out.glob("dicom/*/*-overlay.dcm"))) == 3


def test_the_same_command_again_makes_nothing_twice(
    scored: tuple[Path, Result], intensity_bundle, films_read: FilmsRead
):
    out, _ = scored
    before = {path: path.stat().st_mtime_ns for path in out.glob("dicom/*/*.dcm")}
    told = run("score", intensity_bundle.path, films_read.films, "-o", out, "--dicom", "--workers", 0)
    assert "2 studies as DICOM (2 of them before)" in told.output
    assert {path: path.stat().st_mtime_ns for path in out.glob("dicom/*/*.dcm")} == before


def test_the_patient_stands_in_dicom_results_and_nowhere_else(scored: tuple[Path, Result]):
    out, told = scored
    kept = [path for path in out.parent.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert {"readings.csv", "run.json", "dicom.csv", "log.jsonl"} <= {path.name for path in kept}
    for path in kept:
        data = path.read_bytes()
        assert not [word for word in TELLING if word.encode() in data], path
    assert not [word for word in TELLING if word in told.output]
    assert b"P-4711" in next(out.glob("dicom/*/report.dcm")).read_bytes()


def test_an_existing_folder_of_readings_is_exported(films_read: FilmsRead, tmp_path: Path):
    told = run("export", films_read.out, "-o", tmp_path / "fhir", "--to", "fhir")
    assert told.exit_code == 0, told.output
    assert len(list((tmp_path / "fhir").glob("*.json"))) == 3
    assert json.loads((tmp_path / "fhir" / "run.json").read_text())["made_by"] == "export --to fhir"
    told = run("export", films_read.out, "-o", tmp_path / "fhir", "--quiet")
    assert told.exit_code == 2
    assert "output of `export --to fhir`" in told.output


def test_readings_go_to_dicom_unless_asked_otherwise(films_read: FilmsRead, tmp_path: Path):
    told = run("export", films_read.out / "readings.csv", "-o", tmp_path / "out", "-q")
    assert told.exit_code == 0, told.output
    assert told.output.strip() == str(tmp_path / "out" / "dicom.csv")


def test_lost_files_are_lines_and_exit_1(films_read: FilmsRead, tmp_path: Path):
    shutil.copytree(films_read.out, tmp_path / "readings")
    for path in (tmp_path / "readings" / "maps").rglob("a1.dcm*.map.tiff"):
        path.unlink()
    told = run("export", tmp_path / "readings", "-o", tmp_path / "out")
    assert told.exit_code == 1
    assert len([line for line in told.output.splitlines() if "map cannot be read" in line]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "onnx"), "readings"),
        (("--to", "word"), "dicom or fhir"),
    ],
)
def test_what_does_not_go_together_is_told(films_read: FilmsRead, tmp_path: Path, arguments, words: str):
    told = run("export", films_read.out, "-o", tmp_path / "out", *arguments)
    assert told.exit_code == 2
    assert words in told.output
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_told(tmp_path: Path):
    (tmp_path / "else").mkdir()
    told = run("export", tmp_path / "else", "-o", tmp_path / "out", "--to", "fhir")
    assert told.exit_code == 2
    assert "readings.csv" in told.output
