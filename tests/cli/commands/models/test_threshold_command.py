"""`secondread threshold` as a person types it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.cli.main import app
from secondread.cohorts.manifest import Manifest
from secondread.readings.score_into import score_into


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def readings(fitted: Bundle, phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("threshold") / "readings"
    score_into(fitted, phantoms.where("split=test"), out, workers=0)
    return out


def test_it_prints_what_several_rates_would_mean_and_writes_nothing(
    fitted: Bundle, readings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = ("--false-alarm-rate", 0.01, "--false-alarm-rate", 0.4)
    said = run("threshold", fitted.path, *rates).splitlines()
    patients = fitted.calibration.images.patients
    assert f"carry a rate of {100 / (patients + 1):.2g}" in "\n".join(said)
    few, enough = (line for line in said if line.startswith("images  "))
    assert "too few normals: 99 patients needed, none is flagged" in few
    assert f"{fitted.calibration.images.threshold(0.4):.4g}" in enough
    assert sum(line.startswith("studies  ") for line in said) == 2
    with_readings = run("threshold", fitted.path, readings / "readings.csv", *rates)
    assert "flagged" in with_readings.splitlines()[0]
    assert not list(tmp_path.iterdir())


def test_one_bundle_at_one_rate_and_no_bundle_is_replaced(fitted: Bundle, tmp_path: Path) -> None:
    place = ("-o", tmp_path / "other")
    rates = ("--false-alarm-rate", 0.3, "--false-alarm-rate", 0.4)
    assert "give --false-alarm-rate once" in run("threshold", fitted.path, *rates, *place, code=2)
    said = run("threshold", fitted.path, "--false-alarm-rate", 0.4, *place)
    assert "At most 40 % of new normal images are flagged" in said
    assert Bundle.load(tmp_path / "other").calibration.settings.false_alarm_rate == 0.4
    assert "never changed" in run("threshold", fitted.path, "--force", *place, code=2)
    assert "calibrated again" in run("bundle", "show", tmp_path / "other")


def test_readings_are_copied_or_changed_in_place_with_force(
    fitted: Bundle, readings: Path, tmp_path: Path
) -> None:
    ask = ("threshold", fitted.path, readings, "--false-alarm-rate", 0.4, "-o")
    said = run(*ask, tmp_path / "new")
    assert "flagged, and none judged before; 12 flags changed" in said
    header, *rows = tables.read_text((tmp_path / "new" / "readings.csv").read_text())
    assert {row[header.index("flagged")] for row in rows} == {"true", "false"}
    assert "judged so already" in run(*ask, tmp_path / "new")
    back = ("threshold", fitted.path, tmp_path / "new", "-o", tmp_path / "new")
    assert "say so with --force" in run(*back, code=2)
    assert "images: none judged, and" in run(*back, "--force")
    old, new = ((folder / "readings.csv").read_text() for folder in (readings, tmp_path / "new"))
    assert old == new
    assert "replace them with --force" in run(*ask, tmp_path / "new", code=2)
    run(*ask, tmp_path / "new", "--force")
    assert (tmp_path / "new" / "readings.csv").read_text() != old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]
    assert "no readings here" in run("threshold", fitted.path, tmp_path, code=2)


def test_a_copy_that_was_handed_over_as_an_archive_judges_the_readings_of_its_original(
    fitted: Bundle, readings: Path, tmp_path: Path
) -> None:
    archive, other = tmp_path / "copy.zip", tmp_path / "other"
    run("bundle", "pack", fitted.path, "-o", archive, "--licence", "cc-by-4.0")
    run("threshold", archive, "--false-alarm-rate", 0.4, "-o", other)
    assert 'license: "cc-by-4.0"' in (other / "README.md").read_text()
    assert "flagged, and none judged before" in run("threshold", other, readings, "-o", tmp_path / "new")
