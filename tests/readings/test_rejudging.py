"""Readings judged again, by another threshold of their model: no image is read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.bundles.operating_point import OperatingPoint
from secondread.cohorts.manifest import Manifest
from secondread.errors import DataError, UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.calibrate import calibrate
from secondread.readings.readings import Readings
from secondread.readings.rejudged import Rejudged
from secondread.readings.score_into import score_into


@pytest.fixture(scope="module")
def scored(fitted: Bundle, phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    score_into(fitted, phantoms.where("split=test"), out, workers=0)
    return out


@pytest.fixture
def readings(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "readings"))


def at(bundle: Bundle, rate: float, out: Path) -> OperatingPoint:
    OperatingPoint.read(bundle.path).at(rate).save(out)
    return OperatingPoint.read(out)


def without_time(folder: Path) -> dict[str, str]:
    return {
        file.name: file.read_text()
        for file in folder.iterdir()
        if file.suffix in (".csv", ".jsonl") and not file.name.startswith(".")
    }


def test_they_are_what_the_other_bundle_would_have_read(
    fitted: Bundle, phantoms: Manifest, readings: Path, tmp_path: Path
) -> None:
    point = at(fitted, 0.4, tmp_path / "other")
    found = Rejudged.of(readings, point)
    assert found.scores_changed == 0
    assert (found.image_flags.before, found.image_flags.changed) == (None, 12)
    found.write_in_place()
    score_into(Bundle.load(tmp_path / "other"), phantoms.where("split=test"), tmp_path / "new", workers=0)
    assert without_time(readings) == without_time(tmp_path / "new")
    here, there = (json.loads((folder / "run.json").read_text()) for folder in (readings, tmp_path / "new"))
    for name in ("calibration", "recipe", "provenance", "digests", "patients_seen", "map_threshold", "card"):
        assert here[name] == there[name], name
    assert here["judged_again"][0]["images_flagged"] == found.image_flags.after


def test_scoring_goes_on_there_without_reading_an_image_again(
    fitted: Bundle, phantoms: Manifest, readings: Path, tmp_path: Path
) -> None:
    rows = phantoms.where("split=test")
    Rejudged.of(readings, at(fitted, 0.4, tmp_path / "other")).write_in_place()
    other = Bundle.load(tmp_path / "other")
    done = score_into(other, rows, readings, workers=0)
    assert (done.scored, done.earlier) == (0, len(rows.rows))
    assert len(json.loads((readings / "run.json").read_text())["judged_again"]) == 1
    with pytest.raises(UserError, match=r"another bundle of this model; `secondread threshold .* --force`"):
        score_into(fitted, rows, readings, workers=0)


def test_readings_at_another_rate_of_one_bundle_are_not_mixed(
    fitted: Bundle, phantoms: Manifest, readings: Path
) -> None:
    Rejudged.of(readings, OperatingPoint.read(fitted.path).at(0.4)).write_in_place()
    with pytest.raises(UserError, match=r"false-alarm rate of 40 %, and this bundle's for 5 %; `secondread"):
        score_into(fitted, phantoms.where("split=test"), readings, workers=0)


def test_readings_of_a_bundle_calibrated_elsewhere_move_both_ways(
    fitted: Bundle, phantoms: Manifest, readings: Path, tmp_path: Path
) -> None:
    """Its calibration saw images of these readings, which is said of them from then on."""
    rows = tuple(replace(row, split="") for row in phantoms.where("split=test", "label=normal").rows)
    moved = calibrate(
        fitted, replace(phantoms, rows=rows), tmp_path / "moved", workers=0, false_alarm_rate=0.3
    )
    before = Readings.read(readings)
    found = Rejudged.of(readings, OperatingPoint.read(moved.path))
    found.write_in_place()
    after = Readings.read(readings)
    assert [row.score for row in after.rows] == [row.score for row in before.rows]
    assert [row.flagged for row in after.rows] == moved.calibration.flag(
        [row.score for row in after.rows]
    ).tolist()
    assert sum(row.seen == "calibration" for row in after.rows) == len(rows)
    back = Rejudged.of(readings, OperatingPoint.read(fitted.path))
    assert [row.p_value for row in back.rows] == [row.p_value for row in before.rows]


def test_scores_come_from_the_parts_as_calibration_mixes_them(
    mapping_bundle: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    """Here with complexity taken out; a cell of a score that somebody changed is made anew."""
    rows = replace(phantoms, rows=phantoms.where("split=test").rows[:3])
    score_into(mapping_bundle, rows, tmp_path / "out", workers=0)
    table = tmp_path / "out" / "readings.csv"
    text = table.read_text()
    header, *lines = tables.read_text(text)
    lines[1][header.index("score")] = "9.0"
    table.write_text(tables.table([header, *lines]))
    found = Rejudged.of(tmp_path / "out", OperatingPoint.read(mapping_bundle.path))
    assert found.scores_changed == 1
    found.write_in_place()
    assert table.read_text() == text
    spoilt = header.index(f"part_{next(iter(mapping_bundle.calibration.mixture.parts))}")
    kept = [[cell for at, cell in enumerate(line) if at != spoilt] for line in (header, *lines)]
    table.write_text(tables.table(kept))
    with pytest.raises(UserError, match=r"has no column part_.* score the images again"):
        Rejudged.of(tmp_path / "out", OperatingPoint.read(mapping_bundle.path))
    lines[0][spoilt] = ""
    table.write_text(tables.table([header, *lines]))
    with pytest.raises(DataError, match="is empty for"):
        Rejudged.of(tmp_path / "out", OperatingPoint.read(mapping_bundle.path))


def test_a_full_disk_leaves_them_as_they_were(
    fitted: Bundle, readings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = without_time(readings)
    found = Rejudged.of(readings, OperatingPoint.read(fitted.path).at(0.4))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="no room left"):
        found.write_in_place()
    assert without_time(readings) == before
    assert not list(readings.glob(".*writing"))


def full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_copy_has_all_that_lies_beside_and_can_be_evaluated(
    fitted: Bundle, phantoms: Manifest, readings: Path, tmp_path: Path
) -> None:
    (readings / "maps").mkdir()
    (readings / "maps" / "a.map.tiff").write_bytes(b"map")
    (readings / "dicom").mkdir()
    (readings / "dicom" / "run.json").write_text('{"made_by": "export --to dicom"}')
    found = Rejudged.of(readings, OperatingPoint.read(fitted.path).at(0.4))
    assert found.results == ["dicom"]
    (tmp_path / "copy").mkdir()
    found.write_into(tmp_path / "copy")
    assert (tmp_path / "copy" / "maps" / "a.map.tiff").read_bytes() == b"map"
    assert not (tmp_path / "copy" / "dicom").exists()  # it says what the readings said before
    assert found.is_at(tmp_path / "copy")
    assert not found.is_at(readings)
    judged = evaluate(tmp_path / "copy", phantoms, bootstrap=20, workers=0).metrics()
    assert judged["false_alarm_rate"] is not None


def test_unfinished_readings_and_those_of_an_unknown_bundle_are_refused(
    fitted: Bundle, readings: Path
) -> None:
    record = json.loads((readings / "run.json").read_text())
    (readings / "run.json").write_text(json.dumps({**record, "finished": False}))
    with pytest.raises(UserError, match="not finished"):
        Rejudged.of(readings, OperatingPoint.read(fitted.path))
    bf16 = {**record, "provenance": {**record["provenance"], "precision": "bf16"}}
    (readings / "run.json").write_text(json.dumps(bf16))
    with pytest.raises(UserError, match=r"computed in bf16, and this bundle's calibration in float32"):
        Rejudged.of(readings, OperatingPoint.read(fitted.path))
    (readings / "run.json").unlink()
    with pytest.raises(UserError, match="score again"):
        Rejudged.of(readings, OperatingPoint.read(fitted.path))


def test_readings_of_another_model_are_refused(mapping_bundle: Bundle, readings: Path) -> None:
    with pytest.raises(UserError, match="holds readings of another model"):
        Rejudged.of(readings, OperatingPoint.read(mapping_bundle.path))
