import csv
import resource
import shutil
import signal
import stat
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from read_films import FilmsRead

from secondread.errors import DataError, UserError
from secondread.images.read import read_image
from secondread.readings.readings import Readings
from secondread.results.write_dicom import write_dicom_results


@pytest.fixture(scope="module")
def written(films_read: FilmsRead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dicom") / "out"
    write_dicom_results(films_read.readings, out)
    return out


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "dicom.csv").open(newline="") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file)}


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.dcm"))}


def of_kind(folder: Path, uid: str) -> list[pydicom.FileDataset]:
    return [one for one in map(pydicom.dcmread, sorted(folder.glob("*.dcm"))) if one.SOPClassUID.name == uid]


def test_each_study_has_a_folder_with_what_applies(written: Path):
    rows = table(written)
    first, other = written / rows["a1.dcm"]["result"], written / rows["b1.dcm"]["result"]
    assert rows["a2.dcm"]["result"] == first.name
    assert first != other
    assert [path.name for path in sorted(first.iterdir())] == [
        "0001-overlay.dcm", "0001-parametric-map.dcm", "0001-segmentation.dcm",
        "0002-overlay.dcm", "0002-segmentation.dcm", "report.dcm",
    ]  # fmt: skip


def test_numbers_and_maps_are_those_of_the_readings(written: Path, films_read: FilmsRead):
    rows = table(written)
    folder = written / rows["a1.dcm"]["result"]
    reading = films_read.readings.rows[0]
    report = hd.sr.srread(folder / "report.dcm")
    group, second = report.content.get_image_measurement_groups()
    found = {one.name.value: one.value for one in group.get_measurements()}
    assert (found["score"], found["p-value"]) == (reading.score, reading.p_value)
    heat = read_image(str(reading.map)).pixels[0]
    stored = pydicom.dcmread(folder / "0001-parametric-map.dcm")
    values = np.frombuffer(stored.FloatPixelData, np.float32).reshape(heat.shape)
    assert np.array_equal(values, heat)
    (mask,) = of_kind(folder, "Segmentation Storage")[:1]
    assert np.array_equal(mask.pixel_array > 0, heat >= films_read.readings.run.map_threshold)
    named = {item.name.value for item in group[0].ContentSequence if item.ValueType == "IMAGE"}
    assert {"segmentation", "parametric-map", "overlay"} < named
    told = [item.value for item in second[0].ContentSequence if item.name.value == "121106"]
    assert any("parametric map" in text for text in told)


def test_an_image_that_was_not_read_stands_in_the_report_of_its_study(written: Path, films_read: FilmsRead):
    row = table(written)["broken.dcm"]
    report = hd.sr.srread(written / row["result"] / "report.dcm")
    groups = report.content.get_image_measurement_groups()
    (told,) = [i.value for i in groups[1][0].ContentSequence if i.name.value == "not-read"]
    assert told == films_read.readings.rows[3].error
    assert row["error"] == ""


def test_all_objects_are_of_the_sources_patient_and_study(written: Path, films_read: FilmsRead):
    rows = table(written)
    for name in ("a1.dcm", "b1.dcm"):
        source = pydicom.dcmread(films_read.films / name)
        for path in (written / rows[name]["result"]).iterdir():
            made = pydicom.dcmread(path)
            for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber",
                            "StudyInstanceUID", "StudyDate", "ReferringPhysicianName"):  # fmt: skip
                assert made[keyword].value == source[keyword].value
            assert made.SpecificCharacterSet == "ISO_IR 192"
            assert (made.Manufacturer, made.SoftwareVersions[:10]) == ("secondread", "secondread")


def test_objects_of_a_kind_share_a_series_and_no_two_share_a_uid(written: Path):
    objects = [pydicom.dcmread(path, stop_before_pixels=True) for path in written.rglob("*.dcm")]
    assert len({one.SOPInstanceUID for one in objects}) == len(objects)
    series: dict[str, set[str]] = {}
    for one in objects:
        series.setdefault(one.SeriesInstanceUID, set()).add(one.SOPClassUID)
    assert all(len(classes) == 1 for classes in series.values())


def test_a_second_run_elsewhere_gives_the_same_bytes(written: Path, films_read: FilmsRead, tmp_path: Path):
    again = write_dicom_results(Readings.read(films_read.out), tmp_path / "again")
    assert (again.studies, again.earlier) == (2, 0)
    assert bytes_below(tmp_path / "again") == bytes_below(written)


def test_what_is_there_stays_and_what_is_damaged_is_made_anew(
    written: Path, films_read: FilmsRead, tmp_path: Path
):
    out = tmp_path / "out"
    shutil.copytree(written, out)
    rows = table(out)
    damaged = out / rows["b1.dcm"]["result"] / "report.dcm"
    damaged.write_bytes(b"no report")
    kept = (out / rows["a1.dcm"]["result"] / "report.dcm").stat().st_mtime_ns
    again = write_dicom_results(films_read.readings, out)
    assert (again.studies, again.earlier) == (1, 1)
    assert bytes_below(out) == bytes_below(written)
    assert (out / rows["a1.dcm"]["result"] / "report.dcm").stat().st_mtime_ns == kept


def test_files_are_for_their_owner_alone(written: Path):
    for path in written.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.fixture
def moved(films_read: FilmsRead, tmp_path: Path) -> FilmsRead:
    """The same readings of films that a test may change."""
    films, out = tmp_path / "films", tmp_path / "readings"
    shutil.copytree(films_read.films, films)
    shutil.copytree(films_read.out, out)
    text = (out / "readings.csv").read_text().replace(str(films_read.films), str(films))
    (out / "readings.csv").write_text(text)
    facts = (out / "facts.jsonl").read_text().replace(str(films_read.films), str(films))
    (out / "facts.jsonl").write_text(facts)
    return replace(films_read, films=films, out=out, readings=Readings.read(out))


def test_a_study_whose_file_is_gone_costs_a_line_and_the_rest_goes_on(moved: FilmsRead, tmp_path: Path):
    (moved.films / "a2.dcm").unlink()
    found = write_dicom_results(moved.readings, tmp_path / "out")
    assert found.studies == 2
    ((path, why),) = found.failed
    assert Path(path).name == "a2.dcm"
    assert "gone" in why


def test_a_file_that_was_changed_is_not_reported_on(moved: FilmsRead, tmp_path: Path):
    with (moved.films / "b1.dcm").open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x07")
    found = write_dicom_results(moved.readings, tmp_path / "out")
    assert found.studies == 1
    assert {Path(path).name for path, _ in found.failed} == {"b1.dcm", "broken.dcm"}
    assert all("changed" in why for _, why in found.failed)


def test_a_missing_map_is_told_and_the_report_is_made(moved: FilmsRead, tmp_path: Path):
    lost = moved.readings.rows[2].map
    assert lost is not None
    lost.unlink()
    out = tmp_path / "out"
    found = write_dicom_results(moved.readings, out)
    ((path, why),) = found.failed
    assert (Path(path).name, "map cannot be read" in why) == ("b1.dcm", True)
    folder = out / table(out)["b1.dcm"]["result"]
    assert [one.name for one in folder.iterdir()] == ["report.dcm"]
    again = write_dicom_results(moved.readings, out)
    assert (again.studies, again.earlier, again.failed) == (1, 1, found.failed)


def test_a_header_without_what_a_result_needs_is_told(moved: FilmsRead, tmp_path: Path):
    for name in ("a1.dcm", "a2.dcm", "b1.dcm", "broken.dcm"):
        made = pydicom.dcmread(moved.films / name)
        del made.StudyInstanceUID
        made.save_as(moved.films / name)
    with pytest.raises(DataError, match=r"no image has a result.*no StudyInstanceUID.*and 3 more"):
        write_dicom_results(moved.readings, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_images_of_another_format_are_told(films_read: FilmsRead, intensity_bundle, phantoms, tmp_path: Path):
    from secondread.readings.score import score

    readings = score(intensity_bundle, phantoms, where=["split=test"], workers=0)
    with pytest.raises(DataError, match="PNG"):
        write_dicom_results(readings, tmp_path / "out")


def test_a_full_disk_leaves_nothing_half_written(films_read: FilmsRead, tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match="no room left") as told:
            write_dicom_results(films_read.readings, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(told.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]


def test_another_commands_folder_is_refused(films_read: FilmsRead):
    with pytest.raises(UserError, match="output of `score`"):
        write_dicom_results(films_read.readings, films_read.out)
